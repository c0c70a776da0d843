"""What a router says about the way of a stanza is the way that the stanza takes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.base.hashing import slot_among
from jabberd_tx.base.slots import slot_of
from jabberd_tx.link.frames import DEFAULT_ROUTE, Route, make_uid
from jabberd_tx.routing.filters import FILTERS, FilterRules
from jabberd_tx.routing.options import ROUTES
from jabberd_tx.routing.trace import Traced, trace
from jabberd_tx.testing.network import Network, Recorder
from jabberd_tx.xmpp.stanza import Stanza

JULIET = 'juliet@example.net'


class Site:
    """Two sms serve example.net, notes-1 notes.example.net, c2s-1 sends."""

    def __init__(self) -> None:
        self.network = Network()
        self.nodes = {node: Recorder(self.network.links(node)) for node in ('c2s-1', 'sm-1', 'sm-2', 'notes-1')}
        for node in ('sm-1', 'sm-2'):
            self.nodes[node].links.bind('example.net', 'to')
        self.nodes['notes-1'].links.bind('notes.example.net')
        self.router = self.network.router
        self.network.settle()

    def frame(self, dest: str, key: str | None = JULIET, to: str = JULIET, number: int = 1) -> Route:
        stanza = Stanza('message', {'to': to, 'from': 'romeo@example.org/a'})
        return Route(dest, key, 'c2s-1', 0, make_uid(b's' * 16, number), 4, 0, stanza)

    def trace(self, dest: str, key: str | None = JULIET, to: str = JULIET) -> Traced:
        return trace(self.router, self.frame(dest, key, to))

    def rules(self, **options: object) -> None:
        values = FILTERS.defaults()
        vars(values).update(options)
        self.router.filter_by(FilterRules([values]))


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_name_with_instances_policy_key_and_slot(site: Site) -> None:
    steps, node = site.trace('example.net')
    assert steps == [
        'example.net is served by sm-1, sm-2', f'policy to: {JULIET} has slot {slot_of(JULIET)}',
        f'{node} gets it, and is in this process',
    ]  # fmt: skip
    assert node in ('sm-1', 'sm-2')


def test_a_node_and_a_name_with_one_instance(site: Site) -> None:
    assert site.trace('sm-2') == Traced(['sm-2 is a node', 'sm-2 gets it, and is in this process'], 'sm-2')
    assert site.trace('notes.example.net').steps[0] == 'notes.example.net is served by notes-1'
    assert site.trace('example.net/*') == Traced(['all of them that have credit get it: sm-1, sm-2'], '')


def test_filter_rules(site: Site) -> None:
    site.rules(to=[JULIET])
    assert site.trace('example.net') == Traced(
        [f'filter.0: deny with not-allowed what is to {JULIET}', 'it is bounced, and answered with that error'], ''
    )
    assert site.trace('sm-1', to='nurse@example.net').steps[0] == 'no filter rule matches'
    site.rules(action='redirect', target='notes.example.net')
    assert site.trace('example.net').steps[:2] == [
        'filter.0: redirect to notes.example.net everything', 'notes.example.net is served by notes-1',
    ]  # fmt: skip
    site.rules(action='redirect', target='nobody.example.net')
    assert site.trace('example.net').steps[1] == 'nobody serves nobody.example.net'
    site.rules(action='allow')
    assert site.trace('sm-1').steps[:2] == ['filter.0: allow everything', 'sm-1 is a node']


def test_an_alias_the_default_route_and_nobody(site: Site) -> None:
    assert site.trace('example.org', None, 'a@example.org') == Traced(
        ['nobody serves example.org', 'there is no default route: it is bounced as no-link'], ''
    )
    site.router.rename('notes.example.net', [SimpleNamespace(name='n.example.net', target='notes.example.net')])
    assert site.trace('n.example.net').steps[:3] == [
        'nobody serves n.example.net', 'it is an alias of notes.example.net', 'notes.example.net is served by notes-1',
    ]  # fmt: skip
    assert site.trace('example.org', None, 'a@example.org').steps[:2] == [
        'nobody serves example.org', 'the default route is notes.example.net',
    ]  # fmt: skip
    assert site.trace(DEFAULT_ROUTE).node == 'notes-1'
    assert site.trace('c2s-9').steps[1] == 'c2s-9 is not the domain that it is to: the default route is not for that'


def test_a_redirect_a_lack_of_credit_and_a_node_that_leaves(site: Site) -> None:
    site.nodes['sm-1'].links.redirect(JULIET, 'notes-1', 60)
    site.router.places['notes-1'].credit = 0
    site.nodes['notes-1'].links.drain()
    assert site.trace('example.net') == Traced(
        [
            f'{JULIET} is redirected: senders that honour that address notes-1 itself',
            'notes-1 gets it, and is in this process', 'but notes-1 has no credit now: it would be bounced as busy',
            'notes-1 is about to leave',
        ],
        'notes-1',
    )  # fmt: skip


def test_where_anybody_may_get_it_nobody_is_named_and_no_policy_is_disturbed(site: Site) -> None:
    for node in ('sm-1', 'sm-2'):
        site.nodes[node].links.bind('turns.example.net', 'round-robin')
    steps, node = site.trace('turns.example.net')
    assert (steps[-1], node) == ('policy round-robin: any of them', '')
    assert site.trace('example.net', None, 'example.net').steps[-1] == 'policy to finds no key: any of them'


@pytest.mark.parametrize(
    ('absent', 'said'),
    [('wait', 'it is held for a while'), ('bounce', 'it is bounced'), ('spill', 'one of the others stands in')],
)
def test_a_slot_that_is_there_and_one_that_is_absent(absent: str, said: str) -> None:
    values = ROUTES.defaults()
    vars(values).update(name='g.example.net', policy='to', slots=2, absent=absent)
    network = Network([values])
    gate = Recorder(network.links('gate-1'))
    gate.links.bind('g.example.net', slot=0)
    network.settle()

    def way(key: str) -> Traced:
        return trace(network.router, Route('g.example.net', key, 'c2s-1', 0, bytes(24), 4, 0, Stanza('message', {})))

    keys = [f'u{n}@example.net' for n in range(20)]
    here = next(key for key in keys if slot_among(key, 2) == 0)
    away = next(key for key in keys if slot_among(key, 2) == 1)
    assert way(here).node == 'gate-1' and f'policy to: {here} has slot 0 of 2' in way(here).steps
    assert way(away) == Traced(
        [
            'g.example.net is served by gate-1', f'policy to: {away} has slot 1 of 2',
            f'that slot is absent: {said}',
        ],
        '',
    )  # fmt: skip


@given(st.lists(st.sampled_from(['alice', 'bob', 'carol', 'dora', 'eve']), min_size=1))
def test_what_is_said_is_what_happens(users: list[str]) -> None:
    site = Site()
    for number, user in enumerate(users):
        frame = site.frame('example.net', f'{user}@example.net', number=number + 1)
        link = site.nodes['c2s-1'].links.pick('')
        assert link is not None
        said = trace(site.router, frame).node
        link.route(frame)
        site.network.settle()
        assert site.nodes[said].routes[-1].uid == frame.uid
