"""Storage embedded in the process: one SQLite file, one thread.

Theory of operation.  What one reactor turn asks for is put on a queue when the turn ends: two threads at work at once
hinder each other more than they help.  The thread waits on the queue, takes all that is there, up to a bound, runs it
as one transaction, commits once, and hands all the results back to the reactor with one call: while it commits, the
next group gathers.  Requests are run, and their results given, in the order they were asked.

A commit is synced to the disk by default: shared by a group it is cheap (on an SSD 0.4 ms for 32 writes, 3 µs of CPU
more for each), and a message that was confirmed as stored survives a power failure too.  Reads wait for the commit
before them; a second thread for them is worth its while only where a sync takes longer than a login may.

A request that waits or runs for longer than the timeout is given up by the reactor's side: the thread skips it if it
has not begun it; if it has, it may yet be carried out, and its result goes nowhere.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from itertools import takewhile
from queue import Empty, SimpleQueue
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from jabberd_tx.base.metrics import Metrics
from jabberd_tx.base.options import Option, Section
from jabberd_tx.base.turn import Turn
from jabberd_tx.storage.migrations import make_ready
from jabberd_tx.storage.module_tables import ModuleTables
from jabberd_tx.storage.operations import Operation, StorageError
from jabberd_tx.storage.sql.connection import Call, SqliteConnection

OPTIONS = Section(
    'storage',
    'Where accounts, rosters and offline messages are kept.',
    Option('driver', str, 'sqlite', 'The database engine.', choices=('sqlite',)),
    Option('path', str, 'jabberd.sqlite', 'The database file.', low=1, path=True),
    Option('timeout', float, 10.0, 'How long one operation may wait and run before it fails.', unit='s', low=0.1),
    Option('queue', int, 10_000, 'Operations that may wait; beyond, they fail at once.', low=1, high=1_000_000),
    Option(
        'synchronous',
        str,
        'full',
        'full: what was stored survives a power failure. normal: only a crash of the process; '
        'the disk is written when it suits.',
        choices=('full', 'normal'),
    ),
    Option('busy', float, 5.0, "How long to wait for another process's write to the file.", unit='s', low=0, high=60),
)

# Requests in one transaction: bounds how long the first of them waits for the last.
MOST_TOGETHER = 256
# They are handed over in slices, and no further slice is added to a transaction that has as many as one holds.
SLICE = MOST_TOGETHER // 2


class _Request:
    __slots__ = ('asked', 'call', 'deferred')

    def __init__(self, call: Call, asked: float) -> None:
        self.call, self.asked = call, asked
        # None: answered, given up, or cancelled by its asker.
        self.deferred: Deferred[Any] | None = Deferred(self._cancelled)

    def _cancelled(self, deferred: Deferred[Any]) -> None:
        self.deferred = None

    def answer(self, result: Any) -> None:
        """On the reactor's thread."""
        deferred, self.deferred = self.deferred, None
        if deferred is None:
            return
        if isinstance(result, StorageError):
            deferred.errback(result)
        else:
            deferred.callback(result)


class SqliteStorage:
    """See the module's text.  Implements operations.Storage."""

    log = Logger()

    def __init__(
        self,
        path: str,
        reactor: Any,
        options: SimpleNamespace,
        metrics: Metrics | None = None,
        turn: Turn | None = None,
        tables: Sequence[ModuleTables] = (),
    ) -> None:
        """`path`: the database file, made if it is not there; `options`: the values of OPTIONS; `reactor`:
        IReactorTime and IReactorFromThreads; `tables`: those of modules."""
        self.path, self._tables = path, tables
        metrics = metrics or Metrics()
        self._turn = turn or Turn(reactor)
        self._counts = metrics.counters(
            'jabberd_storage_operations',
            'Storage operations by what came of them.',
            'outcome',
            ('done', 'failed', 'timed_out', 'overloaded'),
        )
        self._seconds = metrics.histogram(
            'jabberd_storage_seconds', 'From asking to the result, of the oldest in a group.'
        )
        metrics.gauge('jabberd_storage_waiting', 'Operations asked and not answered yet.', self.waiting)
        self._reactor, self._options = reactor, options
        self._asked: list[_Request] = []  # in this turn
        self._queue: SimpleQueue[list[_Request] | None] = SimpleQueue()
        # All that is with the thread, oldest first, given up or not: what the bound counts.
        self._pending: deque[_Request] = deque()
        self._timer: IDelayedCall | None = None
        self._refusal = 'storage is not started'
        self._thread: threading.Thread | None = None
        self._stopping: list[Deferred[None]] = []

    # ---- on the reactor's thread

    def start(self) -> Deferred[None]:
        """Open the file, make its tables if it is new, check its schema; StorageError says what is wrong with it."""
        started: Deferred[None] = Deferred()
        self._refusal = ''
        # Nobody waits for it when the process ends without `stop`: a transaction cut short is undone at the next start.
        self._thread = threading.Thread(target=self._work, args=(started,), name='storage', daemon=True)
        self._thread.start()
        return started

    def stop(self) -> Deferred[None]:
        """Finish what was asked, then close.  Operations asked from now on are refused."""
        if self._thread is None:
            return succeed(None)
        if not self._stopping:
            self._refusal = 'storage is stopped'
            self._hand_over()
            self._queue.put(None)
        stopped: Deferred[None] = Deferred()
        self._stopping.append(stopped)
        return stopped

    def run(self, operation: Operation, owner: str, *arguments: Any) -> Deferred[Any]:
        """The operation's result, or StorageError."""
        if self._refusal:
            return fail(StorageError(self._refusal))
        if len(self._pending) >= self._options.queue:
            self._counts.overloaded += 1
            return fail(StorageError(f'overloaded: {self._options.queue} operations wait'))
        request = _Request(Call(operation, owner, arguments), self._reactor.seconds())
        self._pending.append(request)
        if not self._asked:
            self._turn.at_end(self._hand_over)
        self._asked.append(request)
        if self._timer is None:
            self._timer = self._reactor.callLater(self._options.timeout, self._give_up)
        deferred = request.deferred
        assert deferred is not None
        return deferred

    def _hand_over(self) -> None:
        asked, self._asked = self._asked, []
        for at in range(0, len(asked), SLICE):
            self._queue.put(asked[at : at + SLICE])

    def waiting(self) -> int:
        """Operations asked and not answered yet, for metrics."""
        return len(self._pending)

    def _give_up(self) -> None:
        """One timer for all: fail what is too old, come back when the oldest of the others will be."""
        limit = self._options.timeout
        now = self._reactor.seconds()
        late = list(takewhile(lambda request: now - request.asked >= limit, self._pending))
        rest = self._pending[len(late)].asked + limit - now if len(late) < len(self._pending) else limit
        self._timer = self._reactor.callLater(rest, self._give_up) if len(late) < len(self._pending) else None
        for request in late:
            if request.deferred is not None:
                self._counts.timed_out += 1
                request.answer(StorageError(f'{request.call.operation.name}: timed out after {limit:g} s'))

    def _deliver(self, results: list[Any]) -> None:
        """Results of the oldest requests, in order."""
        pending = self._pending
        self._seconds.observe(self._reactor.seconds() - pending[0].asked)
        failed: list[StorageError] = []
        for result in results:
            if isinstance(result, StorageError):
                failed.append(result)
            pending.popleft().answer(result)
        self._counts.done += len(results) - len(failed)
        if failed:
            self._counts.failed += len(failed)
            # One line for a group: a full disk fails thousands in a second.
            self.log.error(
                '{count} of {all} operations failed: {error}', count=len(failed), all=len(results), error=failed[0]
            )

    def _ended(self, started: Deferred[None], error: StorageError | None) -> None:
        """The thread is through."""
        self._thread = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if error is not None:
            self._refusal = str(error)
            started.errback(error)
        pending, self._pending = self._pending, deque()
        for request in pending:
            request.answer(StorageError(self._refusal))
        stopping, self._stopping = self._stopping, []
        for stopped in stopping:
            stopped.callback(None)

    # ---- on the storage thread

    def _work(self, started: Deferred[None]) -> None:
        from_thread = self._reactor.callFromThread
        try:
            make_ready(self.path, self._tables)
            connection = self._open()
        except Exception as error:
            failed = error if isinstance(error, StorageError) else StorageError(f'{self.path}: {error}')
            from_thread(self._ended, started, failed)
            return
        from_thread(started.callback, None)
        going = True
        while going:
            going, requests = self._gather()
            try:
                results = self._carry_out(connection, requests)
            except Exception as error:
                # Not even a rollback went through: what the connection has in hand is undone with it.
                results = [StorageError(f'{self.path}: {error}') for _ in requests]
                connection.close()
                connection = self._open()
            if requests:
                from_thread(self._deliver, results)
        connection.close()
        from_thread(self._ended, started, None)

    def _open(self) -> SqliteConnection:
        return SqliteConnection(self.path, self._options.synchronous, self._options.busy)

    def _gather(self) -> tuple[bool, list[_Request]]:
        """Wait for a request, take all that have come by then; False as well when it is time to stop."""
        queue = self._queue
        asked = queue.get()
        requests: list[_Request] = []
        try:
            while asked is not None:
                requests += asked
                if len(requests) >= SLICE:
                    return True, requests
                asked = queue.get_nowait()
        except Empty:
            return True, requests
        return False, requests

    @staticmethod
    def _carry_out(connection: SqliteConnection, requests: list[_Request]) -> list[Any]:
        wanted = [request for request in requests if request.deferred is not None]
        if len(wanted) == len(requests):
            return connection.transact([request.call for request in requests])
        done = iter(connection.transact([request.call for request in wanted]) if wanted else ())
        kept = set(map(id, wanted))
        return [next(done) if id(request) in kept else None for request in requests]
