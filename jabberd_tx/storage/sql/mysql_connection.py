"""One connection to MySQL or MariaDB, and the transactions that run on it.  Used by one thread at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pymysql
from sqlalchemy import Executable
from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql

from jabberd_tx.storage.operations import StorageError
from jabberd_tx.storage.sql.database import Call, failed
from jabberd_tx.storage.sql.statements import Statements

# ER_LOCK_DEADLOCK, ER_LOCK_WAIT_TIMEOUT, ER_DUP_ENTRY (another process was faster): the transaction may be run again.
AGAIN = frozenset((1213, 1205, 1062))
# CR_SERVER_GONE_ERROR, CR_SERVER_LOST, ER_SERVER_SHUTDOWN, ER_CONNECTION_KILLED, and pymysql's own for a closed one.
LOST = frozenset((2006, 2013, 1053, 1927, 0))
# How often a transaction is run before it counts as failed.
TRIES = 3


class MysqlConnection:
    """Implements sql.database.SqlConnection: runs calls in transactions at READ COMMITTED, so that nobody waits for
    rows that are not there.

    A connection that is lost before COMMIT was sent has done nothing: the transaction is run again on another one.
    After that nobody knows, and the calls fail.
    """

    def __init__(self, connect: Callable[[], Any]) -> None:
        """connect: makes a pymysql connection.  pymysql.Error, OSError."""
        self._make = connect
        self._connection = connect()
        self._statements = Statements(MySQLDialect_pymysql(paramstyle='pyformat'))

    def close(self) -> None:
        """See SqlConnection."""
        if self._connection.open:
            self._connection.close()

    def transact(self, calls: Sequence[Call]) -> list[Any]:
        """See SqlConnection."""
        guarded = False
        for _ in range(TRIES):
            committing = False
            try:
                results = self._guarded(calls) if guarded else self._plain(calls)
                committing = True
                self._connection.commit()
                return results
            except pymysql.Error as error:
                code = error.args[0] if error.args else None
                if code in LOST:
                    if committing:
                        self.close()
                        return [StorageError('the connection was lost: it may or may not have been done')] * len(calls)
                    self._renew()
                    continue
                if not self._rolled_back(committing) or code not in AGAIN and guarded:
                    return [failed(error)] * len(calls)
                guarded = guarded or code not in AGAIN
            except Exception as error:
                # One of the bodies: each by itself, then, so that it undoes only what is its own.
                if not self._rolled_back(committing) or guarded:
                    return [failed(error)] * len(calls)
                guarded = True
        return [StorageError(f'given up after {TRIES} attempts: rows or connection were lost')] * len(calls)

    def _plain(self, calls: Sequence[Call]) -> list[Any]:
        self._connection.begin()
        run = self._run
        return [call.operation.body(run, call.owner, *call.arguments) for call in calls]

    def _guarded(self, calls: Sequence[Call]) -> list[Any]:
        results: list[Any] = []
        self._connection.begin()
        for call in calls:
            self._execute('SAVEPOINT one')
            try:
                results.append(call.operation.body(self._run, call.owner, *call.arguments))
            except pymysql.Error as error:
                code = error.args[0] if error.args else None
                if code in LOST or code in AGAIN:
                    raise  # the whole transaction is gone, or to be done again
                self._execute('ROLLBACK TO one')
                results.append(failed(error, call.operation.name))
            except Exception as error:
                self._execute('ROLLBACK TO one')
                results.append(failed(error, call.operation.name))
            self._execute('RELEASE SAVEPOINT one')
        return results

    def _run(self, statement: Executable, **parameters: Any) -> list[Any]:
        compiled = self._statements.get(statement, parameters)
        for name, convert in compiled.to_driver:
            parameters[name] = convert(parameters[name])
        if compiled.constants:
            parameters.update(compiled.constants)
        with self._connection.cursor() as cursor:
            found = cursor.execute(compiled.sql, parameters)
            if cursor.description is None:
                return [(found,)]
            rows = list(cursor.fetchall())
        if compiled.from_driver:
            rows = [_converted(row, compiled.from_driver) for row in rows]
        return rows

    def _execute(self, sql: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)

    def _renew(self) -> None:
        self.close()
        self._connection = self._make()

    def _rolled_back(self, committing: bool) -> bool:
        """Whether nothing is in hand any more.  After a failed COMMIT the server has rolled back itself."""
        try:
            self._connection.rollback()
        except pymysql.Error:
            self._renew()
        return True


def _converted(row: tuple[Any, ...], conversions: Sequence[tuple[int, Any]]) -> tuple[Any, ...]:
    values = list(row)
    for index, convert in conversions:
        values[index] = convert(values[index])
    return tuple(values)
