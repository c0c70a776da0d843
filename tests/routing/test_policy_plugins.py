"""Policies of others: found by twisted.plugin, checked by name in the configuration and in BIND."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

import twisted.plugins
from jabberd_tx.base.options import ConfigError, load
from jabberd_tx.routing.asked import Refused, read_options
from jabberd_tx.routing.options import OPTIONS, ROUTES
from jabberd_tx.routing.policies import POLICIES, IRoutingPolicy, found
from jabberd_tx.testing.network import Network, Recorder
from jabberd_tx.xmpp.stanza import Stanza

PAGE = Path(__file__).parents[2] / 'docs' / 'routing.md'


def listing() -> str:
    """The page's plugin, with a place for its name."""
    start = '    from twisted.plugin import IPlugin\n'
    text = start + PAGE.read_text('utf-8').split(start, 1)[1].split('\nFrom then on', 1)[0]
    return dedent(text).replace("name = 'last'", "name = '{name}'")


LAST = listing()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of plugins of somebody else's, on the path."""
    plugins = tmp_path / 'twisted' / 'plugins'
    plugins.mkdir(parents=True)
    monkeypatch.setattr(twisted.plugins, '__path__', [*twisted.plugins.__path__, str(plugins)])
    found.cache_clear()
    yield plugins
    found.cache_clear()
    for name in [name for name in sys.modules if name.startswith('twisted.plugins.policy_')]:
        del sys.modules[name]


def configure(folder: Path, text: str) -> None:
    file = folder / 'site.toml'
    file.write_text(text)
    load(file, [OPTIONS, ROUTES])


def test_a_plugin_is_a_policy_like_any_other(folder: Path) -> None:
    """A name may be configured with it, an instance may ask for it, and it picks."""
    (folder / 'policy_last.py').write_text(LAST.replace('{name}', 'last'))
    assert [*found()] == [*POLICIES, 'last']
    configure(folder, '[router]\npolicy = "last"\n[[route]]\nname = "a.example"\npolicy = "last"\n')
    network = Network()
    nodes = [Recorder(network.links(f'n{n}')) for n in range(3)]
    for node in nodes:
        node.links.bind('bot.example', 'last')
    network.settle()
    nodes[0].send('bot.example', 'juliet@example.net', Stanza('message', {}))
    network.settle()
    assert [len(node.routes) for node in nodes] == [0, 0, 1]


def test_one_that_is_on_the_python_path_of_a_server_is_found(tmp_path: Path) -> None:
    """As somebody installs it: a folder twisted/plugins, anywhere on the path, without an __init__.py."""
    plugins = tmp_path / 'twisted' / 'plugins'
    plugins.mkdir(parents=True)
    (plugins / 'policy_first.py').write_text(LAST.replace('{name}', 'first'))
    code = 'from jabberd_tx.routing.policies import found; print(*found())'
    path = os.pathsep.join([str(tmp_path), os.getcwd(), *sys.path])
    done = subprocess.run(
        [sys.executable, '-c', code], env={**os.environ, 'PYTHONPATH': path}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [*POLICIES, 'first']


@pytest.mark.parametrize('section', ['router', '[route]'])
def test_a_policy_that_nobody_has_is_refused_with_those_that_there_are(folder: Path, section: str) -> None:
    name = '' if section == 'router' else 'name = "a.example"\n'
    with pytest.raises(ConfigError, match=r"policy: expected one of 'to', .*'failover', not 'nearest'"):
        configure(folder, f'[{section}]\n{name}policy = "nearest"\n')
    with pytest.raises(Refused, match='not-supported'):
        read_options({'policy': 'nearest'})


@pytest.mark.parametrize('name', ['to', ''])
def test_a_plugin_does_not_take_the_name_of_another_policy(folder: Path, name: str) -> None:
    (folder / 'policy_to.py').write_text(LAST.replace('{name}', name))
    with pytest.raises(ConfigError, match=f'policy_to declares a routing policy named {name!r}, which is taken'):
        configure(folder, '')


def test_a_plugin_that_is_no_policy_is_named(folder: Path) -> None:
    (folder / 'policy_odd.py').write_text(LAST.replace("    name = '{name}'\n", '').replace('def chooser', 'def odd'))
    with pytest.raises(ConfigError, match='policy_odd declares what is no routing policy'):
        configure(folder, '')


def test_each_name_is_configured_once(folder: Path) -> None:
    route = '[[route]]\nname = "a.example"\n'
    with pytest.raises(ConfigError, match="route.1.name: expected each name once, not 'a.example' twice"):
        configure(folder, route + route)


def test_the_packages_own_policies_need_no_plugin() -> None:
    assert all(IRoutingPolicy.providedBy(policy) for policy in POLICIES.values())
    assert {*found()} >= {*POLICIES}
