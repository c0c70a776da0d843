"""Filter rules: which stanzas they concern, and what a router does about those."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from jabberd_tx.base.options import ConfigError, load
from jabberd_tx.link.frames import DENIED, RETURNED, Fanout, Route, make_uid
from jabberd_tx.routing.filters import ALLOW, DENY, FILTERS, REDIRECT, FilterRules
from jabberd_tx.testing.network import Network, Recorder
from jabberd_tx.xmpp.stanza import Stanza


def rule(**options: Any) -> SimpleNamespace:
    values = FILTERS.defaults()
    for name, value in options.items():
        setattr(values, name.rstrip('_'), value)
    return values


def frame(name: str = 'message', flags: int = 0, **attrs: str) -> Route:
    attrs = {key.rstrip('_'): value for key, value in attrs.items()}
    return Route('example.net', 'romeo@example.net', 'c2s-1', 0, make_uid(b's' * 16, 1), 4, flags, Stanza(name, attrs))


def verdict(found: Any) -> str:
    return found.action if found is not None else 'none'


@pytest.mark.parametrize('packed', [False, True])
def test_the_first_rule_that_matches_counts(packed: bool) -> None:
    """Whether the stanza is there or its bytes only."""
    rules = FilterRules([
        rule(from_=['admin@example.net'], action=ALLOW),
        rule(to=['all.example.net'], condition='forbidden'),
        rule(kind=['message'], type=['normal'], action=REDIRECT, target='look.example.net'),
    ])  # fmt: skip

    def judged(**attrs: str) -> str:
        asked = frame(**attrs)
        assert isinstance(asked.payload, Stanza)
        return verdict(rules.judge(asked._replace(payload=asked.payload.pack()) if packed else asked))

    assert judged(from_='admin@example.net/a', to='all.example.net') == ALLOW
    assert judged(from_='romeo@example.net/a', to='All.Example.NET/x') == DENY
    assert judged(from_='romeo@example.net/a', to='juliet@example.net') == REDIRECT
    assert judged(from_='romeo@example.net/a', to='juliet@example.net', type='normal') == REDIRECT
    assert judged(from_='romeo@example.net/a', to='juliet@example.net', type='chat') == 'none'
    assert judged(name='iq', from_='romeo@example.net/a', to='juliet@example.net', type='get') == 'none'


def test_without_a_to_it_is_the_senders_own_account_but_presence_is_for_nobody_in_particular() -> None:
    rules = FilterRules([rule(to=['romeo@example.net'])])
    assert verdict(rules.judge(frame('iq', from_='romeo@example.net/a'))) == DENY
    assert verdict(rules.judge(frame('presence', from_='romeo@example.net/a'))) == 'none'
    available = FilterRules([rule(kind=['presence'], type=['available'])])
    assert verdict(available.judge(frame('presence', from_='romeo@example.net/a'))) == DENY
    assert verdict(available.judge(frame('presence', from_='romeo@example.net/a', type='unavailable'))) == 'none'


def test_what_is_no_stanza_or_comes_back_is_not_judged() -> None:
    everything = FilterRules([rule()])
    assert everything.judge(frame()) is not None
    assert everything.judge(frame(flags=RETURNED)) is None
    assert everything.judge(frame('session', type='start')) is None
    assert everything.judge(frame()._replace(payload=b'\xff')) is None


def test_a_broken_address_is_matched_by_no_pattern() -> None:
    rules = FilterRules([rule(from_=['*']), rule(kind=['message'], action=ALLOW)])
    assert verdict(rules.judge(frame(from_='@', to='x'))) == ALLOW


def test_of_a_fan_out_those_targets_are_left_that_may_have_it() -> None:
    rules = FilterRules([rule(to=['juliet@example.net']), rule(to=['nurse@example.net'], action=REDIRECT, target='x')])
    targets = [(b'1' * 16, 'juliet@example.net/a'), (b'2' * 16, 'nurse@example.net/a'), (b'3' * 16, '')]
    stanza = Stanza('presence', {'from': 'romeo@example.net/a'})
    passed, denied = rules.judge_targets(Fanout('c2s-1', 'sm-1', make_uid(b's' * 16, 1), targets, stanza))
    assert passed == targets[1:] and verdict(denied) == DENY


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('from = ["@"]', 'filter.0.from: expected an address'),
        ('to = ["a b"]', 'filter.0.to: expected an address'),
        ('action = "redirect"', 'filter.0.target: expected a name'),
        ('target = "x"', 'filter.0.target: expected a name'),
        ('condition = "redirect"', 'filter.0.condition: expected one of'),
        ('type = ["shout"]', 'filter.0.type: expected a list'),
    ],
)
def test_a_rule_that_can_not_be_is_refused_when_the_file_is_read(tmp_path: Any, text: str, said: str) -> None:
    (tmp_path / 'a.toml').write_text(f'[[filter]]\n{text}\n')
    with pytest.raises(ConfigError, match=said.replace('[', r'\[')):
        load(tmp_path / 'a.toml', [FILTERS])


def test_a_rule_tells_what_it_is() -> None:
    rules = FilterRules([rule(from_=['*.example.org'], kind=['message', 'iq']), rule(action=ALLOW)])
    assert str(rules.judge(frame(from_='a.example.org'))) == (
        'filter.0: deny with not-allowed what is from *.example.org, of kind iq, message'
    )
    assert str(rules.judge(frame())) == 'filter.1: allow everything'


# ---- in a router


class Site:
    """c2s-1 sends, sm-1 serves example.net, look-1 serves look.example.net."""

    def __init__(self, *rules: SimpleNamespace, coded: bool = False) -> None:
        self.network = Network(coded=coded)
        self.c2s, self.sm, self.look = [Recorder(self.network.links(node)) for node in ('c2s-1', 'sm-1', 'look-1')]
        self.sm.links.bind('example.net')
        self.look.links.bind('look.example.net')
        self.network.router.filter_by(FilterRules(rules))
        self.network.settle()

    def say(self, sender: Recorder | None = None, dest: str = 'example.net', **attrs: str) -> bytes:
        stanza = Stanza('message', {key.rstrip('_'): value for key, value in attrs.items()})
        uid = (sender or self.c2s).send(dest, 'romeo@example.net', stanza)
        self.network.settle()
        return uid


@pytest.mark.parametrize('coded', [False, True])
def test_what_is_denied_goes_back_with_the_condition_and_holds_nothing_up(coded: bool) -> None:
    site = Site(rule(to=['juliet@example.net'], condition='forbidden'), coded=coded)
    denied = site.say(from_='romeo@example.net/a', to='juliet@example.net')
    passed = site.say(from_='romeo@example.net/a', to='nurse@example.net')
    bounce = site.c2s.bounces[0]
    assert (bounce.uid, bounce.reason, bounce.detail, bounce.source) == (denied, DENIED, 'forbidden', '')
    assert [route.uid for route in site.sm.routes] == [passed] and len(site.c2s.bounces) == 1


@pytest.mark.parametrize('coded', [False, True])
def test_what_is_redirected_goes_to_an_instance_of_the_target_as_it_came(coded: bool) -> None:
    site = Site(rule(to=['juliet@example.net'], action=REDIRECT, target='look.example.net'), coded=coded)
    uid = site.say(from_='romeo@example.net/a', to='juliet@example.net')
    assert [(route.uid, route.dest) for route in site.look.routes] == [(uid, 'example.net')] and not site.sm.routes
    assert site.c2s.confirmed == [uid]


def test_what_an_instance_of_the_target_sends_on_is_not_redirected_to_it() -> None:
    site = Site(rule(to=['juliet@example.net'], action=REDIRECT, target='look.example.net'))
    uid = site.say(site.look, from_='romeo@example.net/a', to='juliet@example.net')
    assert [route.uid for route in site.sm.routes] == [uid]


def test_without_an_instance_of_the_target_it_goes_where_it_was_going() -> None:
    site = Site(rule(action=REDIRECT, target='nobody.example.net'))
    uid = site.say(from_='romeo@example.net/a', to='juliet@example.net')
    assert [route.uid for route in site.sm.routes] == [uid]


def test_other_rules_count_from_the_next_frame_on() -> None:
    site = Site(rule())
    site.say(to='juliet@example.net')
    site.network.router.filter_by(FilterRules())
    passed = site.say(to='juliet@example.net')
    assert [route.uid for route in site.sm.routes] == [passed]
    assert site.network.router._watchful is False, 'nothing is looked into any more'


@pytest.mark.parametrize('coded', [False, True])
def test_a_fan_out_reaches_those_who_may_have_it_and_comes_back_when_nobody_may(coded: bool) -> None:
    site = Site(rule(to=['juliet@example.net']), coded=coded)
    stanza = Stanza('presence', {'from': 'romeo@example.net/a'})
    link = site.sm.links.pick('')
    assert link is not None
    targets = [(b'1' * 16, 'juliet@example.net/a'), (b'2' * 16, 'nurse@example.net/a')]
    for number in (1, 2):
        link.fanout(Fanout('c2s-1', 'sm-1', make_uid(b's' * 16, number), targets[: 3 - number], stanza))
        site.network.settle()
    assert [sent.targets for sent in site.c2s.frames if isinstance(sent, Fanout)] == [targets[1:]]
    bounces = [(bounce.uid[-1], bounce.reason, bounce.detail) for bounce in site.sm.bounces]
    assert bounces == [(2, DENIED, 'not-allowed')]


def test_a_denied_frame_is_counted() -> None:
    site = Site(rule())
    site.say(to='juliet@example.net')
    assert site.network.metrics.value('jabberd_router_bounces', 'denied') == 1
