"""One thread with one connection to a database, and the requests that wait for it.

Theory of operation.  What one reactor turn asks for is put on a queue when the turn ends: two threads at work at once
hinder each other more than they help.  The thread waits on the queue, takes all that is there, up to a bound, runs it
as one transaction, commits once, and hands all the results back to the reactor with one call: while it commits, the
next group gathers.  Requests are run, and their results given, in the order they were asked.

A request that waits or runs for longer than the timeout is given up by the reactor's side: the thread skips it if it
has not begun it; if it has, it may yet be carried out, and its result goes nowhere.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from itertools import takewhile
from queue import Empty, SimpleQueue
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from jabberd_tx.base.metrics import Metrics
from jabberd_tx.base.turn import Turn
from jabberd_tx.storage.operations import StorageError
from jabberd_tx.storage.sql.database import Call, Database, SqlConnection

# Requests in one transaction: bounds how long the first of them waits for the last.
MOST_TOGETHER = 256
# They are handed over in slices, and no further slice is added to a transaction that has as many as one holds.
SLICE = MOST_TOGETHER // 2


class Counted:
    """What is counted of operations, over all workers."""

    def __init__(self, metrics: Metrics, waiting: Callable[[], int]) -> None:
        self.outcomes = metrics.counters(
            'jabberd_storage_operations',
            'Storage operations by what came of them.',
            'outcome',
            ('done', 'failed', 'timed_out', 'overloaded'),
        )
        self.seconds = metrics.histogram(
            'jabberd_storage_seconds', 'From asking to the result, of the oldest in a group.'
        )
        metrics.gauge('jabberd_storage_waiting', 'Operations asked and not answered yet.', waiting)


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


class Worker:
    """See the module's text."""

    log = Logger()

    def __init__(self, database: Database, reactor: Any, turn: Turn, timeout: float, counted: Counted) -> None:
        """reactor: IReactorTime and IReactorFromThreads; timeout: seconds that a request may take."""
        self._database, self._reactor, self._turn = database, reactor, turn
        self._timeout, self._counts, self._seconds = timeout, counted.outcomes, counted.seconds
        self._asked: list[_Request] = []  # in this turn
        self._queue: SimpleQueue[list[_Request] | None] = SimpleQueue()
        # All that is with the thread, oldest first, given up or not.
        self._pending: deque[_Request] = deque()
        self._timer: IDelayedCall | None = None
        self._thread: threading.Thread | None = None
        self._stopping: list[Deferred[None]] = []
        self._connection: SqlConnection | None = None  # the thread's

    # ---- on the reactor's thread

    def start(self, prepare: Callable[[], None]) -> Deferred[None]:
        """Prepare, then connect, both in the thread; StorageError."""
        started: Deferred[None] = Deferred()
        # Nobody waits for it when the process ends without `stop`: a transaction cut short is undone at the next start.
        self._thread = threading.Thread(target=self._work, args=(started, prepare), name='storage', daemon=True)
        self._thread.start()
        return started

    def stop(self) -> Deferred[None]:
        """Finish what was asked, then close."""
        if self._thread is None:
            return succeed(None)
        if not self._stopping:
            self._hand_over()
            self._queue.put(None)
        stopped: Deferred[None] = Deferred()
        self._stopping.append(stopped)
        return stopped

    def run(self, call: Call) -> Deferred[Any]:
        """The operation's result, or StorageError."""
        request = _Request(call, self._reactor.seconds())
        self._pending.append(request)
        if not self._asked:
            self._turn.at_end(self._hand_over)
        self._asked.append(request)
        if self._timer is None:
            self._timer = self._reactor.callLater(self._timeout, self._give_up)
        deferred = request.deferred
        assert deferred is not None
        return deferred

    def waiting(self) -> int:
        """Operations asked and not answered yet."""
        return len(self._pending)

    def _hand_over(self) -> None:
        asked, self._asked = self._asked, []
        for at in range(0, len(asked), SLICE):
            self._queue.put(asked[at : at + SLICE])

    def _give_up(self) -> None:
        """One timer for all: fail what is too old, come back when the oldest of the others will be."""
        limit = self._timeout
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
            started.errback(error)
        pending, self._pending = self._pending, deque()
        for request in pending:
            request.answer(error or StorageError('storage is stopped'))
        stopping, self._stopping = self._stopping, []
        for stopped in stopping:
            stopped.callback(None)

    # ---- on the thread

    def _work(self, started: Deferred[None], prepare: Callable[[], None]) -> None:
        from_thread = self._reactor.callFromThread
        try:
            prepare()
            self._connection = self._database.connect()
        except Exception as error:
            from_thread(self._ended, started, self._failed(error))
            return
        from_thread(started.callback, None)
        going = True
        while going:
            going, requests = self._gather()
            if requests:
                from_thread(self._deliver, self._carry_out(requests))
        self._disconnect()
        from_thread(self._ended, started, None)

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

    def _carry_out(self, requests: list[_Request]) -> list[Any]:
        wanted = [request for request in requests if request.deferred is not None]
        done = self._transact([request.call for request in wanted]) if wanted else []
        if len(wanted) == len(requests):
            return done
        answers = iter(done)
        kept = set(map(id, wanted))
        return [next(answers) if id(request) in kept else None for request in requests]

    def _transact(self, calls: list[Call]) -> list[Any]:
        try:
            if self._connection is None:
                self._connection = self._database.connect()
            return self._connection.transact(calls)
        except Exception as error:
            # Not even a rollback went through: what the connection has in hand is undone with it.
            self._disconnect()
            return [self._failed(error)] * len(calls)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except Exception as error:
                self.log.warn('{name}: {error}', name=self._database.name, error=str(error))

    def _failed(self, error: Exception) -> StorageError:
        return error if isinstance(error, StorageError) else StorageError(f'{self._database.name}: {error}')
