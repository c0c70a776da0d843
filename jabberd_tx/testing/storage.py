"""Storage for tests on a fake clock: the real operations and SQL, in memory, answered at once without a thread."""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.schema import CreateIndex, CreateTable
from twisted.internet.defer import Deferred, fail, succeed

from jabberd_tx.storage.operations import Operation, StorageError
from jabberd_tx.storage.schema import metadata
from jabberd_tx.storage.sql.connection import MEMORY, Call, SqliteConnection


class ImmediateStorage:
    """Implements operations.Storage.  What it gives back has fired already.

    `broken`: set to a text, operations fail with it from then on; set to '', they work again.
    """

    def __init__(self) -> None:
        self.broken = ''
        self._connection = SqliteConnection(MEMORY, 'off', 0)
        for table in metadata.sorted_tables:
            self._connection.execute(str(CreateTable(table).compile(dialect=dialect())))
            for index in table.indexes:
                self._connection.execute(str(CreateIndex(index).compile(dialect=dialect())))

    def start(self) -> Deferred[None]:
        """Nothing is left to do."""
        return succeed(None)

    def stop(self) -> Deferred[None]:
        """Operations asked from now on are refused."""
        self.broken = 'storage is stopped'
        return succeed(None)

    def run(self, operation: Operation, owner: str, *arguments: Any) -> Deferred[Any]:
        """The operation's result, or StorageError."""
        if self.broken:
            return fail(StorageError(self.broken))
        (result,) = self._connection.transact([Call(operation, owner, arguments)])
        return fail(result) if isinstance(result, StorageError) else succeed(result)
