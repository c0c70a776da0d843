"""Connections in memory, on a clock: what one side writes the other reads in a later turn.

They behave as TCP does where it matters to a protocol: reading can be paused, what is written and not read fills a
buffer and pauses the producer, closing sends what is left first, half-closing leaves the other direction open.
There is no TLS: tests of it use sockets.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

# Bytes that the other side has not read, beyond which the producer is paused.
HIGH_WATER = 65536


@implementer(ITransport)
class MemoryTransport:
    """One end.  Made by `connect`.

    connected  until the protocol has been told that it is over
    reading    False while paused; `waiting` is then what the other side has written, and holds up its producer
    aborted    this end gave up
    """

    def __init__(self, clock: Any, host: str, port: int) -> None:
        self.clock = clock
        self.connected, self.reading, self.aborted = True, True, False
        self.protocol: Any = None
        self.other: MemoryTransport
        self.waiting: list[bytes] = []
        self._address = IPv4Address('TCP', host, port)
        self._producer: Any = None
        self._producer_paused = False
        self._finished = False  # nothing is written after what was
        self._closing = False  # and it is closed once that has been read
        self._due = self._told = False

    # ---- ITransport and what protocols use beside it

    def write(self, data: bytes) -> None:
        """The other side reads it in a later turn."""
        if self._finished or not self.connected or not data:
            return
        self.other.waiting.append(bytes(data))
        self.other._deliver_soon()
        if self._producer is not None and not self._producer_paused and self.unread > HIGH_WATER:
            self._producer_paused = True
            self._producer.pauseProducing()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """All of them."""
        for data in iovec:
            self.write(data)

    def loseConnection(self) -> None:
        """Close when all has been read by the other side."""
        self._finished = self._closing = True
        self.other._deliver_soon()

    def loseWriteConnection(self) -> None:
        """Half-close: the other side reads the end, this one reads on."""
        self._finished = True
        self.other._deliver_soon()

    def abortConnection(self) -> None:
        """Close at once; what is not read is lost."""
        self.aborted = True
        self.clock.callLater(0, self._end, ConnectionAborted())
        self.clock.callLater(0, self.other._end, ConnectionLost())

    def pauseProducing(self) -> None:
        """Read nothing more for now."""
        self.reading = False

    def resumeProducing(self) -> None:
        """Read on."""
        self.reading = True
        self._deliver_soon()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """It is paused while the other side does not read."""
        self._producer = producer

    def unregisterProducer(self) -> None:
        """It writes nothing more."""
        self._producer = None

    def getPeer(self) -> IPv4Address:
        """The other side's address."""
        return self.other._address

    def getHost(self) -> IPv4Address:
        """This side's address."""
        return self._address

    def getHandle(self) -> None:
        """There is no socket."""

    # ---- inside

    @property
    def unread(self) -> int:
        """Bytes that were written here and not read there."""
        return sum(map(len, self.other.waiting))

    def _deliver_soon(self) -> None:
        if not self._due:
            self._due = True
            self.clock.callLater(0, self._deliver)

    def _deliver(self) -> None:
        self._due = False
        if not self.connected or not self.reading:
            return
        data, self.waiting = b''.join(self.waiting), []
        if data:
            self.protocol.dataReceived(data)
            self.other._drained()
        if not self.waiting and self.reading and self.other._finished:
            self._read_end()

    def _drained(self) -> None:
        if self._producer is not None and self._producer_paused:
            self._producer_paused = False
            self._producer.resumeProducing()

    def _read_end(self) -> None:
        half_open = self.other.connected and not self._closing and not self.other._closing
        if half_open and IHalfCloseableProtocol.providedBy(self.protocol):
            if not self._told:
                self._told = True
                self.protocol.readConnectionLost()
            return
        self._finished = True
        self._end(ConnectionDone())
        if self.other.connected:
            self.other._deliver_soon()

    def _end(self, why: Exception) -> None:
        if self.connected:
            self.connected = False
            self.protocol.connectionLost(Failure(why))


def connect(
    clock: Any, client: Any, server: Any, host: str = '127.0.0.1', port: int = 5222
) -> tuple[MemoryTransport, MemoryTransport]:
    """Connect two protocols; the client's end and the server's.  `host`: the client's address."""
    ends = MemoryTransport(clock, host, 40000), MemoryTransport(clock, '127.0.0.1', port)
    ends[0].other, ends[1].other = ends[1], ends[0]
    ends[0].protocol, ends[1].protocol = client, server
    server.makeConnection(ends[1])
    client.makeConnection(ends[0])
    return ends
