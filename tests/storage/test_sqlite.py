"""The embedded executor: one thread, one transaction for all that waits, nothing lost that was answered."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, DeferredList, gatherResults
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from jabberd_tx.base.metrics import Metrics
from jabberd_tx.base.turn import Turn
from jabberd_tx.storage import accounts, offline, rosters
from jabberd_tx.storage.operations import Operation, Run, Storage, StorageError, read, write
from jabberd_tx.storage.rosters import Item
from jabberd_tx.storage.sql.sqlite import OPTIONS, SqliteStorage
from jabberd_tx.storage.sql.worker import MOST_TOGETHER
from jabberd_tx.testing.storage_conformance import JULIET, ROMEO, StorageConformance, credentials_of, uid_of


class Gate:
    """An operation that holds the storage thread until it is opened."""

    def __init__(self) -> None:
        from threading import Event

        self.reached, self._open = Event(), Event()
        self.operation: Operation = read('test.gate')(self._body)

    def _body(self, run: Run, owner: str) -> None:
        self.reached.set()
        if not self._open.wait(20):
            raise AssertionError('nobody opened the gate')

    def open(self) -> None:
        self._open.set()


class SqliteTests(StorageConformance, TestCase):
    """The suite for every storage, and what is promised of this one."""

    async def make_storage(self) -> Storage:
        self.path = os.path.join(self.mktemp(), 'data', 'jabberd.sqlite')
        return await self.started(self.path)

    async def started(self, path: str, **options: Any) -> SqliteStorage:
        """Another storage, stopped after the test."""
        values = OPTIONS.defaults()
        vars(values).update(options)
        storage = SqliteStorage(path, reactor, values)
        await storage.start()
        self.addCleanup(storage.stop)
        return storage

    async def shut(self, storage: SqliteStorage) -> Gate:
        """Its thread stands still until the gate is opened (at the latest when the test is over)."""
        gate = Gate()
        self.addCleanup(gate.open)
        storage.run(gate.operation, '').addErrback(lambda failure: failure.trap(StorageError))
        await deferToThread(gate.reached.wait, 20)
        return gate

    # ---- files

    async def test_files_and_folder_are_for_their_owner_alone(self) -> None:
        """Passwords' verifiers are in them: the folder 0700, the file and its log 0600."""
        await self.run_(accounts.put, JULIET, credentials_of(b'j'))
        folder = os.path.dirname(self.path)
        modes = {name: stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) for name in os.listdir(folder)}
        self.assertEqual(stat.S_IMODE(os.stat(folder).st_mode), 0o700)
        self.assertEqual(modes, dict.fromkeys(('jabberd.sqlite', 'jabberd.sqlite-wal', 'jabberd.sqlite-shm'), 0o600))

    async def test_what_was_stored_is_there_after_a_restart(self) -> None:
        """And one file is left."""
        await self.run_(accounts.put, JULIET, credentials_of(b'j'))
        await self.storage.stop()
        self.assertEqual(os.listdir(os.path.dirname(self.path)), ['jabberd.sqlite'])
        again = await self.started(self.path)
        self.assertEqual(await again.run(accounts.credentials, JULIET), credentials_of(b'j'))

    async def test_a_file_that_is_no_database_stops_the_start(self) -> None:
        """And so does a folder that can't be made; each says its path, and later calls say the same."""
        with open(os.path.join(os.path.dirname(self.path), 'other'), 'wb') as file:
            file.write(b'not a database, but long enough to look at ' * 30)
        for path in (file.name, os.path.join(file.name, 'below', 'x.sqlite')):
            storage = SqliteStorage(path, reactor, OPTIONS.defaults())
            early = storage.run(accounts.exists, JULIET)
            await self.assertFailure(early, StorageError)
            error = await self.assertFailure(storage.start(), StorageError)
            self.assertIn(file.name, str(error))
            again = await self.assertFailure(storage.run(accounts.exists, JULIET), StorageError)
            self.assertEqual(str(again), str(error))
            await storage.stop()

    async def test_synchronous_is_as_the_option_says(self) -> None:
        """2 is full, the default; 1 is normal."""
        pragma = read('test.pragma')(lambda run, owner: self.synchronous_of(run))
        self.assertEqual(await self.run_(pragma, ''), 2)
        normal = await self.started(self.path, synchronous='normal')
        self.assertEqual(await normal.run(pragma, ''), 1)

    def synchronous_of(self, run: Run) -> int:
        from sqlalchemy import text

        value: int = run(text('PRAGMA synchronous'))[0][0]
        return value

    # ---- group commit

    async def test_all_that_waits_is_one_transaction(self) -> None:
        """A reader of the file sees all of what waited or none; results come together."""
        assert isinstance(self.storage, SqliteStorage)
        gate = await self.shut(self.storage)
        pushes = [self.run_(offline.push, JULIET, uid_of(number), b'm', 1.0, 99) for number in range(50)]
        commits: list[int] = []
        watcher = sqlite3.connect(self.path)
        self.addCleanup(watcher.close)
        version = watcher.execute('PRAGMA data_version').fetchone()
        for push in pushes:
            push.addCallback(lambda _: commits.append(watcher.execute('PRAGMA data_version').fetchone()[0]))
        gate.open()
        await gatherResults(pushes)
        self.assertEqual(len(set(commits)), 1)
        self.assertNotEqual(commits[0], version[0])

    async def test_more_than_a_group_is_carried_out_in_groups(self) -> None:
        """All of it, in order."""
        assert isinstance(self.storage, SqliteStorage)
        gate = await self.shut(self.storage)
        order: list[int] = []
        pushes = [
            self.run_(offline.push, JULIET, uid_of(number), b'm', 1.0, 9999).addCallback(
                lambda _, number=number: order.append(number)
            )
            for number in range(3 * MOST_TOGETHER + 1)
        ]
        gate.open()
        await gatherResults(pushes)
        self.assertEqual(order, list(range(3 * MOST_TOGETHER + 1)))

    async def test_a_failure_within_a_group_undoes_just_its_own(self) -> None:
        """An operation that wrote and then failed, amid others of one group."""

        @write('test.half')
        def half(run: Run, owner: str) -> None:
            rosters.put.body(run, owner, Item('half@example.net'))
            raise ZeroDivisionError('halfway')

        assert isinstance(self.storage, SqliteStorage)
        gate = await self.shut(self.storage)
        calls: list[Deferred[Any]] = [
            self.run_(rosters.put, JULIET, Item('a@example.net')),
            self.run_(half, JULIET),
            self.run_(rosters.get, JULIET),
            self.run_(rosters.put, JULIET, Item('b@example.net')),
            self.run_(half, JULIET),
        ]
        gate.open()
        outcomes = await DeferredList(calls, consumeErrors=True)
        self.assertEqual([worked for worked, _ in outcomes], [True, False, True, True, False])
        self.assertEqual(outcomes[2][1], [Item('a@example.net')])
        self.assertEqual(str(outcomes[1][1].check(StorageError) and outcomes[1][1].value), 'test.half: halfway')  # type: ignore[attr-defined]
        self.assertEqual(await self.run_(rosters.get, JULIET), [Item('a@example.net'), Item('b@example.net')])

    # ---- bounds

    async def test_beyond_the_bound_operations_fail_at_once(self) -> None:
        """Those that wait are carried out, and then there is room again."""
        storage = await self.started(self.path, queue=5)
        gate = await self.shut(storage)
        waiting = [storage.run(offline.push, JULIET, uid_of(number), b'm', 1.0, 99) for number in range(4)]
        self.assertEqual(storage.waiting(), 5)
        error = self.failureResultOf(storage.run(offline.count, JULIET), StorageError)
        self.assertIn('overloaded', str(error.value))
        gate.open()
        await gatherResults(waiting)
        self.assertEqual(await storage.run(offline.count, JULIET), 4)
        self.assertEqual(storage.waiting(), 0)

    async def test_what_waits_too_long_fails_and_is_not_carried_out(self) -> None:
        """On the reactor's clock, whatever the thread does; younger ones wait on."""
        clock = FakeTime()
        values = OPTIONS.defaults()
        values.timeout = 10.0
        storage = SqliteStorage(self.path, clock, values, turn=Turn(reactor))
        await storage.start()
        self.addCleanup(storage.stop)
        gate = await self.shut(storage)
        early = storage.run(offline.push, JULIET, uid_of(1), b'm', 1.0, 99)
        clock.advance(4)
        late = storage.run(offline.push, JULIET, uid_of(2), b'm', 1.0, 99)
        clock.advance(5.9)
        self.assertNoResult(early)
        clock.advance(0.2)
        error = self.failureResultOf(early, StorageError)
        self.assertEqual(str(error.value), 'offline.push: timed out after 10 s')
        self.assertNoResult(late)
        gate.open()
        await late
        self.assertEqual([item.uid for _, item in await storage.run(offline.page, JULIET, 0, 9)], [uid_of(2)])
        clock.advance(60)
        self.assertEqual(clock.getDelayedCalls(), [])

    async def test_what_came_of_operations_is_counted(self) -> None:
        """Done, failed, overloaded and timed out; how many wait; how long groups took."""
        metrics = Metrics()
        clock = FakeTime()
        values = OPTIONS.defaults()
        values.queue = 3
        storage = SqliteStorage(self.path, clock, values, metrics, Turn(reactor))
        await storage.start()
        self.addCleanup(storage.stop)
        await storage.run(offline.push, JULIET, uid_of(1), b'm', 1.0, 9)
        await self.assertFailure(storage.run(offline.push, JULIET, None, b'm', 1.0, 9), StorageError)
        gate = await self.shut(storage)
        late = [storage.run(offline.count, JULIET) for _ in range(2)]
        self.assertEqual(metrics.value('jabberd_storage_waiting'), 3)
        self.failureResultOf(storage.run(offline.count, JULIET), StorageError)
        clock.advance(values.timeout)
        for one in late:
            self.failureResultOf(one, StorageError)
        gate.open()
        await storage.stop()
        counted = {
            what: metrics.value('jabberd_storage_operations', what) for what in ('failed', 'overloaded', 'timed_out')
        }
        self.assertEqual(counted, {'failed': 1, 'overloaded': 1, 'timed_out': 3})
        self.assertEqual(metrics.value('jabberd_storage_waiting'), 0)
        self.assertGreaterEqual(metrics.value('jabberd_storage_seconds'), 3)

    async def test_a_cancelled_operation_is_not_carried_out(self) -> None:
        """If the thread has not begun it."""
        assert isinstance(self.storage, SqliteStorage)
        gate = await self.shut(self.storage)
        cancelled = self.run_(offline.push, JULIET, uid_of(1), b'm', 1.0, 99)
        stands = self.run_(offline.push, JULIET, uid_of(2), b'm', 1.0, 99)
        cancelled.cancel()
        await self.assertFailure(cancelled, CancelledError)
        gate.open()
        await stands
        self.assertEqual([item.uid for _, item in await self.run_(offline.page, JULIET, 0, 9)], [uid_of(2)])

    # ---- several processes on one file

    async def test_two_on_one_file_see_each_other_s_writes(self) -> None:
        """As c2s reads credentials that the sm's process wrote; and both may write."""
        other = await self.started(self.path)
        await self.run_(accounts.put, JULIET, credentials_of(b'j'))
        self.assertEqual(await other.run(accounts.credentials, JULIET), credentials_of(b'j'))
        pushes = [
            storage.run(offline.push, JULIET, uid_of(number), b'm', 1.0, 60)
            for number in range(100)
            for storage in (self.storage, other)
        ]
        outcomes = await gatherResults(pushes)
        self.assertEqual([outcomes.count(what) for what in (offline.STORED, offline.REPEAT)], [60, 60])
        self.assertEqual(await other.run(offline.count, JULIET), 60)

    async def test_reads_go_on_while_another_process_holds_the_file(self) -> None:
        """Writes fail after the time for it, also the ones in a group with reads; afterwards they work again."""
        storage = await self.started(self.path, busy=0.05)
        await storage.run(accounts.put, JULIET, credentials_of(b'j'))
        holder = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(holder.close)
        holder.execute('BEGIN IMMEDIATE')
        gate = await self.shut(storage)
        write_ = storage.run(accounts.put, ROMEO, credentials_of(b'r'))
        read_ = storage.run(accounts.credentials, JULIET)
        gate.open()
        error = await self.assertFailure(write_, StorageError)
        self.assertIn('locked', str(error))
        self.assertEqual(await read_, credentials_of(b'j'))
        holder.execute('COMMIT')
        self.assertIs(await storage.run(accounts.put, ROMEO, credentials_of(b'r')), True)

    async def test_a_commit_that_fails_fails_all_of_its_group(self) -> None:
        """A database that may grow no more: those asked get errors, nothing is half there, small writes work again."""
        assert isinstance(self.storage, SqliteStorage)
        from sqlalchemy import text

        pages = read('test.pages')(lambda run, owner: run(text('PRAGMA max_page_count = 40'))[0][0])
        await self.run_(pages, '')
        pushes = [self.run_(offline.push, JULIET, uid_of(n), b'm' * 30_000, 1.0, 999) for n in range(20)]
        outcomes = await DeferredList(pushes, consumeErrors=True)
        stored = sum([worked for worked, _ in outcomes])
        self.assertLess(stored, 20)
        self.assertEqual(await self.run_(offline.count, JULIET), stored)
        await self.run_(accounts.remove, JULIET)
        self.assertEqual(await self.run_(offline.push, JULIET, uid_of(1), b'm', 1.0, 9), offline.STORED)

    async def test_a_connection_that_is_lost_is_made_anew(self) -> None:
        """When not even a rollback goes through, that group fails and the next one works."""

        @write('test.break')
        def break_(run: Run, owner: str) -> None:
            run.__self__._connection.close()  # type: ignore[attr-defined]

        await self.assertFailure(self.run_(break_, JULIET), StorageError)
        self.assertIs(await self.run_(accounts.put, JULIET, credentials_of(b'j')), True)

    # ---- killed

    async def test_what_was_answered_survives_a_kill(self) -> None:
        """A process is killed (SIGKILL) amid writes: every push that it was told was stored is there, in order."""
        await self.storage.stop()
        answered = await deferToThread(self._kill_a_writer)
        again = await self.started(self.path)
        stored = [item.uid for _, item in await again.run(offline.page, JULIET, 0, 100_000)]
        self.assertGreaterEqual(len(answered), 200)
        self.assertEqual(stored[: len(answered)], answered)
        self.assertEqual(stored, [uid_of(number) for number in range(len(stored))])

    def _kill_a_writer(self) -> list[bytes]:
        writer = subprocess.Popen([sys.executable, '-c', _WRITER, self.path], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        with writer:
            answered = [writer.stdout.readline() for _ in range(200)]
            os.kill(writer.pid, signal.SIGKILL)
            answered += writer.stdout.readlines()
        return [bytes.fromhex(line.decode()) for line in answered if line.endswith(b'\n')]


_WRITER = """
import sys
from twisted.internet import reactor
from jabberd_tx.storage import offline
from jabberd_tx.storage.sql.sqlite import OPTIONS, SqliteStorage
from jabberd_tx.testing.storage_conformance import JULIET, uid_of

storage = SqliteStorage(sys.argv[1], reactor, OPTIONS.defaults())
numbers = iter(range(100_000))

def push(_=None):
    uid = uid_of(next(numbers))
    storage.run(offline.push, JULIET, uid, b'm' * 100, 1.0, 1_000_000).addCallback(answered, uid).addCallback(push)

def answered(outcome, uid):
    assert outcome == 'stored'
    sys.stdout.write(uid.hex() + '\\n')
    sys.stdout.flush()

def start(_):
    for _ in range(8):
        push()

storage.start().addCallback(start)
reactor.run()
"""


class FakeTime(Clock):
    """Time as the test says; calls from threads as the real reactor brings them."""

    callFromThread = staticmethod(reactor.callFromThread)  # type: ignore[attr-defined]
