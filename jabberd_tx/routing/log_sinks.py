"""Log sinks: nodes that get a copy of every ROUTE and FANOUT that the router hands on.

A copy is a frame of its own kind, so that nobody takes it for the real one: it is never confirmed or bounced.  One that
a sink has no credit for is dropped and counted: a slow sink slows nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jabberd_tx.base.metrics import Metrics
from jabberd_tx.link.frames import Copy, Fanout, Route, encode

if TYPE_CHECKING:
    from jabberd_tx.routing.register import Attached


class LogSinks:
    """The nodes, by name; false while there are none."""

    __slots__ = ('_counts', '_places')

    def __init__(self, metrics: Metrics) -> None:
        self._places: dict[str, Attached] = {}
        self._counts = metrics.counters(
            'jabberd_router_copies', 'Copies for log sinks.', 'outcome', ('sent', 'dropped')
        )

    def __bool__(self) -> bool:
        return bool(self._places)

    def add(self, place: Attached) -> None:
        """It gets copies from now on."""
        self._places[place.port.node] = place

    def discard(self, node: str) -> None:
        """It gets none any more."""
        self._places.pop(node, None)

    def copy(self, frame: Route | Fanout, raw: bytes | None, size: int) -> None:
        """The frame has been handed on; raw, size: as for Switch.route."""
        coded: bytes | None = None
        for place in self._places.values():
            if place.credit <= 0:
                self._counts.dropped += 1
                continue
            if place.local:
                place.credit -= size
                place.send(Copy(frame), raw)
            else:
                if coded is None:
                    coded = encode(Copy(raw[4:] if raw is not None else frame))
                place.credit -= len(coded)
                place.send(Copy(frame), coded)
            self._counts.sent += 1
