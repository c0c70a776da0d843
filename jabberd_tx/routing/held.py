"""Frames whose slot is absent for a moment: held until it is back, or its time is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from jabberd_tx.link.frames import ABSENT, Route
from jabberd_tx.link.interfaces import Port
from jabberd_tx.routing.lanes import in_order

# What may be held for one name, whatever the number of frames.
MOST_BYTES = 32 * 1024 * 1024

# What became of a frame whose slot is absent.
HELD, FULL = 'held', 'full'


class Held(NamedTuple):
    """As Switch.route got it: from which port, the frame, its bytes if there are any, and what it takes off credit."""

    port: Port
    frame: Route
    raw: bytes | None
    size: int


class HeldFrames:
    """Of one name.  A slot's time begins when it is absent, and all its frames are sent back when that is over."""

    def __init__(self, clock: IReactorTime, grace: float, most: int, bounce: Callable[[Held], None]) -> None:
        """grace: seconds that a slot may be away; most: frames a slot; bounce: told of each whose time is over."""
        self._clock, self._grace, self._most, self._bounce = clock, grace, most, bounce
        self._since: dict[int, float] = {}  # absent slots
        self._frames: dict[int, dict[tuple[str, bytes], Held]] = {}
        self._timers: dict[int, IDelayedCall] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return sum([len(frames) for frames in self._frames.values()])

    def absent(self, slot: int) -> None:
        """From now on, unless it was before."""
        self._since.setdefault(slot, self._clock.seconds())

    def hold(self, slot: int, held: Held) -> str:
        """HELD; FULL: no room; ABSENT: the slot is away for too long.  What is sent again stands where it stood."""
        since = self._since.setdefault(slot, self._clock.seconds())
        left = since + self._grace - self._clock.seconds()
        if left <= 0:
            return ABSENT
        frames = self._frames.setdefault(slot, {})
        key = (held.frame.source, held.frame.uid)
        before = frames.get(key)
        if before is None and (len(frames) >= self._most or self._bytes + held.size > MOST_BYTES):
            return FULL
        self._bytes += held.size - (before.size if before is not None else 0)
        frames[key] = held
        if slot not in self._timers:
            self._timers[slot] = self._clock.callLater(left, self._over, slot)
        return HELD

    def take_after(self, slot: int, refused: Route) -> list[Held]:
        """What is held of what its sender sent after this frame, which found no room: it would arrive before it."""
        frames, stream = self._frames.get(slot, {}), refused.uid[:16]
        later = [
            key for key in frames if key[0] == refused.source and key[1][:16] == stream and key[1] > refused.uid
        ]  # fmt: skip
        taken = [frames.pop(key) for key in later]
        self._bytes -= sum([held.size for held in taken])
        return taken

    def back(self, slot: int) -> list[Held]:
        """The slot is there: its frames, each sender's in its order."""
        self._since.pop(slot, None)
        timer = self._timers.pop(slot, None)
        if timer is not None and timer.active():
            timer.cancel()
        frames = in_order(self._frames.pop(slot, {}).values(), lambda held: held.frame)
        self._bytes -= sum([held.size for held in frames])
        return frames

    def take_all(self) -> list[Held]:
        """All that is held, of each slot in its order; nothing is held any more."""
        return [held for slot in [*self._frames] for held in self.back(slot)]

    def forget(self, node: str) -> None:
        """That node's link is gone: it sends again what it had sent."""
        for frames in self._frames.values():
            for key in [key for key, held in frames.items() if held.port.node == node]:
                self._bytes -= frames.pop(key).size

    def close(self) -> None:
        """Hold no more: all goes back."""
        for slot in [*self._frames]:
            self._over(slot)

    def _over(self, slot: int) -> None:
        since = self._since.get(slot)
        for held in self.back(slot):
            self._bounce(held)
        if since is not None:
            self._since[slot] = since
