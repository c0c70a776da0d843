"""Processes that are kept up, with real ones: small shell commands whose admin socket this process plays."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace
from typing import Any

from twisted.internet import reactor, task
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import TestCase

from jabberd_tx.control.admin import AdminSocket
from jabberd_tx.control.watchdog.heartbeat import Heartbeat
from jabberd_tx.control.watchdog.options import OPTIONS
from jabberd_tx.control.watchdog.watched import RUNNING, STARTING, STOPPED, WAITING, WatchedProcess


class Said:
    """An Output that keeps what comes."""

    def __init__(self) -> None:
        self.data = b''

    def write(self, data: bytes) -> None:
        self.data += data

    def reopen(self) -> None: ...

    def close(self) -> None: ...


class WatchedProcessTests(TestCase):
    """`cat` ends when its standard input does, and otherwise lives on."""

    def setUp(self) -> None:
        self.folder = self.mktemp()
        self.said = Said()
        self.alive = True
        self.held: Deferred[None] = Deferred()
        self.addCleanup(lambda: self.held.called or self.held.callback(None))
        self.pings = 0
        self.watched: WatchedProcess | None = None

    def watch(self, *command: str, **options: float) -> WatchedProcess:
        """One that is looked after until the test is over; its waits are the longest that jitter allows."""
        values = OPTIONS.defaults()
        values.__dict__.update({'heartbeat': 0.02, 'heartbeat_timeout': 0.1, 'restart_initial': 0.01, **options})
        path = os.path.join(self.folder, 'x.sock')
        watched = WatchedProcess('x-1', 'x', command, path, self.said, reactor, values, lambda: 0.0)
        self.addCleanup(lambda: Deferred.fromCoroutine(watched.stop()))
        self.watched = watched
        return watched

    def answer(self) -> None:
        """Listen on its admin socket, and answer for it while `self.alive`."""

        async def ping() -> dict[str, object]:
            self.pings += 1
            if not self.alive:
                await self.held
            assert self.watched is not None
            return {'pid': self.watched.pid, 'ready': True}

        options = SimpleNamespace(timeout=60.0, idle_timeout=60.0, connections=16)
        admin = AdminSocket(os.path.join(self.folder, 'x.sock'), reactor, {'ping': ping}, options)
        admin.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(admin.stop()))

    async def until(self, true: Any) -> None:
        """Until it is true."""
        while not true():
            await task.deferLater(reactor, 0.005)

    async def test_it_runs_when_it_has_said_so(self) -> None:
        """Starting until its first answer; what it says is kept; its end is asked for and waited for."""
        watched = self.watch('/bin/sh', '-c', 'echo hello; exec cat')
        watched.start()
        self.assertEqual((watched.state, watched.restarts), (STARTING, 0))
        self.answer()
        self.assertTrue(await watched.ready())
        await self.until(lambda: self.said.data)
        self.assertEqual((watched.state, self.said.data), (RUNNING, b'hello\n'))
        pid = watched.pid
        await watched.stop()
        self.assertEqual((watched.state, watched.pid, watched.last_end), (STOPPED, 0, 'signal SIGTERM'))
        self.assertRaises(ProcessLookupError, os.kill, pid, 0)

    async def test_one_that_is_killed_is_started_again(self) -> None:
        """As another process, and it says how the last one ended."""
        self.answer()
        watched = self.watch('/bin/cat')
        watched.start()
        await watched.ready()
        first = watched.pid
        os.kill(first, signal.SIGKILL)
        await self.until(lambda: watched.state == RUNNING and watched.pid != first)
        self.assertEqual((watched.restarts, watched.last_end), (1, 'signal SIGKILL'))

    async def test_waits_grow_with_each_end(self) -> None:
        """Up to the longest; then one that has been up for long begins anew."""
        watched = self.watch('/bin/sh', '-c', 'exit 3', restart_maximum=0.03)
        waits: list[float] = []
        original = watched._backoff.delay

        def noted(attempt: int, random: Any) -> float:
            waits.append(original(attempt, random))
            return waits[-1]

        watched._backoff = SimpleNamespace(delay=noted)  # type: ignore[assignment]
        watched.start()
        await self.until(lambda: len(waits) == 4)
        self.assertEqual((waits, watched.last_end), ([0.01, 0.02, 0.03, 0.03], 'status 3'))
        await watched.stop()
        self.answer()
        watched.command = ['/bin/cat']
        watched._options.steady = 0.0
        watched.start()
        await watched.ready()
        watched.signal(signal.SIGKILL)
        await self.until(lambda: len(waits) == 5)
        self.assertEqual(waits[4], 0.01)

    async def test_a_silent_one_is_killed(self) -> None:
        """SIGSTOP: it is there, and does not answer."""
        self.answer()
        watched = self.watch('/bin/cat')
        watched.start()
        await watched.ready()
        first = watched.pid
        os.kill(first, signal.SIGSTOP)
        self.alive = False
        await self.until(lambda: watched.state == WAITING)
        self.assertEqual(watched.last_end, 'signal SIGKILL')
        self.assertRaises(ProcessLookupError, os.kill, first, 0)

    async def test_one_that_never_answers_has_its_own_time(self) -> None:
        """From its start to its first answer."""
        watched = self.watch('/bin/cat', start_timeout=0.06)
        watched.start()
        await self.until(lambda: watched.restarts == 1)
        self.assertEqual(watched.last_end, 'signal SIGKILL')

    async def test_somebody_elses_answer_counts_for_nothing(self) -> None:
        """An older process may still have the socket."""
        self.answer()
        watched = self.watch('/bin/cat', start_timeout=0.1)
        impostor = self.watched
        self.watched = SimpleNamespace(pid=1)  # type: ignore[assignment]
        watched.start()
        await self.until(lambda: watched.restarts == 1)
        self.assertGreater(self.pings, 0)
        self.assertIs(impostor, watched)

    async def test_one_that_does_not_end_is_killed(self) -> None:
        """After the time that it has."""
        deaf = 'trap "" TERM; echo deaf; while :; do sleep 0.01; done'
        watched = self.watch('/bin/sh', '-c', deaf, stop_timeout=0.05)
        watched.start()
        await self.until(lambda: self.said.data)
        await watched.stop()
        self.assertEqual(watched.last_end, 'signal SIGKILL')

    async def test_a_restart_is_done_when_it_is_ready(self) -> None:
        """Another process; and one that is stopped meanwhile says so."""
        self.answer()
        watched = self.watch('/bin/cat')
        watched.start()
        await watched.ready()
        first = watched.pid
        self.assertTrue(await watched.restart())
        self.assertNotEqual(watched.pid, first)
        self.assertEqual(watched.restarts, 0)
        restart = Deferred.fromCoroutine(watched.restart())
        self.alive = False
        await watched.stop()
        await self.until(lambda: watched.state == STARTING)
        await watched.stop()
        self.assertFalse(await restart)

    async def test_a_program_that_is_not_there_is_tried_again(self) -> None:
        """It may be on its way: an upgrade."""
        watched = self.watch('/nonexistent/program')
        watched.start()
        await self.until(lambda: watched.restarts >= 2)
        await watched.stop()
        self.assertEqual(watched.state, STOPPED)

    def test_the_time_in_which_this_process_stands_still_is_no_silence_of_others(self) -> None:
        """Silence is counted in beats that came."""
        clock = MemoryReactorClock()
        silent: list[float] = []
        heartbeat = Heartbeat('/nonexistent/x.sock', 1, clock, 2.0, lambda ready: None, silent.append)
        heartbeat.start()
        clock.advance(2.0)
        clock.advance(3600.0)
        clock.advance(2.0)
        self.assertEqual(silent, [2.0, 4.0])
        heartbeat.stop()
