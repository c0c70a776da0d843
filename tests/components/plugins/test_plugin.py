"""What a component plugin declares, and how it is found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from jabberd_tx.base.options import ConfigError, Option, load
from jabberd_tx.components.plugins.finding import DuplicatePlugin, found, sections
from jabberd_tx.components.plugins.hosted import domain_of
from jabberd_tx.components.plugins.plugin import ComponentPlugin, IComponentPlugin
from jabberd_tx.components.sm.module import Module
from jabberd_tx.components.tables import all_tables
from jabberd_tx.storage.module_tables import ModuleTables
from jabberd_tx.storage.schema import OWNER_BYTES, JidText

ROOT = Path(__file__).parents[3]
metadata = sa.MetaData()
sa.Table('shout', metadata, sa.Column('owner', JidText(OWNER_BYTES), primary_key=True))


def make(op: object) -> None:
    """Nothing."""


class Shout(ComponentPlugin):
    """Says it louder.

    Much louder.
    """

    name = 'shout'
    xeps = ('XEP-9999',)
    options = (Option('volume', int, 11, 'How loud.', low=0),)
    tables = ModuleTables('shout', metadata, make)


def config(*overrides: str) -> object:
    return load(None, sections([Shout]), overrides).section(Shout.section())


def test_its_options_are_a_section_of_the_configuration() -> None:
    """With what every component has; it is off, and its first line is its help."""
    assert IComponentPlugin.providedBy(Shout)
    values = config('component.shout.volume=3')
    own = {'enabled': False, 'domain': '', 'connect': '', 'secret': '', 'insecure': False, 'volume': 3}
    assert vars(values) == {**own, 'weight': 1.0, 'slots': 0, 'slot': -1}
    assert Shout.section().help == 'Says it louder. (XEP-9999)'


def test_a_wrong_option_is_one_sentence() -> None:
    for override, text in (
        ('component.shout.volume=-1', 'component.shout.volume: expected an integer at least 0, not -1'),
        ('component.shout.loud=1', 'component.shout.loud: no such option'),
        ('component.shuot.volume=1', r'\[component.shuot\]: no such section; did you mean component.shout\?'),
    ):
        with pytest.raises(ConfigError, match=text):
            config(override)


def test_who_connects_elsewhere_needs_a_name_and_a_secret() -> None:
    """Unless it is off."""
    connect = 'component.shout.connect=tcp:localhost:5347'
    config(connect)
    with pytest.raises(ConfigError, match='component.shout.domain: expected, as component.shout.connect is set'):
        config(connect, 'component.shout.enabled=true', 'component.shout.secret=s')
    with pytest.raises(ConfigError, match='component.shout.secret: expected, as component.shout.connect is set'):
        config(connect, 'component.shout.enabled=true', 'component.shout.domain=a.example')


def test_beyond_this_machine_there_is_tls() -> None:
    """Unless somebody says so."""
    named = ['component.shout.enabled=true', 'component.shout.secret=s', 'component.shout.domain=a.example']
    for there in ('tcp:xmpp.example.net:5347', 'tcp:host=192.0.2.1:port=5347', 'tcp:port=5347'):
        with pytest.raises(ConfigError, match='component.shout.connect: expected tls: beyond this machine, not'):
            config(*named, f'component.shout.connect={there}')
        config(*named, f'component.shout.connect={there}', 'component.shout.insecure=true')
    for there in ('tls:xmpp.example.net:5347', 'tcp:localhost:5347', 'tcp:host=127.0.0.1:port=1', 'unix:/run/x'):
        config(*named, f'component.shout.connect={there}')


@pytest.mark.parametrize(
    'wrong, text',
    [
        ({'name': 'sm'}, "'sm' can be no name of a component"),
        ({'name': 'Big'}, "'Big' can be no name"),
        ({'name': 'loud', 'options': (Option('secret', str, '', ''),)}, 'every component has the option secret'),
        ({'name': 'loud', 'tables': Shout.tables}, 'the tables are those of shout, not of loud'),
    ],
)
def test_what_can_not_be_is_told_where_it_is_declared(wrong: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        type('Loud', (ComponentPlugin,), wrong)


def test_the_name_that_it_serves() -> None:
    """The subdomain or the plugin's name below the first domain; or what the configuration says, prepared."""

    class Louder(Shout):
        """The same elsewhere."""

        name, subdomain, tables = 'louder', 'loud', None

    here = ['example.net', 'example.org']
    assert domain_of(Shout, config(), here) == 'shout.example.net'
    assert domain_of(Louder, Louder.section().defaults(), here) == 'loud.example.net'
    assert domain_of(Shout, config('component.shout.domain=Shout.Example.ORG'), here) == 'shout.example.org'
    for wrong in ('a@example.net', 'example.net/x', '@', 'example.org'):
        with pytest.raises(ConfigError, match='component.shout.domain: '):
            domain_of(Shout, config(f'component.shout.domain={wrong}'), here)


def test_two_of_one_name_are_refused() -> None:
    class Other(ComponentPlugin):
        """Another."""

        name = 'shout'

    assert found([Shout, Shout]) == found([Shout])
    with pytest.raises(DuplicatePlugin, match='both declare a component shout'):
        found([Shout, Other])


def test_tables_are_those_of_plugins_that_are_on() -> None:
    """And a module's are not a plugin's."""

    class ShoutModule(Module):
        """Has the same tables."""

        name, tables = 'shout', Shout.tables

    def tables(*overrides: str) -> list[ModuleTables]:
        every = [*sections([Shout]), ShoutModule.section()]
        read = load(None, every, overrides)
        plain = {section.name: section for section in every}

        def values(section: object) -> object:
            name = section.name  # type: ignore[attr-defined]
            return read.section(plain[name]) if name in plain else section.defaults()  # type: ignore[attr-defined]

        return all_tables(values, [ShoutModule], [Shout])

    off, on = 'modules.shout.enabled=false', 'component.shout.enabled=true'
    assert tables(off) == [] and tables(off, on) == [Shout.tables] == tables()
    with pytest.raises(ConfigError, match='there is a module shout that keeps tables of that name'):
        tables(on)


def test_storage_is_for_those_that_have_tables() -> None:
    from jabberd_tx.base.metrics import Metrics
    from jabberd_tx.components.plugins.plugin import Place

    plugin = Shout(Place('shout.example.net', None, Metrics()), Shout.section().defaults())
    with pytest.raises(LookupError, match='shout has declared no tables'):
        _ = plugin.storage


@pytest.mark.system
def test_one_in_twisted_plugins_is_found(tmp_path: Path) -> None:
    """A file of that folder on the path is all; the shim for wokkel is there already."""
    (tmp_path / 'twisted' / 'plugins').mkdir(parents=True)
    (tmp_path / 'twisted' / 'plugins' / 'shout_plugin.py').write_text(
        'from jabberd_tx.components.plugins.plugin import ComponentPlugin\n'
        'from wokkel.ping import PingHandler\n'
        "class Shout(ComponentPlugin):\n    name = 'shout'\n    def handlers(self): return [PingHandler()]\n"
    )
    code = (
        'from jabberd_tx.services.sections import all_sections\n'
        "print([s.name for s in all_sections() if s.name.startswith('component.')])"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, '-c', code], env={**os.environ, 'PYTHONPATH': path}, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "['component.shout']\n", done.stderr
