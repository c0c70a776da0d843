"""Lanes with a bounced frame: what follows waits for it, but not for ever."""

from __future__ import annotations

from jabberd_tx.link.frames import Route, make_uid
from jabberd_tx.routing import lanes
from jabberd_tx.routing.lanes import LAPSE, BrokenLanes, in_order
from jabberd_tx.xmpp.stanza import Stanza


def frame(number: int, dest: str = 'sm-1', key: str | bytes | None = None, stream: bytes = b's' * 16) -> Route:
    return Route(dest, key, 'c2s-1', 0, make_uid(stream, number), 4, 0, Stanza('message', {}))


def test_what_follows_a_bounced_frame_is_blocked_until_it_comes_again() -> None:
    broken = BrokenLanes()
    broken.bounced(frame(5), 0)
    assert broken.blocks(frame(6), 0.1)
    assert broken.blocks(frame(7), 0.1)
    assert not broken.blocks(frame(5), 0.2)
    assert not broken.lanes
    assert not broken.blocks(frame(6), 0.2)


def test_one_from_before_it_lets_the_lane_go_on_too() -> None:
    broken = BrokenLanes()
    broken.bounced(frame(5), 0)
    assert not broken.blocks(frame(3), 0.1)


def test_of_several_that_bounce_the_first_counts() -> None:
    broken = BrokenLanes()
    broken.bounced(frame(5), 0)
    broken.bounced(frame(9), 0)
    assert broken.blocks(frame(6), 0.1)


def test_other_lanes_are_not_blocked() -> None:
    broken = BrokenLanes()
    broken.bounced(frame(5, key=b'a' * 16), 0)
    assert not broken.blocks(frame(6, key=b'b' * 16), 0.1)
    assert not broken.blocks(frame(6, key=b'a' * 16, stream=b't' * 16), 0.1)
    assert not broken.blocks(frame(6, 'sm-2', b'a' * 16), 0.1)
    assert broken.blocks(frame(6, key=b'a' * 16), 0.1)


def test_a_lane_whose_first_never_comes_again_is_let_go() -> None:
    broken = BrokenLanes()
    broken.bounced(frame(5), 0)
    assert broken.blocks(frame(6), LAPSE - 0.1)
    assert not broken.blocks(frame(6), LAPSE)
    assert not broken.lanes


def test_old_lanes_are_forgotten_while_others_pass() -> None:
    broken = BrokenLanes()
    for n in range(10):
        broken.bounced(frame(1, stream=bytes([n]) * 16), n / 10)
    for _ in range(5):
        assert not broken.blocks(frame(1, 'other'), 100)
    assert not broken.lanes


def test_no_more_lanes_are_watched_than_the_bound(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(lanes, 'MOST', 3)
    broken = BrokenLanes()
    for n in range(5):
        broken.bounced(frame(1, f'sm-{n}'), 0)
    assert [lane[0] for lane in broken.lanes] == ['sm-2', 'sm-3', 'sm-4']


def test_what_waits_is_put_in_each_streams_order_and_streams_keep_their_places() -> None:
    waiting = [frame(2), frame(7, stream=b't' * 16), frame(1), frame(300), frame(3, stream=b't' * 16), frame(256)]
    ordered = in_order(waiting, lambda one: one)
    assert [(one.uid[:1], int.from_bytes(one.uid[16:], 'big')) for one in ordered] == [
        (b's', 1), (b't', 3), (b's', 2), (b's', 256), (b't', 7), (b's', 300),
    ]  # fmt: skip
    assert in_order([], lambda one: one) == []
