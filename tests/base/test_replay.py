"""Which uids have been here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.base.replay import WIDTH, ReplayWindow


def uid(stream: int, number: int) -> bytes:
    return stream.to_bytes(16, 'big') + number.to_bytes(8, 'big')


def test_what_was_marked_was_seen() -> None:
    """Its own number on its own stream, and no other."""
    window = ReplayWindow()
    assert not window.seen(uid(1, 5))
    window.mark(uid(1, 5))
    assert window.seen(uid(1, 5))
    assert not any(window.seen(other) for other in (uid(1, 4), uid(1, 6), uid(2, 5), uid(1, 5 + (1 << 32))))


def test_too_old_to_tell_is_not_seen() -> None:
    """Exact for the last 64; what is older is passed on again rather than lost."""
    window = ReplayWindow()
    for number in range(1, 101):
        window.mark(uid(1, number))
    assert [number for number in range(200) if window.seen(uid(1, number))] == list(range(101 - WIDTH, 101))
    window.mark(uid(1, 3))
    assert not window.seen(uid(1, 3))


def test_a_stream_that_is_over_is_forgotten() -> None:
    """Whichever half it stands in."""
    window = ReplayWindow(2)
    window.mark(uid(1, 1))
    window.mark(uid(2, 1))
    for stream in (1, 2):
        window.forget(stream.to_bytes(16, 'big'))
        assert not window.seen(uid(stream, 1))
    window.forget(bytes(16))


def test_streams_that_speak_are_not_forgotten() -> None:
    """However many others come and go in between."""
    window = ReplayWindow(100)
    for number in range(1, 1000):
        window.mark(uid(1, number))
        assert window.seen(uid(1, number)) and (number < 2 or window.seen(uid(1, number - 1)))
        for other in range(25):
            window.mark(uid(1000 * number + other, 1))


def test_the_number_of_streams_is_bounded() -> None:
    """The most silent ones go; at least half of the bound, the last that spoke, stay."""
    window = ReplayWindow(100)
    for stream in range(10_000):
        window.mark(uid(stream, 1))
        assert len(window._young) + len(window._old) <= 100
    kept = [stream for stream in range(10_000) if window.seen(uid(stream, 1))]
    assert kept == list(range(10_000 - len(kept), 10_000)) and len(kept) >= 50


@pytest.mark.fuzz
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 200), st.booleans()), max_size=80))
def test_as_a_set_that_forgets_the_old(steps: list[tuple[int, int, bool]]) -> None:
    """In any order, the window says what a set of all marked uids would, within 64 of the highest."""
    window = ReplayWindow()
    marked: set[tuple[int, int]] = set()
    highest: dict[int, int] = {}
    for stream, number, mark in steps:
        if mark:
            before = window.seen(uid(stream, number))
            assert window.mark(uid(stream, number)) == before
            # What comes late beyond the window is not noted.
            if number > highest.get(stream, number) - WIDTH:
                marked.add((stream, number))
            highest[stream] = max(highest.get(stream, number), number)
        inside = highest.get(stream, -1) - number < WIDTH
        assert window.seen(uid(stream, number)) == ((stream, number) in marked and inside)
