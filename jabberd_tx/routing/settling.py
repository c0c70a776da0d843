"""Keeps what is new from getting to the heirs of an instance before what that one has not confirmed.

When an instance goes, its senders repeat what it has not confirmed; but one that has not heard of it yet may send
its next frame first, and that would go to the new owner of its key at once.  So for a moment only frames that their
senders know to be repeats go to the heirs; others go back as busy, and come again in order.
"""

from __future__ import annotations

from collections.abc import Callable

from jabberd_tx.link.frames import CLIENT, REPEAT, RETURNED, Route

# Seconds: longer than the news takes to the senders, and what they sent before takes to here.
MOMENT = 0.2
# Repeats; and what has its order from elsewhere: sessions are pinned (docs/delivery.md).
_FREE = REPEAT | CLIENT | RETURNED


class Settling:
    """lost  (until, whether a frame is of the share) of each instance that has just gone; empty, as a rule"""

    __slots__ = ('_now', 'lost')

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.lost: list[tuple[float, Callable[[Route], bool]]] = []

    def gone(self, share: Callable[[Route], bool]) -> None:
        """An instance with this share."""
        self.lost.append((self._now() + MOMENT, share))

    def holds_up(self, frame: Route) -> bool:
        """Whether the frame must go back for now."""
        now = self._now()
        self.lost[:] = [lost for lost in self.lost if lost[0] > now]
        return not frame.flags & _FREE and any(share(frame) for _, share in self.lost)
