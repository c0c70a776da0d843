"""Copies in memory, on a clock: for tests that have no Redis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from jabberd_tx.storage.copies.interface import Start


class MemoryCopies:
    """A CopyStore (storage/copies/interface.py).

    held   a Deferred for each append that is not answered yet, while `holds` is set
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._logs: dict[Start, dict[int, bytes]] = {}
        self._claims: dict[Start, dict[bytes, str]] = {}
        self._leases: dict[Start, float] = {}
        self._renewed: list[Callable[[], None]] = []
        self.holds = False
        self.held: list[Deferred[None]] = []

    # ---- the log

    def append(self, start: Start, number: int, chunk: bytes, keep_from: int) -> Deferred[None]:
        """See CopyStore."""
        log = self._logs.setdefault(start, {})
        if number > max(log, default=0):
            log[number] = chunk
        for old in [old for old in log if old < keep_from]:
            del log[old]
        if not self.holds:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self.held.append(waiting)
        return waiting

    def answer(self) -> None:
        """What was held is answered, and nothing is held from now on."""
        self.holds = False
        held, self.held = self.held, []
        for waiting in held:
            waiting.callback(None)

    def read(self, start: Start) -> Deferred[list[bytes]]:
        """See CopyStore."""
        return succeed(list(self._logs.get(start, {}).values()))

    def starts(self) -> Deferred[Sequence[Start]]:
        """See CopyStore."""
        return succeed(list(self._logs))

    def drop(self, start: Start) -> Deferred[None]:
        """See CopyStore."""
        self._logs.pop(start, None)
        self._leases.pop(start, None)
        return succeed(None)

    # ---- who takes over

    def claim(self, start: Start, stream: bytes, holder: str, instead_of: str = '') -> Deferred[str]:
        """See CopyStore."""
        claims = self._claims.setdefault(start, {})
        if claims.get(stream, holder) in (holder, instead_of):
            claims[stream] = holder
        return succeed(claims[stream])

    def claims(self, start: Start) -> Deferred[dict[bytes, str]]:
        """See CopyStore."""
        return succeed(dict(self._claims.get(start, {})))

    # ---- leases

    def renew(self, start: Start, seconds: float) -> Deferred[bool]:
        """See CopyStore."""
        now = self._clock.seconds()
        held = self._leases.get(start, now) >= now
        self._leases[start] = now + seconds
        return succeed(held)

    def lost_for(self, start: Start, grace: float) -> Deferred[float]:
        """See CopyStore."""
        now = self._clock.seconds()
        return succeed(now - self._leases.setdefault(start, now + grace))

    # ---- a loss

    def on_renewed(self, call: Callable[[], None]) -> None:
        """See CopyStore."""
        self._renewed.append(call)

    def lose(self) -> None:
        """All that was held."""
        self._logs.clear()
        self._claims.clear()
        self._leases.clear()
        for call in self._renewed:
            call()
