"""Storage that runs operations on one database itself: as many connections as the database has use for, each with a
thread of its own.

All operations of one owner go by the same connection, in the order in which they were asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, gatherResults

from jabberd_tx.base.metrics import Metrics
from jabberd_tx.base.turn import Turn
from jabberd_tx.storage.migrations import make_ready
from jabberd_tx.storage.module_tables import ModuleTables
from jabberd_tx.storage.operations import Operation, StorageError
from jabberd_tx.storage.sql.database import Call, Database
from jabberd_tx.storage.sql.worker import Counted, Worker


class SqlStorage:
    """Implements operations.Storage."""

    def __init__(
        self,
        database: Database,
        reactor: Any,
        options: Any,
        metrics: Metrics | None = None,
        turn: Turn | None = None,
        tables: Sequence[ModuleTables] = (),
        connections: int = 1,
    ) -> None:
        """options: `timeout` (seconds) and `queue` of OPTIONS (storage/sql/options.py); reactor: IReactorTime and
        IReactorFromThreads; tables: those of modules."""
        self.database, self._tables, self._most = database, tables, options.queue
        counted = Counted(metrics or Metrics(), self.waiting)
        self._counts = counted.outcomes
        turn = turn or Turn(reactor)
        self._workers = [Worker(database, reactor, turn, options.timeout, counted) for _ in range(connections)]
        self._refusal = 'storage is not started'

    def start(self) -> Deferred[None]:
        """Connect, make the tables of a new database, check the schema; StorageError says what is wrong with it."""
        self._refusal = ''
        started = Deferred.fromCoroutine(self._start())
        return started.addErrback(self._not_started)

    async def _start(self) -> None:
        first, *others = self._workers
        await first.start(lambda: make_ready(self.database, self._tables))
        for worker in others:
            await worker.start(lambda: None)

    def _not_started(self, failure: Any) -> Any:
        self._refusal = failure.getErrorMessage()
        return failure

    def stop(self) -> Deferred[None]:
        """Finish what was asked, then close.  Operations asked from now on are refused."""
        self._refusal = self._refusal or 'storage is stopped'
        stopped = gatherResults([worker.stop() for worker in self._workers])
        return stopped.addCallback(lambda _: None)

    def run(self, operation: Operation, owner: str, *arguments: Any) -> Deferred[Any]:
        """The operation's result, or StorageError."""
        if self._refusal:
            return fail(StorageError(self._refusal))
        if self.waiting() >= self._most:
            self._counts.overloaded += 1
            return fail(StorageError(f'overloaded: {self._most} operations wait'))
        workers = self._workers
        worker = workers[0] if len(workers) == 1 else workers[hash(owner) % len(workers)]
        return worker.run(Call(operation, owner, arguments))

    def waiting(self) -> int:
        """Operations asked and not answered yet, for metrics."""
        return sum([worker.waiting() for worker in self._workers])
