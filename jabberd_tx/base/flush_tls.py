"""TLS whose records are made once, at the end of the turn, just before the sockets are flushed.

Twisted's own layer gathers small writes too, but by a timer of the global reactor: what it encrypts in one turn would
be sent in the next.  Here the flush of the connection (base/flush.py) asks for the records itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from OpenSSL.SSL import Error, WantReadError, ZeroReturnError
from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer

from jabberd_tx.base.tls_records import RecordCounter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jabberd_tx.base.flush import Flush

# Plain bytes held for the end of the turn; beyond, they are encrypted at once, so that producers see the backlog.
MOST_PLAIN = 65536
MOST_OF_A_RECORD = 16384  # plain bytes in a record, RFC 8446 §5.1


class TurnTLS(TLSMemoryBIOProtocol):
    """The TLS layer of one connection: small writes of a turn become one record."""

    def __init__(self, factory: TurnTLSFactory, protocol: Any, connect_wrapped: bool = True) -> None:
        super().__init__(factory, protocol, connect_wrapped)
        self._flush = factory.flush
        self._plain: list[bytes] = []
        self._plain_bytes = 0
        self._encrypt_due = False
        self._records = RecordCounter()

    def dataReceived(self, data: bytes) -> None:
        """Decrypt, with a short way for whole records of application data: no call that only finds nothing left.

        Twisted's own way ends each read with two calls to OpenSSL that fail, and exceptions for them.  They are not
        needed where each record gave plain bytes: then there is nothing more to read, and nothing to answer.
        """
        records = self._records.complete(data)
        if not records or not self._handshakeDone or self._appSendBuffer:
            super().dataReceived(data)
            return
        connection = self._tlsConnection
        connection.bio_write(data)
        while records and not self._lostTLSConnection:
            records -= 1
            try:
                plain = connection.recv(MOST_OF_A_RECORD)
            except (WantReadError, ZeroReturnError):
                # A record of another kind (a key update, close_notify): Twisted goes on from here.
                self._flushReceiveBIO()
                return
            except Error:
                self._tlsShutdownFinished(Failure())
                return
            if not self._aborted:
                self.wrappedProtocol.dataReceived(plain)

    def write(self, data: bytes) -> None:
        """Hold it for the end of the turn.  After loseConnection only a producer may still write."""
        if self.disconnecting and self._producer is None:
            return
        if type(data) is not bytes:
            data = bytes(data)  # a TypeError now, for a str, rather than when the turn ends
        self._plain.append(data)
        self._plain_bytes += len(data)
        if self._plain_bytes > MOST_PLAIN:
            self.encrypt_pending()
        elif not self._encrypt_due:
            self._encrypt_due = True
            self._flush.encrypt_later(self)

    def writeSequence(self, pieces: Iterable[bytes]) -> None:
        """Hold all of them."""
        self.write(b''.join(pieces))

    def flush_plain(self) -> None:
        """Called once at the end of a turn in which something was written."""
        self._encrypt_due = False
        self.encrypt_pending()

    def encrypt_pending(self) -> None:
        """Make records of what is held and write them to the connection."""
        if self._plain:
            data = self._plain[0] if len(self._plain) == 1 else b''.join(self._plain)
            self._plain = []
            self._plain_bytes = 0
            self._write(data)

    def loseConnection(self) -> None:
        """Send what is held, then close_notify."""
        self.encrypt_pending()
        super().loseConnection()

    def unregisterProducer(self) -> None:
        """The last of what it wrote goes before the close_notify that may follow."""
        self.encrypt_pending()
        super().unregisterProducer()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Nothing can be sent any more."""
        self._plain = []
        super().connectionLost(reason)


class TurnTLSFactory(TLSMemoryBIOFactory):
    """Makes the layers of all connections that share a `Flush` and what creates their OpenSSL connections."""

    protocol = TurnTLS

    def __init__(self, creator: Any, is_client: bool, flush: Flush) -> None:
        # The clock serves Twisted's own gathering of writes, which this layer does not use.
        # No factory is wrapped: the protocol stands already when startTLS is called.
        super().__init__(creator, is_client, None, clock=flush.reactor)  # type: ignore[arg-type]
        self.creator = creator
        self.is_client = is_client
        self.flush = flush


@implementer()
class _Socket:
    """What the TLS layer writes its records to: the connection, past the TLS of its own methods.

    It declares no interfaces, so that none are copied to each layer: nobody sees the layer but the connection.
    """

    __slots__ = ('_connection',)

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def write(self, data: bytes) -> None:
        FileDescriptor.write(self._connection, data)

    def writeSequence(self, pieces: Iterable[bytes]) -> None:
        FileDescriptor.writeSequence(self._connection, pieces)

    def loseConnection(self) -> None:
        FileDescriptor.loseConnection(self._connection)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        FileDescriptor.registerProducer(self._connection, producer, streaming)

    def unregisterProducer(self) -> None:
        FileDescriptor.unregisterProducer(self._connection)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def start_tls(connection: Any, creator: Any, flush: Flush, normal: bool) -> None:
    """Put TLS between a connection and its protocol (ITLSTransport.startTLS).

    `creator` is an IOpenSSLServerConnectionCreator (client: IOpenSSLClientConnectionCreator); `normal` is False for a
    connection whose TLS goes the other way than its TCP.  The factory is kept for the port's next connection.
    """
    is_client = connection._tlsClientDefault if normal else not connection._tlsClientDefault
    factory = flush.tls_factory
    if factory is None or factory.creator is not creator or factory.is_client is not is_client:
        factory = flush.tls_factory = TurnTLSFactory(creator, is_client, flush)
    producer, streaming = connection.producer, connection.streamingProducer
    if producer is not None:
        connection.unregisterProducer()
    layer = TurnTLS(factory, connection.protocol, False)
    connection.protocol = layer
    connection.getHandle = layer.getHandle
    connection.getPeerCertificate = layer.getPeerCertificate
    directlyProvides(connection, ISSLTransport)
    connection.TLS = True
    layer.makeConnection(_Socket(connection))
    if producer is not None:
        connection.registerProducer(producer, streaming)
