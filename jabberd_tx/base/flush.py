"""The end-of-turn flush: what a turn writes to a connection leaves in one send, without arming EPOLLOUT.

Twisted's `transport.write` registers for EPOLLOUT, waits for the next poll, sends, and unregisters: two
system calls and a walk through the reactor for each burst.  Here `startWriting` notes the connection as
dirty, one flush at the end of the turn sends what each of them holds, and only for what the socket
did not take is the reactor asked to say when there is room.

    port = listen_tcp(reactor, turn, 5222, factory)
    endpoint = client_endpoint(reactor, turn, 'router1', 5269)

TLS (`transport.startTLS`; for direct TLS call it in connectionMade) is encrypted in the same flush, before
the sockets (base/flush_tls.py).  What a socket did not take is written by the reactor, as ever, until it is empty.
"""

from __future__ import annotations

import os
import socket
from errno import EAGAIN, ENOBUFS, EWOULDBLOCK
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp, unix
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.logger import Logger
from zope.interface import directlyProvides, providedBy

from jabberd_tx.base.flush_tls import TurnTLSFactory, start_tls

if TYPE_CHECKING:
    from twisted.internet.interfaces import IConnector, IListeningPort, IProtocolFactory, IStreamClientEndpoint
    from twisted.internet.protocol import ClientFactory

    from jabberd_tx.base.turn import Turn

BACKLOG = 4096


class Flush:
    """The connections of one port (or one outgoing link) that have something to send when the turn ends."""

    __slots__ = ('_dirty', '_due', '_plain', '_turn', 'reactor', 'tls_factory')
    log = Logger()

    def __init__(self, reactor: Any, turn: Turn) -> None:
        self.reactor = reactor
        self._turn = turn
        self._dirty: list[Any] = []  # connections to be sent
        self._plain: list[Any] = []  # TLS layers with bytes to be encrypted first
        self._due = False
        self.tls_factory: TurnTLSFactory | None = None  # of the last startTLS

    def send_later(self, connection: Any) -> None:
        """Call connection.doWrite at the end of the turn.  Once a turn for each: the caller sees to it."""
        self._dirty.append(connection)
        if not self._due:
            self._due = True
            self._turn.at_end(self.run)

    def encrypt_later(self, layer: Any) -> None:
        """Call layer.flush_plain at the end of the turn, before anything is sent."""
        self._plain.append(layer)
        if not self._due:
            self._due = True
            self._turn.at_end(self.run)

    def run(self) -> None:
        """Encrypt, then send.  What this itself causes to be written (a producer resumed) waits for the next turn."""
        if self._plain:
            layers, self._plain = self._plain, []
            for layer in layers:
                self._encrypt(layer)
        dirty, self._dirty = self._dirty, []
        self._due = False
        if self._plain:  # written by a producer that was paused just now
            self._due = True
            self._turn.at_end(self.run)
        for connection in dirty:
            connection.flush_due = False
            if connection.disconnected or connection._aborting:
                continue
            try:
                why = connection.send_now()
            except Exception as error:
                self.log.failure('a connection could not be flushed')
                why = error
            if why:
                self._disconnect(connection, why)
            elif connection.dataBuffer and not connection.disconnected:
                self.reactor.addWriter(connection)

    def _encrypt(self, layer: Any) -> None:
        try:
            layer.flush_plain()
        except Exception:
            self.log.failure('a TLS layer could not encrypt')
            layer.transport.abortConnection()

    def _disconnect(self, connection: Any, why: Exception) -> None:
        try:
            self.reactor._disconnectSelectable(connection, why, False)
        except Exception:
            self.log.failure('a protocol failed when its connection was lost')


class _FlushedWrites:
    """Mixed in before a Twisted connection class: writing waits for the end of the turn."""

    flush: Flush
    flush_due = False

    def startWriting(self) -> None:
        """Note that there is something to do: bytes, a close or a half-close.

        Bytes in `dataBuffer` are what the socket did not take: the reactor is watching it already and will
        do the rest.  Before it is connected, a client-side transport waits for EPOLLOUT as usual.
        """
        if self.flush_due or self.dataBuffer:  # type: ignore[attr-defined]
            return
        if self.connected:  # type: ignore[attr-defined]
            self.flush_due = True
            self.flush.send_later(self)
        else:
            super().startWriting()  # type: ignore[misc]

    def send_now(self) -> Exception | None:
        """Called once at the end of a turn; what doWrite returns."""
        why: Exception | None = self.doWrite()  # type: ignore[attr-defined]
        return why

    def startTLS(self, creator: Any, normal: bool = True) -> None:
        """ITLSTransport.startTLS, with a layer that encrypts once at the end of the turn."""
        start_tls(self, creator, self.flush, normal)


class _FlushedTCP(_FlushedWrites):
    """For TCP, with a short way for the usual case."""

    def write(self: Any, data: bytes) -> None:
        """ITransport.write; without TLS it is done here, as Twisted does it in five calls."""
        if self.TLS or type(data) is not bytes or not data or not self.connected or self._writeDisconnected:
            super().write(data)  # type: ignore[misc]
            return
        self._tempDataBuffer.append(data)
        self._tempDataLen += len(data)
        if self._tempDataLen + len(self.dataBuffer) > self.bufferSize:
            self._maybePauseProducer()
        if not self.flush_due and not self.dataBuffer:
            self.flush_due = True
            self.flush.send_later(self)

    def doRead(self: Any) -> Any:
        """As Twisted's, in one call."""
        try:
            data = self.socket.recv(self.bufferSize)
        except OSError as error:
            return None if error.errno in (EAGAIN, EWOULDBLOCK) else CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        self.protocol.dataReceived(data)
        return None

    def send_now(self: Any) -> Exception | None:
        """One send of all that the turn wrote.  Where there is more to it, Twisted's doWrite does it."""
        pieces = self._tempDataBuffer
        waits = self.producer is not None and (self.producerPaused or not self.streamingProducer)
        if not pieces or waits or self.disconnecting or self._writeDisconnecting:
            why: Exception | None = self.doWrite()
            return why
        data = pieces[0] if len(pieces) == 1 else b''.join(pieces)
        pieces.clear()
        self._tempDataLen = 0
        try:
            sent = self.socket.send(data)
        except OSError as error:
            if error.errno not in (EAGAIN, EWOULDBLOCK, ENOBUFS):
                return CONNECTION_LOST
            sent = 0
        if sent < len(data):
            self.dataBuffer, self.offset = data, sent
        return None


class FlushedServer(_FlushedTCP, tcp.Server):
    """An accepted TCP connection."""

    def __init__(self, sock: Any, protocol: Any, client: Any, server: Any, sessionno: int, reactor: Any) -> None:
        # What every connection comes to have is set from the start: an attribute that comes later makes a dict of its
        # own for each of them, which takes 600 bytes.  With what TLS adds there are 21: one more doubles that dict.
        self.flush, self.flush_due = server.flush, False
        self.producer, self.streamingProducer = None, False
        super().__init__(sock, protocol, client, server, sessionno, reactor)


class FlushedUnixServer(_FlushedWrites, unix.Server):
    """An accepted connection on a unix socket."""

    def __init__(self, sock: Any, protocol: Any, client: Any, server: Any, sessionno: int, reactor: Any) -> None:
        self.flush = server.flush
        super().__init__(sock, protocol, client, server, sessionno, reactor)


class FlushedClient(_FlushedTCP, tcp.Client):
    """An outgoing TCP connection."""

    def __init__(self, host: str, port: int, bind: Any, connector: Any, reactor: Any) -> None:
        self.flush = connector.flush
        super().__init__(host, port, bind, connector, reactor)


class FlushedConnector(tcp.Connector):
    """Makes outgoing connections that flush at the end of the turn."""

    def __init__(
        self, flush: Flush, host: str, port: int, factory: Any, timeout: float = 30.0, bind: Any = None
    ) -> None:
        self.flush = flush
        super().__init__(host, port, factory, timeout, bind, flush.reactor)

    def _makeTransport(self) -> tcp.Client:
        return FlushedClient(self.host, self.port, self.bindAddress, self, self.reactor)


class _ConnectingReactor:
    """The reactor, but for connectTCP: so that Twisted's own endpoints make connections that flush."""

    def __init__(self, flush: Flush) -> None:
        self._flush = flush
        directlyProvides(self, providedBy(flush.reactor))

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30.0, bindAddress: Any = None
    ) -> IConnector:
        connector = FlushedConnector(self._flush, host, port, factory, timeout, bindAddress)
        connector.connect()
        return connector

    def __getattr__(self, name: str) -> Any:
        return getattr(self._flush.reactor, name)


def listen_tcp(
    reactor: Any,
    turn: Turn,
    port: int,
    factory: IProtocolFactory,
    interface: str = '',
    backlog: int = BACKLOG,
    reuse_port: bool = False,
) -> IListeningPort:
    """Listen on a TCP port (0: any free one); `reuse_port` shares it with other processes (SO_REUSEPORT).

    Raises twisted.internet.error.CannotListenError.
    """
    binding = tcp.makeBinding(interface, port, reuseAddress=True, reusePort=reuse_port)
    return _flushed(reactor.listenTCP(binding, factory, backlog, interface), FlushedServer, reactor, turn)


def adopt_tcp(reactor: Any, turn: Turn, fd: int, factory: IProtocolFactory) -> IListeningPort:
    """Listen on an inherited socket that is bound and listens already.  The caller closes its own `fd`."""
    with socket.socket(fileno=os.dup(fd)) as listener:
        listener.setblocking(False)
        family = listener.family
    return _flushed(reactor.adoptStreamPort(fd, family, factory), FlushedServer, reactor, turn)


def listen_unix(
    reactor: Any, turn: Turn, path: str, factory: IProtocolFactory, mode: int = 0o600, backlog: int = BACKLOG
) -> IListeningPort:
    """Listen on a unix socket; one left behind by a dead process is taken over, a live one is not."""
    port = reactor.listenUNIX(path, factory, backlog, mode, wantPID=True)
    return _flushed(port, FlushedUnixServer, reactor, turn)


def _flushed(port: Any, transport: type, reactor: Any, turn: Turn) -> IListeningPort:
    # Set before the reactor can accept: on this port object, never on Twisted's class.
    port.flush = Flush(reactor, turn)
    port.transport = transport
    listening: IListeningPort = port
    return listening


def client_endpoint(
    reactor: Any, turn: Turn, host: str, port: int, timeout: float = 10.0, bind: Any = None
) -> IStreamClientEndpoint:
    """Connects to a host name (all its addresses, happy eyeballs) or literal; the connection flushes."""
    return HostnameEndpoint(_ConnectingReactor(Flush(reactor, turn)), host, port, timeout, bind)


def connect_tcp(
    reactor: Any, turn: Turn, host: str, port: int, factory: ClientFactory, timeout: float = 10.0
) -> IConnector:
    """reactor.connectTCP, for a connection that flushes."""
    connector = FlushedConnector(Flush(reactor, turn), host, port, factory, timeout)
    connector.connect()
    return connector
