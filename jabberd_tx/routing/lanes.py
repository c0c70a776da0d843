"""Keeps what follows a bounced frame from getting there before it.

A sender has frames under way when one of them is bounced.  Were the next ones handed on, because there is
credit again or the node is back, they would overtake the one that the sender is about to repeat.  So they are
bounced as well, until the first comes again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from jabberd_tx.link.frames import Route

# Longer than a frame is under way, and than a sender takes to read a BOUNCE.
LAPSE = 2.0
# Lanes that are watched at a time; the longest watched is let go beyond.
MOST = 100_000

Lane = tuple[str, str | bytes | None, bytes]


Waiting = TypeVar('Waiting')


def in_order(waiting: Iterable[Waiting], route: Callable[[Waiting], Route]) -> list[Waiting]:
    """What waits, each stream's in the order of its numbers; `route`: its frame.

    A sender that has not heard yet that an instance is gone sends on, and then repeats what that one has not confirmed:
    the later comes first.
    """
    found = [*waiting]
    streams: dict[bytes, list[Waiting]] = {}
    for one in reversed(found):
        streams.setdefault(route(one).uid[:16], []).append(one)
    for some in streams.values():
        some.sort(key=lambda one: route(one).uid, reverse=True)
    return [streams[route(one).uid[:16]].pop() for one in found]


class BrokenLanes:
    """Lanes (destination, key, sender's stream) with a bounced frame, for as long as it has not come again.

    lanes   empty while there are none, which is all that the stanza path asks
    """

    __slots__ = ('lanes',)

    def __init__(self) -> None:
        self.lanes: dict[Lane, tuple[int, float]] = {}  # the number of the first bounced, and until when it counts

    def bounced(self, frame: Route, now: float) -> None:
        """The frame went back.  `now`: the clock's seconds."""
        lanes = self.lanes
        lane, number = (frame.dest, frame.key, frame.uid[:16]), int.from_bytes(frame.uid[16:], 'big')
        known = lanes.pop(lane, None)
        if known is not None and known[1] > now:
            number = min(number, known[0])
        elif len(lanes) >= MOST:
            del lanes[next(iter(lanes))]
        lanes[lane] = (number, now + LAPSE)
        self._let_go(now)

    def blocks(self, frame: Route, now: float) -> bool:
        """Whether this frame must go back, because one before it did and has not come again."""
        lane = (frame.dest, frame.key, frame.uid[:16])
        known = self.lanes.get(lane)
        if known is None:
            self._let_go(now)
            return False
        if known[1] > now and int.from_bytes(frame.uid[16:], 'big') > known[0]:
            return True
        del self.lanes[lane]
        return False

    def _let_go(self, now: float) -> None:
        """Forget the oldest where its time is over: one or two a call, so that none is left in the end."""
        lanes = self.lanes
        for _ in range(2):
            if lanes and lanes[oldest := next(iter(lanes))][1] <= now:
                del lanes[oldest]
