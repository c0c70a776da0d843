"""Access rules: who may bind what, and which secret they have to know."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from jabberd_tx.base.metrics import Metrics
from jabberd_tx.base.options import ConfigError, load
from jabberd_tx.base.turn import Turn
from jabberd_tx.link.frames import Redirect
from jabberd_tx.routing.access import ACCESS, AccessRules
from jabberd_tx.routing.options import OPTIONS
from jabberd_tx.routing.router import Router
from jabberd_tx.testing.network import Network, Recorder


def rule(**options: Any) -> SimpleNamespace:
    values = ACCESS.defaults()
    vars(values).update(options)
    return values


RULES = AccessRules([
    rule(nodes=['sm-*'], names=['example.net']),
    rule(nodes=['s2s-*'], names=['s2s'], default=True),
    rule(nodes=['log-*'], names=['log-*'], log=True, secret='only the sinks know this'),
    rule(nodes=['muc-*'], names=['muc.*'], exclusive=True, redirect=True),
])  # fmt: skip


@pytest.mark.parametrize(
    ('node', 'name', 'options', 'may'),
    [
        ('sm-1', 'example.net', {}, True),
        ('sm-1', 'example.net', {'default': True}, False),
        ('sm-1', 'example.org', {}, False),
        ('s2s-1', 's2s', {'default': True, 'log': False}, True),
        ('log-1', 'log-1', {'log': True}, True),
        ('muc-1', 'muc.example.net', {'exclusive': True}, True),
        ('muc-1', 'muc.example.net', {'log': True}, False),
        ('stranger-1', 'example.net', {}, False),
    ],
)
def test_the_first_rule_for_a_node_says_what_it_may_bind(node: str, name: str, options: Any, may: bool) -> None:
    assert RULES.may_bind(node, name, options) is may


def test_without_rules_everything_is_allowed() -> None:
    nobody_said_anything = AccessRules()
    assert nobody_said_anything.may_bind('a', 'b', {'default': True, 'log': True, 'exclusive': True})
    assert nobody_said_anything.may_redirect('a')


def test_the_secret_is_that_of_the_rule_or_the_usual_one() -> None:
    assert RULES.secret_of('log-1', 'usual') == 'only the sinks know this'
    assert RULES.secret_of('sm-1', 'usual') == RULES.secret_of('stranger-1', 'usual') == 'usual'


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('names = ["a"]', 'access.0.nodes: expected'),
        ('nodes = ["a"]\nsecret = "short"', 'access.0.secret: expected 16'),
    ],
)
def test_a_rule_for_nobody_or_with_a_short_secret_is_refused_when_the_file_is_read(tmp_path, text, said) -> None:
    (tmp_path / 'a.toml').write_text(f'[[access]]\n{text}\n')
    with pytest.raises(ConfigError, match=said):
        load(tmp_path / 'a.toml', [ACCESS])


def test_a_router_refuses_what_a_rule_does_not_allow_but_trusts_its_own_process() -> None:
    local, remote = Network(), Network(coded=True)
    for network, outcome in ((local, 'ok'), (remote, 'not-allowed')):
        network.router.access = RULES
        stranger = Recorder(network.links('stranger-1'))
        network.settle()
        assert network.switch.bind(stranger.links, 'example.net', {}) == outcome
        assert stranger.links.instances('example.net').keys() == set()
        network.settle()
        assert ('example.net' in network.router._names) is (outcome == 'ok')


class Port:
    """As a TCP link has it."""

    local = False

    def __init__(self, node: str) -> None:
        self.node, self.incarnation, self.redirects = node, b'i' * 16, []

    def send(self, frame: Any, raw: Any = None) -> None:
        if isinstance(frame, Redirect):
            self.redirects.append(tuple(frame))

    def end(self, condition: str, text: str) -> None:
        raise AssertionError(condition)


def test_a_node_redirects_what_is_its_own_and_others_names_only_if_a_rule_says_so() -> None:
    turn = Turn(SimpleNamespace(seconds=lambda: 0.0))  # type: ignore[arg-type]
    router = Router('r', turn.reactor, turn, OPTIONS.defaults(), Metrics(), access=RULES)
    c2s, sm, muc = Port('c2s-1'), Port('sm-1'), Port('muc-1')
    for port in (c2s, sm, muc):
        router.attach(port)
    router.bind(sm, 'example.net', {})
    router.redirect(sm, Redirect('juliet@example.net', 'sm-1', 60))
    router.redirect(sm, Redirect('juliet@example.org', 'sm-1', 60))
    router.redirect(muc, Redirect('example.org', 'muc-1', 60))
    router.redirect(c2s, Redirect('example.net', 'c2s-1', 60))
    router.redirect(muc, Redirect('example.org', 'nobody-1', 60))
    assert c2s.redirects == [('juliet@example.net', 'sm-1', 60), ('example.org', 'muc-1', 60)]
    assert sm.redirects == [('example.org', 'muc-1', 60)]
