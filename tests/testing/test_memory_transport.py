"""Connections in memory behave as TCP does where it matters to a protocol."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from jabberd_tx.testing.memory_transport import HIGH_WATER, connect


class End(Protocol):
    """Keeps what it reads, and why it ended."""

    def __init__(self) -> None:
        self.read = b''
        self.ended: type | None = None

    def dataReceived(self, data: bytes) -> None:
        self.read += data

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        assert self.ended is None, 'told once'
        self.ended = reason.type


@implementer(IHalfCloseableProtocol)
class HalfOpen(End):
    """One that goes on writing when the other side has finished."""

    finished = False

    def readConnectionLost(self) -> None:
        self.finished = True

    def writeConnectionLost(self) -> None:
        pass


class Producer:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append('pause')

    def resumeProducing(self) -> None:
        self.told.append('resume')


def pair(client: Any = None) -> tuple[Clock, Any, Any]:
    clock = Clock()
    ends = client or End(), End()
    connect(clock, *ends, host='192.0.2.7')
    return clock, *ends


def test_what_is_written_is_read_in_a_later_turn_and_in_order() -> None:
    clock, client, server = pair()
    client.transport.write(b'a')
    client.transport.writeSequence([b'b', b'c'])
    assert server.read == b''
    clock.advance(0)
    assert server.read == b'abc'
    assert server.transport.getPeer().host == '192.0.2.7' and client.transport.getPeer().port == 5222


def test_a_close_comes_after_what_was_written() -> None:
    clock, client, server = pair()
    client.transport.write(b'last')
    client.transport.loseConnection()
    client.transport.write(b'too late')
    clock.pump([0, 0, 0])
    assert server.read == b'last'
    assert client.ended is server.ended is ConnectionDone


def test_a_half_close_leaves_the_other_direction_open() -> None:
    clock, client, server = pair(HalfOpen())
    server.transport.write(b'bye')
    server.transport.loseWriteConnection()
    clock.pump([0, 0, 0])
    assert client.read == b'bye' and client.finished and client.ended is None
    client.transport.write(b'wait')
    clock.pump([0, 0, 0])
    assert server.read == b'wait' and server.ended is None
    client.transport.loseConnection()
    clock.pump([0, 0, 0])
    assert client.ended is server.ended is ConnectionDone


def test_a_protocol_that_knows_no_half_close_is_closed() -> None:
    clock, client, server = pair()
    server.transport.loseWriteConnection()
    clock.pump([0, 0, 0])
    assert client.ended is server.ended is ConnectionDone


def test_an_abort_loses_what_is_not_read() -> None:
    clock, client, server = pair()
    server.transport.pauseProducing()
    client.transport.write(b'lost')
    clock.advance(0)
    client.transport.abortConnection()
    clock.pump([0, 0])
    assert client.transport.aborted and client.ended is ConnectionAborted
    assert server.read == b'' and server.ended is ConnectionLost


def test_who_does_not_read_pauses_who_writes() -> None:
    clock, client, server = pair()
    producer = Producer()
    client.transport.registerProducer(producer, True)
    server.transport.pauseProducing()
    client.transport.write(b'x' * HIGH_WATER)
    clock.advance(0)
    assert producer.told == [] and client.transport.unread == HIGH_WATER
    client.transport.write(b'x')
    assert producer.told == ['pause']
    server.transport.resumeProducing()
    clock.advance(0)
    assert producer.told == ['pause', 'resume'] and len(server.read) == HIGH_WATER + 1
    client.transport.unregisterProducer()
    client.transport.write(b'x' * 2 * HIGH_WATER)
    assert producer.told == ['pause', 'resume']


def test_an_end_is_not_heard_of_while_nothing_is_read() -> None:
    clock, client, server = pair()
    server.transport.pauseProducing()
    client.transport.loseConnection()
    clock.pump([0, 0])
    assert server.ended is None and client.ended is None
    server.transport.resumeProducing()
    clock.pump([0, 0, 0])
    assert server.ended is client.ended is ConnectionDone
