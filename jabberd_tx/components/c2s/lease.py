"""A worker's lease on its sessions: while it is held nobody else ends them (docs/delivery.md).

It is renewed every now and then, and holds for two such intervals.  A worker that finds its lease lost has been taken
for gone, perhaps: sessions that others have taken over meanwhile end, all others are attached again, by a new epoch.
"""

from __future__ import annotations

from random import uniform
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from jabberd_tx.storage.copies.interface import CopyStore, Start

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.service import C2S

# How many intervals a lease holds.
INTERVALS = 2


class Lease:
    """From `start` to `stop`."""

    log = Logger()

    def __init__(self, c2s: C2S, store: CopyStore, interval: float) -> None:
        """interval: seconds."""
        self._c2s, self._store, self._interval = c2s, store, interval
        self._start = Start(c2s.node, c2s.links.incarnation)
        self._next: IDelayedCall | None = None
        self._stopped = False

    def start(self) -> None:
        """Take the lease, and renew it from now on."""
        Deferred.fromCoroutine(self._renew()).addErrback(self._failed).addBoth(self._later)

    def stop(self) -> None:
        """Renew it no more."""
        self._stopped = True
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _later(self, result: object) -> None:
        if not self._stopped:
            # Not all workers at the same time.
            self._next = self._c2s.reactor.callLater(self._interval * uniform(0.7, 1.0), self._again)

    def _again(self) -> None:
        self._next = None
        self.start()

    def _failed(self, failure: object) -> None:
        self.log.warn('the lease could not be renewed: {error}', error=failure.getErrorMessage())  # type: ignore[attr-defined]

    async def _renew(self) -> None:
        if not await self._store.renew(self._start, INTERVALS * self._interval):
            self.log.warn('the lease was lost')
            await self._look_after_sessions()

    async def _look_after_sessions(self) -> None:
        c2s, claims = self._c2s, await self._store.claims(self._start)
        for session in list(c2s.sessions.values()):
            if session.stream in claims:
                # Its client is at another worker, or all that it had not acked is on its way to it by other means.
                c2s.moves.elsewhere(session, session.epoch, '')
            else:
                c2s.pins.attach_again(session)
