"""One Redis master: a connection that is made again, the generation of what it holds, and calls that wait for both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger

from jabberd_tx.base.turn import Turn
from jabberd_tx.storage.redis.connection import Command, RedisConnection, RedisLost, ResponseError
from jabberd_tx.storage.redis.generation import CHANGED, generation_key, settle
from jabberd_tx.storage.redis.reconnecting import Reconnecting
from jabberd_tx.storage.redis.script import Script

# Calls that wait for a connection.
MOST_WAITING = 10_000
# Errors after which the server is asked anew who it is.
_ANEW = (CHANGED, 'NOSCRIPT', 'READONLY', 'LOADING', 'MASTERDOWN')

Make = Callable[[bytes], Sequence[Command]]


class RedisUnavailable(Exception):
    """The master could not be asked in time."""


class RedisMaster:
    """generation   changes when what it holds may be gone; b'' before the first connection
    connection      the one that is set up, or None
    """

    log = Logger()

    def __init__(
        self,
        name: str,
        place: IStreamClientEndpoint,
        reactor: Any,
        turn: Turn,
        options: Any,
        scripts: Sequence[Script] = (),
    ) -> None:
        """options: the values of OPTIONS (storage/redis/options.py).  scripts: those that calls use."""
        self.name, self.prefix = name, options.prefix.encode()
        self.generation_key = generation_key(self.prefix)
        self._reactor, self._turn, self._options, self._scripts = reactor, turn, options, scripts
        self.connection: RedisConnection | None = None
        self.generation = b''
        self._settled_at = 0.0
        self._waiting: dict[Deferred[None], None] = {}
        self._renewed: list[Callable[[], None]] = []
        self._ready: list[Callable[[RedisConnection], None]] = []
        self._lost: list[Callable[[], None]] = []
        self._kept = Reconnecting(name, place, reactor, self._make_connection, self._set_up)

    # ---- life

    def start(self) -> None:
        """Connect, and go on until `stop`."""
        self._kept.start()

    async def stop(self) -> None:
        """Close the connection; calls fail."""
        await self._kept.stop()
        for waiting in list(self._waiting):
            waiting.errback(RedisUnavailable(self.name))

    def on_renewed(self, call: Callable[[], None]) -> None:
        """`call` whenever what it held may be gone."""
        self._renewed.append(call)

    def on_ready(self, call: Callable[[RedisConnection], None]) -> None:
        """`call` with each connection as soon as it is set up."""
        self._ready.append(call)

    def on_lost(self, call: Callable[[], None]) -> None:
        """`call` when that connection is gone."""
        self._lost.append(call)

    def _make_connection(self) -> RedisConnection:
        return RedisConnection(self._reactor, self._turn, self._options.timeout, self._closed)

    async def _set_up(self, connection: RedisConnection) -> None:
        await introduce(connection, self._options.password, self._options.database)
        for script in self._scripts:
            await script.load(connection)
        await self._settle(connection)
        self.connection = connection
        for call in self._ready:
            call(connection)
        waiting, self._waiting = self._waiting, {}
        for one in waiting:
            one.callback(None)

    async def _settle(self, connection: RedisConnection) -> None:
        before = self.generation
        self.generation, left = await settle(connection, self.prefix, self._options.announcing)
        self._settled_at = self._reactor.seconds() + max(left, 0)
        if before and before != self.generation:
            self.log.warn('{name} is another than it was: all sessions are announced again', name=self.name)
            for call in self._renewed:
                call()

    def _closed(self, connection: RedisConnection) -> None:
        if self.connection is connection:
            self.connection = None
            self.log.warn('{name}: the connection is lost', name=self.name)
            for call in self._lost:
                call()

    # ---- calls

    async def run(self, make: Make) -> list[Any]:
        """The replies to the commands that `make` makes for a generation, asked in one write, and asked again on a
        new connection when one is lost.  RedisUnavailable after `patience` seconds; ResponseError."""
        deadline = self._reactor.seconds() + self._options.patience
        while True:
            connection = self.connection
            if connection is None:
                await self._until_ready(deadline)
                continue
            try:
                return await _replies(connection.ask_all(make(self.generation)))
            except RedisLost:
                if self._reactor.seconds() >= deadline:
                    raise RedisUnavailable(self.name) from None
            except ResponseError as error:
                if not str(error).startswith(_ANEW) or self._reactor.seconds() >= deadline:
                    raise
                connection.abandon()  # it has forgotten something, or is no master: it is looked at anew

    def doubt(self, generation: bytes = b'') -> None:
        """It may have lost what it held, or is said to be of that generation: unless that is the one we know, it is
        looked at anew, and calls wait for it."""
        if self.connection is not None and generation != self.generation:
            self.connection.abandon()
            self._closed(self.connection)

    async def complete(self) -> None:
        """Wait until what is missing is absent, and not just not announced again yet."""
        while (left := self._settled_at - self._reactor.seconds()) > 0:
            await deferLater(self._reactor, left)

    @property
    def is_complete(self) -> bool:
        """Whether what is missing is absent."""
        return self._settled_at <= self._reactor.seconds()

    async def _until_ready(self, deadline: float) -> None:
        left = deadline - self._reactor.seconds()
        if left <= 0 or len(self._waiting) >= MOST_WAITING:
            raise RedisUnavailable(self.name)
        ready: Deferred[None] = Deferred()
        self._waiting[ready] = None
        timer = self._reactor.callLater(left, self._too_late, ready)
        try:
            await ready
        finally:
            self._waiting.pop(ready, None)
            if timer.active():
                timer.cancel()

    def _too_late(self, ready: Deferred[None]) -> None:
        if ready in self._waiting:
            ready.errback(RedisUnavailable(self.name))


async def introduce(connection: RedisConnection, password: str, database: int) -> None:
    """Say who we are, and which database is ours."""
    if password:
        await connection.ask(b'AUTH', password.encode())
    if database:
        await connection.ask(b'SELECT', b'%d' % database)


async def _replies(asked: Sequence[Deferred[Any]]) -> list[Any]:
    """All replies, in order; when one is an error, that error, after all have come."""
    replies, wrong = [], None
    for one in asked:
        try:
            replies.append(await one)
        except (RedisLost, ResponseError) as error:
            wrong = wrong or error
    if wrong is not None:
        raise wrong
    return replies
