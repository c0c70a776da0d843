"""Asks a process over its admin socket whether it lives, again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure

from jabberd_tx.control.admin_wire import MOST_BYTES, AdminError, read_reply, request
from jabberd_tx.control.unix_path import UnixPath

PING = 'ping'


class Heartbeat:
    """One process's.

    silent  seconds without an answer, counted by beats: time in which this process itself stood still is no silence
            of the other
    """

    def __init__(
        self, path: str, pid: int, reactor: Any, interval: float, answered: Callable[[bool], None],
        silent: Callable[[float], None],
    ) -> None:  # fmt: skip
        """path: the admin socket; pid: who must answer there.

        answered(ready)   it has answered, and whether all of it runs
        silent(seconds)   a beat has come without an answer
        """
        self.path, self.pid, self.interval = path, pid, interval
        self._reactor, self._answered, self._on_silence = reactor, answered, silent
        self._connection: _Connection | None = None
        self._waits = False
        self.silent = 0.0
        self._loop = LoopingCall(self._beat)
        self._loop.clock = reactor

    def start(self) -> None:
        """From now on."""
        self._loop.start(self.interval, now=False)

    def stop(self) -> None:
        """No more; nobody is called any more."""
        if self._loop.running:
            self._loop.stop()
        if self._connection is not None:
            self._connection.hang_up()

    def _beat(self) -> None:
        if self._waits:
            self.silent += self.interval
            self._on_silence(self.silent)
        if not self._loop.running:
            return
        if self._connection is None:
            self._connection = _Connection(self)
            self._connection.open(self._reactor)
        elif not self._waits:
            self._connection.ask()
        self._waits = True

    def on_answer(self, told: Any) -> None:
        """What the process says of itself."""
        if isinstance(told, dict) and told.get('pid') == self.pid:
            self._waits, self.silent = False, 0.0
            if self._loop.running:
                self._answered(told.get('ready') is True)

    def on_closed(self) -> None:
        """The next beat connects anew."""
        self._connection = None


class _Connection(ClientFactory):
    """To the admin socket; asks as soon as it is there."""

    noisy = False

    def __init__(self, heartbeat: Heartbeat) -> None:
        self.heartbeat = heartbeat
        self._path: UnixPath | None = None
        self._asking: _Asking | None = None
        self._connector: Any = None
        self._over = False

    def open(self, reactor: Any) -> None:
        try:
            self._path = UnixPath(self.heartbeat.path)
            self._connector = reactor.connectUNIX(self._path.name, self, timeout=self.heartbeat.interval)
        except OSError:
            self._close()

    def buildProtocol(self, address: Any) -> Protocol:
        self._asking = _Asking(self)
        return self._asking

    def ask(self) -> None:
        if self._asking is not None:
            self._asking.ask()

    def hang_up(self) -> None:
        if self._connector is not None:
            self._connector.disconnect()
        self._close()

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self._close()

    def lost(self) -> None:
        self._close()

    def _close(self) -> None:
        if not self._over:
            self._over = True
            if self._path is not None:
                self._path.close()
            self.heartbeat.on_closed()


class _Asking(Int32StringReceiver):
    MAX_LENGTH = MOST_BYTES

    def __init__(self, owner: _Connection) -> None:
        self._owner = owner

    def connectionMade(self) -> None:
        self.ask()

    def ask(self) -> None:
        self.transport.write(request(PING, {}))  # type: ignore[union-attr]

    def stringReceived(self, string: bytes) -> None:
        try:
            told = read_reply(string)
        except AdminError:
            # It lives, and has no such operation: never so with processes of one version.
            return
        self._owner.heartbeat.on_answer(told)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._owner.lost()
