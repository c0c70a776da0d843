"""How much work a router may send this process over one link.

Only ROUTE and FANOUT cost credit, and only from a router to a component.  The component grants a window after
authentication, and grants what was used again once that is half of it: unless it is congested, then later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall

# How often a congested component is asked whether it is still so, in seconds.
LOOK_AGAIN = 0.05


class CreditGrants:
    """One link's grants: told what comes, says when to grant how much."""

    __slots__ = ('_clock', '_congested', '_grant', '_half', '_look', '_used', '_window')

    def __init__(
        self, window: int, grant: Callable[[int], None], congested: Callable[[], bool], clock: Any
    ) -> None:
        """window: bytes; grant(size) sends a CREDIT; clock: IReactorTime."""
        self._window, self._half, self._used = window, window // 2, 0
        self._grant, self._congested, self._clock = grant, congested, clock
        self._look: IDelayedCall | None = None

    def open(self) -> None:
        """The link is there: grant the first window."""
        self._grant(self._window)

    def take(self, size: int) -> None:
        """A ROUTE or FANOUT of so many bytes (length prefix included) has come."""
        self._used += size
        if self._used >= self._half and self._look is None:
            self._renew()

    def _renew(self) -> None:
        self._look = None
        if self._congested():
            self._look = self._clock.callLater(LOOK_AGAIN, self._renew)
            return
        size, self._used = self._used, 0
        self._grant(size)

    def close(self) -> None:
        """The link is gone."""
        if self._look is not None:
            self._look.cancel()
            self._look = None
