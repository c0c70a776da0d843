"""Where a Redis master is: at a fixed address, or where the Sentinels say at the moment."""

from __future__ import annotations

from collections.abc import Sequence
from random import sample
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, clientFromString, connectProtocol
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer

from jabberd_tx.base.turn import Turn
from jabberd_tx.storage.redis.connection import RedisConnection, RedisLost, ResponseError

# A Sentinel that takes longer than this is passed over.
SENTINEL_S = 1.0


def fixed(reactor: Any, address: str) -> IStreamClientEndpoint:
    """`address`: a client endpoint of Twisted's, such as tcp:127.0.0.1:6379 or unix:/run/redis.sock.  ValueError."""
    endpoint: IStreamClientEndpoint = clientFromString(reactor, address)
    return endpoint


@implementer(IStreamClientEndpoint)
class SentinelPlace:
    """Asks the Sentinels, one after another in any order, for the address of a master before each connection."""

    def __init__(self, reactor: Any, turn: Turn, sentinels: Sequence[tuple[str, int]], name: str) -> None:
        self._reactor, self._turn = reactor, turn
        self._sentinels, self._name = tuple(sentinels), name

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See IStreamClientEndpoint.  RedisLost when no Sentinel knows the master."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        for host, port in sample(self._sentinels, len(self._sentinels)):
            try:
                found = await self._ask(host, port)
            except Exception:  # whatever is wrong with this one, the next may know
                continue
            if found is not None:
                return await HostnameEndpoint(self._reactor, *found, timeout=SENTINEL_S).connect(factory)
        raise RedisLost(f'no Sentinel knows a master {self._name!r}')

    async def _ask(self, host: str, port: int) -> tuple[bytes, int] | None:
        connection = RedisConnection(self._reactor, self._turn, SENTINEL_S)
        await connectProtocol(HostnameEndpoint(self._reactor, host.encode(), port, timeout=SENTINEL_S), connection)
        try:
            found = await connection.ask(b'SENTINEL', b'get-master-addr-by-name', self._name.encode())
        except ResponseError:
            return None
        finally:
            connection.abandon()
        return None if not found else (found[0], int(found[1]))

