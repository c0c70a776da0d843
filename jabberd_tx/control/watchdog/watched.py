"""One process that is kept up.

    stopped ──start──▶ starting ──it is ready──▶ running
                          ▲                         │
                          │ after the wait          │ it ends, by itself or because it is silent
                          └──────── waiting ◀───────┘

and from each of them, `stop`: stopping, until it has ended; then stopped.  (Twisted's own procmon knows neither a
heartbeat nor an end that can be waited for, and starts what has failed at the same moment for all.)
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from random import random as any_fraction
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from jabberd_tx.base.backoff import Backoff
from jabberd_tx.control.watchdog.heartbeat import Heartbeat
from jabberd_tx.control.watchdog.output import Output

STOPPED, STARTING, RUNNING, WAITING, STOPPING = 'stopped', 'starting', 'running', 'waiting', 'stopping'


class WatchedProcess:
    """See the module's text.

    state      one of the words above
    pid        0 while there is none
    restarts   how often it was started again without being asked to
    last_end   in words how it ended last, '' when it never did
    """

    log = Logger()

    def __init__(
        self, name: str, kind: str, command: Sequence[str], admin_path: str, output: Output, reactor: Any,
        options: SimpleNamespace, random: Callable[[], float] = any_fraction,
    ) -> None:  # fmt: skip
        """command: program and arguments; admin_path: where it will answer; options: the values of
        watchdog.options.OPTIONS.  The process gets a pipe as its standard input, which ends when this one does."""
        self.name, self.kind, self.command = name, kind, list(command)
        self.state, self.pid, self.restarts, self.last_end = STOPPED, 0, 0, ''
        self.output = output
        self._admin_path, self._reactor, self._options, self._random = admin_path, reactor, options, random
        self._backoff = Backoff(options.restart_initial, options.restart_maximum)
        self._attempt = 0
        self._since = reactor.seconds()
        self._transport: Any = None
        self._heartbeat: Heartbeat | None = None
        self._again: IDelayedCall | None = None
        self._kill: IDelayedCall | None = None
        self._answered = False
        self._ended: list[Deferred[None]] = []
        self._on_ready: list[Deferred[None]] = []

    # ---- what is asked for

    def start(self) -> None:
        """Start it; does nothing while there is one."""
        if self._transport is not None:
            return
        self._cancel_wait()
        self._enter(STARTING)
        self._answered = False
        try:
            self._reactor.spawnProcess(
                _Child(self), self.command[0], self.command, env=None, childFDs={0: 'w', 1: 'r', 2: 'r'}
            )
        except OSError as error:
            self.log.error('{name} could not be started: {error}', name=self.name, error=str(error))
            self.last_end = str(error)
            self._start_later()

    async def stop(self) -> None:
        """Ask it to end, and wait until it has; it is killed after `stop_timeout`."""
        self._cancel_wait()
        self._stop_heartbeat()
        self._tell(self._on_ready)
        if self._transport is None:
            self._enter(STOPPED)
            return
        ended: Deferred[None] = Deferred()
        self._ended.append(ended)
        if self.state != STOPPING:
            self._enter(STOPPING)
            self.signal(signal.SIGTERM)
            self._kill = self._reactor.callLater(self._options.stop_timeout, self._kill_slow)
        await ended

    async def restart(self) -> bool:
        """End it and start it again; gives True when it is ready, False when it was stopped before that."""
        await self.stop()
        self._attempt = 0
        self.start()
        return await self.ready()

    async def ready(self) -> bool:
        """True as soon as it runs, False when it is stopped before that."""
        if self.state != RUNNING:
            ready: Deferred[None] = Deferred()
            self._on_ready.append(ready)
            await ready
        return self.state == RUNNING

    def signal(self, number: int) -> None:
        """Send it a signal, if it is there."""
        if self.pid:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                pass

    def status(self) -> dict[str, Any]:
        """For an operator; `seconds`: in this state."""
        seconds = round(self._reactor.seconds() - self._since, 1)
        return {
            'name': self.name, 'kind': self.kind, 'state': self.state, 'pid': self.pid, 'seconds': seconds,
            'restarts': self.restarts, 'last_end': self.last_end,
        }  # fmt: skip

    # ---- what happens

    def on_started(self, transport: Any) -> None:
        """It is there."""
        self._transport, self.pid = transport, transport.pid
        self.log.info('{name} is started (process {pid})', name=self.name, pid=self.pid)
        options = self._options
        self._heartbeat = Heartbeat(
            self._admin_path, self.pid, self._reactor, options.heartbeat, self._on_answer, self._on_silence
        )
        self._heartbeat.start()

    def _on_answer(self, ready: bool) -> None:
        self._answered = True
        if ready and self.state == STARTING:
            self._enter(RUNNING)
            self.log.info('{name} is running', name=self.name)
            self._tell(self._on_ready)

    def _on_silence(self, seconds: float) -> None:
        limit = self._options.heartbeat_timeout if self._answered else self._options.start_timeout
        if seconds >= limit:
            self.log.error(
                '{name} (process {pid}) has not answered for {seconds:g} s and is killed',
                name=self.name, pid=self.pid, seconds=seconds,
            )  # fmt: skip
            self._stop_heartbeat()
            self.signal(signal.SIGKILL)

    def on_ended(self, reason: Failure) -> None:
        """It has ended, and all that it said has come."""
        self._stop_heartbeat()
        if self._kill is not None and self._kill.active():
            self._kill.cancel()
        pid, self._transport, self.pid = self.pid, None, 0
        self.last_end = _in_words(reason)
        was, lived = self.state, self._reactor.seconds() - self._since
        if was == STOPPING:
            self.log.info('{name} has ended ({how})', name=self.name, how=self.last_end)
            self._enter(STOPPED)
            self._tell(self._ended)
            return
        if was == RUNNING and lived >= self._options.steady:
            self._attempt = 0
        wait = self._start_later()
        self.log.error(
            '{name} (process {pid}) has ended: {how}; it is started again in {wait:.1f} s',
            name=self.name, pid=pid, how=self.last_end, wait=wait,
        )  # fmt: skip

    def _start_later(self) -> float:
        wait = self._backoff.delay(self._attempt, self._random)
        self._attempt += 1
        self.restarts += 1
        self._enter(WAITING)
        self._again = self._reactor.callLater(wait, self.start)
        return wait

    def _kill_slow(self) -> None:
        seconds = self._options.stop_timeout
        self.log.error('{name} has not ended within {seconds:g} s and is killed', name=self.name, seconds=seconds)
        self.signal(signal.SIGKILL)

    # ---- inside

    def _enter(self, state: str) -> None:
        self.state, self._since = state, self._reactor.seconds()

    def _cancel_wait(self) -> None:
        again, self._again = self._again, None
        if again is not None and again.active():
            again.cancel()

    def _stop_heartbeat(self) -> None:
        heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat is not None:
            heartbeat.stop()

    def _tell(self, waiting: list[Deferred[None]]) -> None:
        told, waiting[:] = waiting[:], []
        for deferred in told:
            deferred.callback(None)


class _Child(ProcessProtocol):
    def __init__(self, owner: WatchedProcess) -> None:
        self._owner = owner

    def connectionMade(self) -> None:
        self._owner.on_started(self.transport)

    def outReceived(self, data: bytes) -> None:
        self._owner.output.write(data)

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        self._owner.on_ended(reason)


def _in_words(reason: Failure) -> str:
    error = reason.value
    if isinstance(error, ProcessTerminated) and error.signal is not None:
        return f'signal {signal.Signals(error.signal).name}'
    return f'status {0 if isinstance(error, ProcessDone) else getattr(error, "exitCode", "?")}'
