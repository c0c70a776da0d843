"""Names: who serves them, by which policy, and who is picked while some drain."""

from __future__ import annotations

from itertools import permutations
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from jabberd_tx.base.options import ConfigError
from jabberd_tx.link.frames import REPEAT, Route, make_uid
from jabberd_tx.routing.asked import Asked, Refused, read_options
from jabberd_tx.routing.options import ROUTES
from jabberd_tx.routing.policies import POLICIES
from jabberd_tx.routing.table import NameTable
from jabberd_tx.xmpp.stanza import Stanza

ANY = Asked('', '', 1.0)


def route(name: str, **values: object) -> SimpleNamespace:
    return SimpleNamespace(**{**vars(ROUTES.defaults()), 'name': name, **values})


def frame(key: str | None = None, dest: str = 'example.net', **attrs: str) -> Route:
    # What is new may have to wait for a moment when an instance has gone (test_settling.py).
    return Route(dest, key, 'c2s-1', 0, make_uid(b's' * 16, 1), 4, REPEAT, Stanza('message', attrs))


def picked(table: NameTable, dest: str = 'example.net', count: int = 200) -> set[str | None]:
    """Whom it picks for many keys."""
    return {table.pick(frame(f'user{n}@example.net', dest)) for n in range(count)}


# ---- options of BIND


@pytest.mark.parametrize(
    ('options', 'asked'),
    [
        ({}, Asked('', '', 1.0)),
        ({'policy': None, 'key': None, 'weight': None}, Asked('', '', 1.0)),
        ({'policy': 'from', 'key': 'full', 'weight': 3}, Asked('from', 'full', 3.0)),
        ({'weight': 0.25}, Asked('', '', 0.25)),
        ({'exclusive': False, 'default': False, 'log': False, 'slot': None}, Asked('', '', 1.0)),
        ({'policy': False, 'slots': False, 'slot': False}, Asked('', '', 1.0)),
        ({'slots': 4, 'slot': 0, 'exclusive': True}, Asked('', '', 1.0, 4, 0, True)),
    ],
)
def test_options_say_what_is_asked_for(options: dict[str, object], asked: Asked) -> None:
    assert read_options(options) == asked


@pytest.mark.parametrize(
    ('options', 'outcome'),
    [
        ({'policy': 'nearest'}, 'not-supported'),
        ({'key': 'domain'}, 'not-supported'),
        ({'slots': 0}, 'bad-option'),
        ({'slots': 1025}, 'bad-option'),
        ({'slots': 4.0}, 'bad-option'),
        ({'slots': True}, 'bad-option'),
        ({'slot': -1}, 'bad-option'),
        ({'slot': 1024}, 'bad-option'),
        ({'slot': '0'}, 'bad-option'),
        ({'exclusive': 1}, 'bad-option'),
        ({'default': True}, 'not-supported'),
        ({'log': True}, 'not-supported'),
        ({'unheard-of': 1}, 'not-supported'),
        ({'policy': 7}, 'bad-option'),
        ({'policy': ['to']}, 'bad-option'),
        ({'key': b'bare'}, 'bad-option'),
        ({'weight': 0}, 'bad-option'),
        ({'weight': -1}, 'bad-option'),
        ({'weight': float('nan')}, 'bad-option'),
        ({'weight': float('inf')}, 'bad-option'),
        ({'weight': 1001}, 'bad-option'),
        ({'weight': '1'}, 'bad-option'),
        ({'weight': True}, 'bad-option'),
    ],
)
def test_what_is_not_there_is_refused_rather_than_ignored(options: dict[str, object], outcome: str) -> None:
    with pytest.raises(Refused, match=outcome):
        read_options(options)


# ---- policies of a name


def test_a_name_that_nobody_serves_picks_nobody() -> None:
    table = NameTable(Clock(), 'to')
    assert table.pick(frame('juliet@example.net')) is None
    assert table.bind('example.net', 'n1', ANY)
    assert not table.bind('example.net', 'n1', ANY), 'no news'
    assert picked(table) == {'n1'}
    assert table.unbind('example.net', 'n1')
    assert not table.unbind('example.net', 'n1')
    assert table.pick(frame('juliet@example.net')) is None
    assert len(table) == 0


def test_a_name_goes_by_the_default_when_nobody_asks() -> None:
    table = NameTable(Clock(), 'failover')
    for node in ('n2', 'n1'):
        table.bind('example.net', node, ANY)
    assert picked(table) == {'n1'}


def test_the_policy_that_one_asks_for_holds_in_whatever_order_they_come() -> None:
    wishes = {'n1': ANY, 'n2': Asked('failover', '', 1.0), 'n3': ANY}
    for order in permutations(wishes):
        table = NameTable(Clock(), 'to')
        for node in order:
            table.bind('example.net', node, wishes[node])
        assert picked(table) == {'n1'}, order


@pytest.mark.parametrize(
    ('first', 'second'),
    [
        (Asked('to', '', 1.0), Asked('from', '', 1.0)),
        (Asked('to', 'bare', 1.0), Asked('to', 'full', 1.0)),
        (Asked('', 'bare', 1.0), Asked('random', 'full', 1.0)),
    ],
)
def test_of_two_that_ask_for_different_things_the_first_wins(first: Asked, second: Asked) -> None:
    table = NameTable(Clock(), 'to')
    table.bind('example.net', 'n1', first)
    with pytest.raises(Refused, match='conflict'):
        table.bind('example.net', 'n2', second)
    assert picked(table) == {'n1'}
    table.bind('example.org', 'n2', second)
    table.unbind('example.net', 'n1')
    table.bind('example.net', 'n2', second)
    assert picked(table) == {'n2'}, 'once it is gone, the other may'


def test_one_that_is_alone_may_ask_for_something_else() -> None:
    table = NameTable(Clock(), 'to')
    table.bind('example.net', 'n1', Asked('to', '', 1.0))
    assert not table.bind('example.net', 'n1', Asked('failover', '', 1.0))
    table.bind('example.net', 'n0', ANY)
    assert picked(table) == {'n0'}


def test_the_configuration_goes_before_what_is_asked() -> None:
    table = NameTable(Clock(), 'to', [route('example.net', policy='failover', order=['n3', 'n2'])])
    for node, policy in (('n1', 'to'), ('n2', 'random'), ('n3', '')):
        table.bind('example.net', node, Asked(policy, '', 1.0))
    assert picked(table) == {'n3'}
    table.unbind('example.net', 'n3')
    assert picked(table) == {'n2'}


def test_the_configuration_may_settle_the_key_alone() -> None:
    clock = Clock()
    table = NameTable(clock, 'to', [route('example.net', key='full')])
    table.bind('example.net', 'n1', Asked('to', 'bare', 1.0))
    table.bind('example.net', 'n2', Asked('', 'full', 1.0))
    with pytest.raises(Refused):
        table.bind('example.net', 'n3', Asked('from', '', 1.0))
    clock.advance(0)
    assert {table.pick(frame(to=f'juliet@example.net/{n}')) for n in range(50)} == {'n1', 'n2'}


@pytest.mark.parametrize('policy', ['to', 'from'])
def test_a_frame_without_a_key_goes_to_anyone(policy: str) -> None:
    clock = Clock()
    table = NameTable(clock, policy)
    for node in ('n1', 'n2', 'n3'):
        table.bind('example.net', node, ANY)
    clock.advance(0)
    for odd in (frame(), frame('example.net'), frame(to='example.net', **{'from': 'example.org'})):
        assert {table.pick(odd) for _ in range(100)} == {'n1', 'n2', 'n3'}


def test_a_name_is_configured_once() -> None:
    with pytest.raises(ConfigError, match='example.net'):
        NameTable(Clock(), 'to', [route('example.net'), route('example.org'), route('example.net', policy='to')])


def test_weights_share_a_name_out() -> None:
    clock = Clock()
    table = NameTable(clock, 'to')
    table.bind('example.net', 'n1', Asked('', '', 1.0))
    table.bind('example.net', 'n2', Asked('', '', 4.0))
    clock.advance(0)
    small = sum(table.pick(frame(f'user{n}@example.net')) == 'n1' for n in range(2000))
    assert 300 < small < 500


# ---- drain


@pytest.mark.parametrize('policy', ['to', 'random', 'failover'])
def test_one_that_drains_is_picked_only_while_there_are_no_others(policy: str) -> None:
    clock = Clock()
    table = NameTable(clock, policy)
    for node in ('n1', 'n2'):
        table.bind('example.net', node, ANY)
    clock.advance(0)
    table.drain('n1')
    assert picked(table) == {'n2'}
    table.unbind('example.net', 'n2')
    assert picked(table) == {'n1'}, 'nobody else is there'
    table.bind('example.net', 'n3', ANY)
    assert picked(table) == {'n3'}
    table.bind('example.org', 'n1', ANY)
    table.bind('example.org', 'n3', ANY)
    assert picked(table, 'example.org') == {'n3'}, 'a name that it binds while it drains'


def test_when_all_drain_all_are_picked() -> None:
    clock = Clock()
    table = NameTable(clock, 'to')
    for node in ('n1', 'n2'):
        table.bind('example.net', node, ANY)
        table.drain(node)
    clock.advance(0)
    assert picked(table) == {'n1', 'n2'}


def test_a_node_that_is_back_after_a_drain_is_picked_again() -> None:
    clock = Clock()
    table = NameTable(clock, 'to')
    table.bind('example.net', 'n2', ANY)
    table.bind('example.net', 'n1', ANY)
    table.drain('n1')
    table.unbind('example.net', 'n1')
    table.forget('n1')
    table.bind('example.net', 'n1', ANY)
    clock.advance(0)
    assert picked(table) == {'n1', 'n2'}


steps = st.lists(
    st.tuples(st.sampled_from(['bind', 'unbind', 'drain', 'turn']), st.sampled_from(['n1', 'n2', 'n3', 'n4'])),
    max_size=30,
)


@given(st.sampled_from([*POLICIES]), steps)
def test_whatever_happens_somebody_who_serves_the_name_is_picked(policy: str, history: list) -> None:  # type: ignore[type-arg]
    """And not one that drains, if another does not."""
    clock = Clock()
    table = NameTable(clock, policy)
    there: dict[str, bool] = {}  # whether it drains
    for what, node in history:
        if what == 'bind':
            table.bind('example.net', node, ANY)
            there.setdefault(node, False)
        elif what == 'unbind':
            table.unbind('example.net', node)
            table.forget(node)
            there.pop(node, None)
        elif what == 'drain' and node in there:
            table.drain(node)
            there[node] = True
        else:
            clock.advance(0)
        wanted = {node for node, drains in there.items() if not drains} or set(there) or {None}
        assert picked(table, count=20) <= wanted


# ---- slots of a fixed number


def test_one_that_asks_for_slots_that_the_others_do_not_fit_in_is_refused_and_nothing_changes() -> None:
    clock = Clock()
    table = NameTable(clock, 'to')
    for node in ('n1', 'n2', 'n3'):
        table.bind('example.net', node, ANY)
    clock.advance(0)
    with pytest.raises(Refused, match='no-slot'):
        table.bind('example.net', 'n4', Asked('', '', 1.0, slots=2))
    with pytest.raises(Refused, match='bad-option'):
        table.bind('example.net', 'n4', Asked('', '', 1.0, slots=8, slot=8))
    assert picked(table) == {'n1', 'n2', 'n3'}
    assert table.bind('example.net', 'n4', Asked('', '', 1.0, slots=4))
    assert picked(table) == {'n1', 'n2', 'n3', 'n4'}
    assert table.get('example.net').slots == {0: 'n1', 1: 'n2', 2: 'n3', 3: 'n4'}  # type: ignore[union-attr]
    table.unbind('example.net', 'n4')
    clock.advance(0)
    assert table.get('example.net').slots == {}, 'nobody else asks for slots'  # type: ignore[union-attr]
    assert picked(table) == {'n1', 'n2', 'n3'}


@pytest.mark.parametrize(
    ('asked', 'outcome'),
    [
        (Asked('random', '', 1.0, slots=4), 'conflict'),
        (Asked('', '', 1.0, slot=0), 'conflict'),
        (Asked('', '', 1.0, slots=4, slot=4), 'bad-option'),
    ],
)
def test_what_does_not_go_together_is_refused_and_leaves_nothing_behind(asked: Asked, outcome: str) -> None:
    table = NameTable(Clock(), 'to')
    with pytest.raises(Refused, match=outcome):
        table.bind('example.net', 'n1', asked)
    assert 'example.net' not in table


def test_exclusive_slots_do_not_spill_over() -> None:
    table = NameTable(Clock(), 'to', [route('example.net', slots=2, absent='spill')])
    with pytest.raises(Refused, match='conflict'):
        table.bind('example.net', 'n1', Asked('', '', 1.0, slot=0, exclusive=True))
    assert table.bind('example.net', 'n1', Asked('', '', 1.0, slot=0))


def test_an_instance_may_move_to_another_slot() -> None:
    table = NameTable(Clock(), 'to', [route('example.net', slots=2, absent='bounce')])
    table.bind('example.net', 'n1', Asked('', '', 1.0, slot=0))
    before = {key for key in range(100) if table.pick(frame(f'user{key}@example.net')) == 'n1'}
    assert not table.bind('example.net', 'n1', Asked('', '', 1.0, slot=1))
    after = {key for key in range(100) if table.pick(frame(f'user{key}@example.net')) == 'n1'}
    assert before and before | after == set(range(100)) and not before & after
