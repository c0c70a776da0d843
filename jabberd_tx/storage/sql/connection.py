"""One SQLite connection, and the transactions that run on it.  Used by one thread at a time."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Executable
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect

from jabberd_tx.storage.sql.database import Call, failed
from jabberd_tx.storage.sql.statements import Statements

MEMORY = ':memory:'


def make_private(path: str) -> None:
    """Make the file (mode 0600) and its folder (0700) if they are not there; SQLite's other files take the file's
    mode.  OSError as the system says."""
    folder = os.path.dirname(os.path.abspath(path))
    Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def connect(path: str, busy: float) -> sqlite3.Connection:
    """A connection in autocommit mode that any thread may use.  `busy`: seconds to wait for another process's lock."""
    connection = sqlite3.connect(
        path, timeout=busy, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    connection.execute('PRAGMA foreign_keys = ON')
    return connection


def write_ahead(connection: sqlite3.Connection, busy: float) -> None:
    """Turn the file to WAL, which it then stays.  Where several processes do so at once, SQLite refuses instead of
    waiting, whatever the connection's timeout: they wait here, `busy` seconds at most."""
    deadline = time.monotonic() + busy
    while True:
        try:
            connection.execute('PRAGMA journal_mode = WAL')
            return
        except sqlite3.OperationalError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.01 + 0.04 * random.random())


class SqliteConnection:
    """Runs calls in transactions, and tells of each what it gave: its result, or the StorageError."""

    def __init__(self, path: str, synchronous: str, busy: float) -> None:
        """`synchronous`: 'full', or 'normal'.  sqlite3.Error, OSError when the file can't be opened."""
        if path != MEMORY:
            make_private(path)
        self._connection = connect(path, busy)
        write_ahead(self._connection, busy)
        self._connection.execute(f'PRAGMA synchronous = {synchronous}')
        self._cursor = self._connection.cursor()
        self._statements = Statements(sqlite_dialect(paramstyle='named'))

    def close(self) -> None:
        """Of the last connection to a file this also takes the log back into it."""
        self._connection.close()

    def _run(self, statement: Executable, **parameters: Any) -> list[Any]:
        compiled = self._statements.get(statement, parameters)
        for name, convert in compiled.to_driver:
            parameters[name] = convert(parameters[name])
        if compiled.constants:
            parameters.update(compiled.constants)
        cursor = self._cursor.execute(compiled.sql, parameters)
        if cursor.description is None:
            return [(cursor.rowcount,)]
        rows = cursor.fetchall()
        if compiled.from_driver:
            rows = [self._converted(row, compiled.from_driver) for row in rows]
        return rows

    @staticmethod
    def _converted(row: tuple[Any, ...], conversions: Sequence[tuple[int, Any]]) -> tuple[Any, ...]:
        values = list(row)
        for index, convert in conversions:
            values[index] = convert(values[index])
        return tuple(values)

    def transact(self, calls: Sequence[Call]) -> list[Any]:
        """Run the calls in order in one transaction; for each its result, or the StorageError that it failed with.

        A call that fails undoes only what it did itself.  When the transaction fails as a whole nothing of it was done.
        """
        writes = any(not call.operation.reads for call in calls)
        try:
            # A transaction that wrote after it had read could be refused at once where another process wrote between.
            self.execute('BEGIN IMMEDIATE' if writes else 'BEGIN')
        except sqlite3.Error as error:
            return self._without_writes(calls, error) if writes else [failed(error)] * len(calls)
        try:
            run = self._run
            results = [call.operation.body(run, call.owner, *call.arguments) for call in calls]
        except Exception:
            # Once more, with a savepoint for each: dearer, and seldom.
            self._abandon()
            return self._transact_guarded(calls, writes)
        return self._commit(results)

    def _transact_guarded(self, calls: Sequence[Call], writes: bool) -> list[Any]:
        results: list[Any] = []
        try:
            self.execute('BEGIN IMMEDIATE' if writes else 'BEGIN')
            for call in calls:
                self.execute('SAVEPOINT one')
                try:
                    results.append(call.operation.body(self._run, call.owner, *call.arguments))
                except Exception as error:
                    self.execute('ROLLBACK TO one')
                    results.append(failed(error, call.operation.name))
                self.execute('RELEASE one')
        except sqlite3.Error as error:
            self._abandon()
            return [failed(error)] * len(calls)
        return self._commit(results)

    def _commit(self, results: list[Any]) -> list[Any]:
        try:
            self.execute('COMMIT')
        except sqlite3.Error as error:
            self._abandon()
            return [failed(error)] * len(results)
        return results

    def _without_writes(self, calls: Sequence[Call], error: sqlite3.Error) -> list[Any]:
        # The database can't be written to now: what only reads goes on.
        reads = [call for call in calls if call.operation.reads]
        answers = iter(self.transact(reads) if reads else ())
        return [next(answers) if call.operation.reads else failed(error) for call in calls]

    def execute(self, sql: str) -> None:
        """SQL that gives no rows."""
        self._cursor.execute(sql)

    def _abandon(self) -> None:
        # A full disk, among others, has ended the transaction already.
        if self._connection.in_transaction:
            self.execute('ROLLBACK')

