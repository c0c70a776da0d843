"""Drops stored messages that nobody has fetched in time, whoever they are for, a few at a time."""

from __future__ import annotations

from collections.abc import Callable
from random import uniform
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from jabberd_tx.storage import offline
from jabberd_tx.storage.operations import StorageError

if TYPE_CHECKING:
    from jabberd_tx.components.sm.service import SessionManager

# About how often it is looked for them, how many messages are looked at in one go; if there is more, a little later.
EVERY_SECONDS, MOST, MORE_SECONDS = 3600.0, 500, 5.0


class OfflineSweep:
    """From `start` to `stop`."""

    log = Logger()

    def __init__(self, sm: SessionManager, expired: Callable[[], float]) -> None:
        """`expired`: what came before that time, in seconds since 1970, is dropped; 0: nothing is."""
        self._sm, self._expired = sm, expired
        self._running = False
        self._next: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to look."""
        self._running = True
        self._look_later(EVERY_SECONDS)

    def stop(self) -> None:
        """Look no more."""
        self._running = False
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _look_later(self, seconds: float) -> None:
        if self._running:
            # Not all session managers at the same time.
            self._next = self._sm.reactor.callLater(uniform(0.5, 1.5) * seconds, self._look)

    def _look(self) -> None:
        self._next = None
        before = self._expired()
        if before:
            self._sm.spawn(self._drop(before))
        else:
            self._look_later(EVERY_SECONDS)

    async def _drop(self, before: float) -> None:
        more = False
        try:
            gone, more = await self._sm.storage.run(offline.sweep, min(self._sm.domains), before, MOST)
            if gone:
                self.log.info('{count} messages that nobody has fetched in time are dropped', count=gone)
        except StorageError as error:
            self.log.warn('messages that nobody has fetched stay stored: {error}', error=str(error))
        finally:
            self._look_later(MORE_SECONDS if more else EVERY_SECONDS)
