"""The admin socket of a process: jabberd-ctl asks here for what has to be done within.

    admin = AdminSocket(socket_path(options, node), reactor, {'status': status}, options)
    admin.register('kick', kick)            # async def kick(owner: str) -> int
    admin.start()

Whoever runs as the same user, or as root, may ask for everything; nobody else gets in.  The protocol is told in
docs/admin-protocol.md.
"""

from __future__ import annotations

import errno
import inspect
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError, maybeDeferred, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall, IListeningPort
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure

from jabberd_tx.control import admin_wire
from jabberd_tx.control.admin_wire import LENGTH, MOST_BYTES, AdminError, peer_of
from jabberd_tx.control.options import OPTIONS
from jabberd_tx.control.unix_path import UnixPath
from jabberd_tx.storage.operations import StorageError

Operation = Callable[..., Awaitable[Any]]


class AdminSocket:
    """Listens for one process.

    An operation is an async function; a request's arguments are its keywords, its result must have a CBOR form.  It
    raises AdminError to answer with a condition and a text.
    """

    log = Logger()

    def __init__(
        self, path: str, reactor: Any, operations: Mapping[str, Operation], options: SimpleNamespace | None = None
    ) -> None:
        """`reactor`: IReactorUNIX and IReactorTime; `options`: the values of control.options.OPTIONS."""
        self.path, self.reactor = path, reactor
        self.options = options if options is not None else OPTIONS.defaults()
        self._operations = dict(operations)
        self._connections: set[AdminConnection] = set()
        self._port: IListeningPort | None = None
        self.register('operations', self._names)

    def register(self, name: str, function: Operation) -> None:
        """Answer requests for `name` with this function; ValueError when there is one already."""
        if name in self._operations:
            raise ValueError(f'two operations are named {name}')
        self._operations[name] = function

    def start(self) -> None:
        """Listen: the folder is made, or made private (0700), the socket has mode 0600.  A socket that a killed process
        left is replaced.  OSError where a living process has it."""
        folder = Path(self.path).parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        # Not Twisted's lock file: in a container the process that left it may have had this one's id.
        self._name = UnixPath(self.path)
        try:
            _remove_stale(self._name.name)
            self._port = self.reactor.listenUNIX(self._name.name, _Connections(self), mode=0o600)
        except BaseException:
            self._name.close()
            raise

    async def stop(self) -> None:
        """Close the socket and what is connected to it; the reply to a request in hand is not waited for."""
        port, self._port = self._port, None
        if port is not None:
            await maybeDeferred(port.stopListening)
            self._name.close()
        for connection in list(self._connections):
            connection.drop()

    def full(self) -> bool:
        """Whether there are as many connections as there may be."""
        return len(self._connections) >= self.options.connections

    async def _names(self) -> list[str]:
        """What can be asked for."""
        return sorted(self._operations)

    def connected(self, connection: AdminConnection) -> None:
        """Called by a connection of an allowed user."""
        self._connections.add(connection)

    def disconnected(self, connection: AdminConnection) -> None:
        """Called by each that was connected."""
        self._connections.discard(connection)

    def carry_out(self, data: bytes) -> Deferred[bytes]:
        """The reply to a request; never fails."""
        try:
            name, arguments = admin_wire.read_request(data)
            function = self._operations.get(name)
            if function is None:
                raise AdminError('unknown-operation', f'{name}: no such operation here')
            try:
                inspect.signature(function).bind(**arguments)
            except TypeError as error:
                raise AdminError('bad-request', f'{name}: {error}') from None
        except AdminError as error:
            return succeed(admin_wire.refusal(error))
        done: Deferred[Any] = maybeDeferred(function, **arguments)
        done.addTimeout(self.options.timeout, self.reactor)
        return done.addCallback(admin_wire.result).addErrback(self._refusal, name)

    def _refusal(self, failure: Failure, name: str) -> bytes:
        error = failure.value
        if isinstance(error, AdminError):
            return admin_wire.refusal(error)
        if isinstance(error, StorageError):
            return admin_wire.refusal(AdminError('storage', str(error)))
        if isinstance(error, TimeoutError):
            text = f'{name}: not done within {self.options.timeout:g} s'
            return admin_wire.refusal(AdminError('timed-out', text))
        self.log.failure('the admin operation {name} failed', failure=failure, name=name)
        return admin_wire.refusal(AdminError('failed', f'{name}: failed; the log says why'))


def may_speak(uid: int, own: int) -> bool:
    """Whether a peer's user is let in by a process of user `own`."""
    return uid in (own, 0)


class _Connections(Factory):
    noisy = False

    def __init__(self, owner: AdminSocket) -> None:
        self._owner = owner

    def buildProtocol(self, address: IAddress | None) -> Protocol | None:
        return None if self._owner.full() else AdminConnection(self._owner)


class AdminConnection(Protocol, TimeoutMixin):
    """One peer: its requests are carried out one after another."""

    transport: Any

    def __init__(self, owner: AdminSocket) -> None:
        self._owner = owner
        # Never holds more than one request and what one read brings: nothing is read while one is carried out.
        self._buffer = bytearray()
        self._busy = self._closing = False

    def callLater(self, period: float, func: Callable[[], None]) -> IDelayedCall:
        """TimeoutMixin's clock."""
        call: IDelayedCall = self._owner.reactor.callLater(period, func)
        return call

    def connectionMade(self) -> None:
        """Nobody else's user."""
        peer = peer_of(self.transport.getHandle())
        if not may_speak(peer.uid, os.geteuid()):
            self._owner.log.warn('admin socket: user {uid} (process {pid}) refused', uid=peer.uid, pid=peer.pid)
            self._closing = True
            self.transport.abortConnection()
            return
        self._owner.connected(self)
        self.setTimeout(self._owner.options.idle_timeout)

    def dataReceived(self, data: bytes) -> None:
        """Bytes of requests."""
        if not self._closing:
            self._buffer += data
            self._go()

    def _go(self) -> None:
        """Carry out what is there, until one takes its time."""
        while not self._busy and not self._closing:
            asked = self._take()
            if asked is None:
                return
            self.setTimeout(None)
            self._busy = True
            done = self._owner.carry_out(asked)
            done.addCallback(self._answer)
            if self._busy:
                self.transport.pauseProducing()
                done.addCallback(lambda _: self._go_on())

    def _take(self) -> bytes | None:
        """The next request, when it is all there."""
        buffer = self._buffer
        if len(buffer) < LENGTH.size:
            return None
        (length,) = LENGTH.unpack_from(buffer)
        if length > MOST_BYTES:
            self._closing = True
            self.transport.write(admin_wire.refusal(AdminError('bad-request', f'at most {MOST_BYTES} bytes')))
            self.transport.loseConnection()
            return None
        end = LENGTH.size + length
        if len(buffer) < end:
            return None
        asked = bytes(buffer[LENGTH.size : end])
        del buffer[:end]
        return asked

    def _answer(self, reply: bytes) -> None:
        self._busy = False
        if self.connected and not self._closing:
            self.transport.write(reply)
            self.setTimeout(self._owner.options.idle_timeout)

    def _go_on(self) -> None:
        if self.connected and not self._closing:
            self.transport.resumeProducing()
            self._go()

    def drop(self) -> None:
        """The process ends."""
        self._closing = True
        self.transport.loseConnection()

    def timeoutConnection(self) -> None:
        """Silent for too long."""
        self.drop()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """An operation that was begun goes on."""
        self.setTimeout(None)
        self._closing = True
        self._owner.disconnected(self)


def _remove_stale(path: str) -> None:
    """Remove the socket of a process that was killed; OSError when one answers there."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise OSError(errno.EADDRINUSE, 'a running process of this node name has the admin socket', path)
