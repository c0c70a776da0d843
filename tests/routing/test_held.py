"""Frames that wait for a slot: in order, within bounds, for as long as the slot may be away."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.task import Clock

from jabberd_tx.link.frames import ABSENT, Route, make_uid
from jabberd_tx.routing import held
from jabberd_tx.routing.held import FULL, HELD, Held, HeldFrames
from jabberd_tx.xmpp.stanza import Stanza


class Holding:
    def __init__(self, grace: float = 10.0, most: int = 5) -> None:
        self.clock = Clock()
        self.bounced: list[int] = []
        self.frames = HeldFrames(self.clock, grace, most, lambda one: self.bounced.append(number(one)))

    def hold(self, number: int, slot: int = 0, node: str = 'c2s-1', size: int = 100) -> str:
        return self.frames.hold(slot, one(number, node, size))


def one(number: int, node: str = 'c2s-1', size: int = 100) -> Held:
    port: Any = SimpleNamespace(node=node)
    route = Route('gw.example', None, node, 0, make_uid(b's' * 16, number), 4, 0, Stanza('message', {}))
    return Held(port, route, None, size)


def number(one: Held) -> int:
    return int.from_bytes(one.frame.uid[16:], 'big')


def test_what_is_held_comes_out_in_order_when_its_slot_is_back() -> None:
    holding = Holding()
    assert [holding.hold(n, slot=n % 2) for n in range(6)] == [HELD] * 6
    assert len(holding.frames) == 6
    assert [number(one) for one in holding.frames.back(1)] == [1, 3, 5]
    assert [number(one) for one in holding.frames.back(1)] == []
    holding.clock.advance(60)
    assert holding.bounced == [0, 2, 4]
    assert not holding.clock.getDelayedCalls()


def test_a_slots_time_begins_when_it_goes_and_when_it_is_over_nothing_waits_for_it() -> None:
    holding = Holding()
    holding.frames.absent(0)
    holding.clock.advance(9)
    holding.frames.absent(0)
    assert holding.hold(1) == HELD
    holding.clock.advance(1)
    assert holding.bounced == [1]
    assert holding.hold(2) == ABSENT
    holding.frames.back(0)
    holding.frames.absent(0)
    assert holding.hold(3) == HELD, 'it was back'


def test_no_more_is_held_than_the_bounds_of_a_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    holding = Holding()
    assert [holding.hold(n) for n in range(6)] == [HELD] * 5 + [FULL]
    assert holding.hold(6, slot=1) == HELD
    monkeypatch.setattr(held, 'MOST_BYTES', 1000)
    assert holding.hold(7, slot=2, size=401) == FULL
    assert holding.hold(8, slot=2, size=400) == HELD


def test_what_is_sent_again_stands_where_it_stood() -> None:
    holding = Holding(most=2)
    for n in (1, 2, 1, 2):
        assert holding.hold(n) == HELD
    assert [number(one) for one in holding.frames.back(0)] == [1, 2]


def test_what_a_node_sent_is_forgotten_when_its_link_is_gone() -> None:
    """It sends all of it again, over another one."""
    holding = Holding(most=3)
    for n, node in enumerate(['c2s-1', 'c2s-2', 'c2s-1']):
        holding.hold(n, node=node)
    holding.frames.forget('c2s-1')
    assert [number(one) for one in holding.frames.back(0)] == [1]
    holding.clock.advance(60)
    assert holding.bounced == []


def test_what_is_held_counts_against_the_bytes_only_while_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, 'MOST_BYTES', 100)
    holding = Holding()
    for n in range(10):
        assert holding.hold(n) == HELD
        assert holding.hold(n, size=90) == HELD
        assert holding.hold(n + 100) == FULL
        if n % 2:
            holding.frames.back(0)
        else:
            holding.frames.forget('c2s-1')


def test_when_a_name_is_over_all_goes_back() -> None:
    holding = Holding()
    for n in range(4):
        holding.hold(n, slot=n % 2)
    holding.frames.close()
    assert sorted(holding.bounced) == [0, 1, 2, 3]
    assert not holding.clock.getDelayedCalls()
