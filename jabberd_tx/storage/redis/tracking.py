"""What was read from a Redis master lately, kept true by the master: CLIENT TRACKING, redirected to a connection of
its own that is told which keys have changed.

Nothing is remembered while that connection is not there, and a reply is remembered only if no word of a change came
since it was asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger

from jabberd_tx.base.turn import Turn
from jabberd_tx.storage.redis.connection import RedisConnection, RedisLost, ResponseError
from jabberd_tx.storage.redis.master import RedisMaster, introduce
from jabberd_tx.storage.redis.reconnecting import Reconnecting

_CHANNEL = b'__redis__:invalidate'
# How often the connection that tells of changes is asked whether it is still there.
BEAT_S = 1.0


class NearCache:
    """key (bytes) -> whatever the caller made of the reply; the least lately asked for go first."""

    log = Logger()

    def __init__(
        self,
        master: RedisMaster,
        place: IStreamClientEndpoint,
        reactor: Any,
        turn: Turn,
        options: Any,
    ) -> None:
        """options: the values of OPTIONS (storage/redis/options.py)."""
        self._master, self._reactor, self._turn, self._options = master, reactor, turn, options
        self._known: OrderedDict[bytes, Any] = OrderedDict()
        self._asked: dict[bytes, object] = {}
        self._teller: RedisConnection | None = None
        self._teller_id = b''
        self.tracking = False
        master.on_ready(self._data_ready)
        master.on_lost(self._off)
        self._kept = Reconnecting(f'{master.name} (changes)', place, reactor, self._make_teller, self._listen)

    def start(self) -> None:
        """Connect, and go on until `stop`."""
        self._kept.start()
        self._beat = self._reactor.callLater(BEAT_S, self._ask_teller)

    async def stop(self) -> None:
        """Close the connection."""
        self._beat.cancel()
        await self._kept.stop()

    # ---- asking

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: bytes) -> Any:
        """What is remembered, or None."""
        return self._known.get(key)

    def values(self) -> list[Any]:
        """All that is remembered."""
        return list(self._known.values())

    def asking(self, key: bytes) -> object | None:
        """To be called in the turn that asks for the key; its result goes to `learn` with the reply."""
        if not self.tracking:
            return None
        mark = self._asked[key] = object()
        return mark

    def learn(self, key: bytes, mark: object | None, value: Any) -> None:
        """What the reply says; None: nothing that may be remembered."""
        if mark is None or self._asked.get(key) is not mark:
            return
        del self._asked[key]
        if value is None:
            self._known.pop(key, None)
            return
        self._known[key] = value
        self._known.move_to_end(key)
        if len(self._known) > self._options.cached:
            self._known.popitem(last=False)

    def forget(self, key: bytes) -> None:
        """It is about to change, or has changed."""
        self._known.pop(key, None)
        self._asked.pop(key, None)

    # ---- being told

    def _make_teller(self) -> RedisConnection:
        return RedisConnection(self._reactor, self._turn, self._options.timeout, self._teller_lost, self._told)

    async def _listen(self, teller: RedisConnection) -> None:
        await introduce(teller, self._options.password, 0)
        self._teller_id = b'%d' % await teller.ask(b'CLIENT', b'ID')
        await teller.ask(b'SUBSCRIBE', _CHANNEL)
        self._teller = teller
        if self._master.connection is not None:
            await self._track(self._master.connection)

    def _data_ready(self, connection: RedisConnection) -> None:
        if self._teller is not None:
            Deferred.fromCoroutine(self._track(connection)).addErrback(self._not_tracked)

    async def _track(self, connection: RedisConnection) -> None:
        try:
            await connection.ask(b'CLIENT', b'TRACKING', b'OFF')
            await connection.ask(b'CLIENT', b'TRACKING', b'ON', b'REDIRECT', self._teller_id, b'NOLOOP')
        except (RedisLost, ResponseError):
            # The two may be connected to different masters while one takes over from the other.
            if self._teller is not None:
                self._teller.abandon()
            raise
        self.tracking = connection is self._master.connection and self._teller is not None

    def _not_tracked(self, failure: Any) -> None:
        self.log.warn('{name}: changes are not told: {error}', name=self._master.name, error=failure.getErrorMessage())

    def _ask_teller(self) -> None:
        self._beat = self._reactor.callLater(BEAT_S, self._ask_teller)
        if self._teller is not None:
            self._teller.ask(b'PING').addErrback(lambda failure: failure.trap(RedisLost, ResponseError) and None)

    def _told(self, channel: bytes, keys: list[bytes] | None) -> None:
        if keys is None:
            # Somebody has deleted everything.
            self._known.clear()
            self._asked.clear()
            self._master.doubt()
            return
        for key in keys:
            self.forget(key)

    def _teller_lost(self, teller: RedisConnection) -> None:
        if self._teller is teller or self._teller is None:
            self._teller = None
            self._off()

    def _off(self) -> None:
        self.tracking = False
        self._known.clear()
        self._asked.clear()
