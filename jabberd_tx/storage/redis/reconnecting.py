"""A connection to Redis that is made again whenever it is lost, and counts only once it has been set up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger

from jabberd_tx.base.backoff import Backoff
from jabberd_tx.storage.redis.connection import RedisConnection

# Between attempts.
RETRIES = Backoff(0.05, 2.0)


class Reconnecting:
    """From `start` to `stop`."""

    log = Logger()

    def __init__(
        self,
        name: str,
        place: IStreamClientEndpoint,
        reactor: Any,
        make: Callable[[], RedisConnection],
        set_up: Callable[[RedisConnection], Awaitable[None]],
    ) -> None:
        """set_up: awaited with each connection; where it fails the connection is closed, and another tried later."""
        self._name, self._place, self._reactor = name, place, reactor
        self._make, self._set_up = make, set_up
        self._connection: RedisConnection | None = None
        self._life: Deferred[None] | None = None

    def start(self) -> None:
        """Connect, now and again."""
        self._life = Deferred.fromCoroutine(self._live())
        self._life.addErrback(lambda failure: failure.trap(CancelledError) and None)

    async def stop(self) -> None:
        """End it."""
        life, self._life = self._life, None
        if life is not None:
            life.cancel()
        if self._connection is not None:
            self._connection.abandon()
            await self._connection.when_gone()

    async def _live(self) -> None:
        failures = 0
        while True:
            connection = self._connection = self._make()
            try:
                await connectProtocol(self._place, connection)
                await self._set_up(connection)
                failures = 0
                await connection.when_gone()
            except CancelledError:
                raise
            except Exception as error:
                self.log.warn('{name}: {error}', name=self._name, error=str(error))
                connection.abandon()
            await deferLater(self._reactor, RETRIES.delay(failures))
            failures += 1
