"""Storage for tests on a fake clock: the real operations and SQL, in memory, answered at once without a thread."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from sqlalchemy import MetaData
from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.schema import CreateIndex, CreateTable
from twisted.internet.defer import Deferred, fail, succeed

from jabberd_tx.storage.migrations import of_modules
from jabberd_tx.storage.module_tables import ModuleTables
from jabberd_tx.storage.operations import Operation, StorageError
from jabberd_tx.storage.schema import metadata
from jabberd_tx.storage.sql.connection import MEMORY, SqliteConnection, connect
from jabberd_tx.storage.sql.database import Call


class ImmediateStorage:
    """Implements operations.Storage.  What it gives back has fired already.

    `broken`: set to a text, operations fail with it from then on; set to '', they work again.
    """

    def __init__(self, tables: Sequence[ModuleTables] = ()) -> None:
        """`tables`: those of modules, made as their last step leaves them."""
        self.broken = ''
        self._connection = SqliteConnection(MEMORY, 'off', 0)
        for one in (metadata, *[module.metadata for module in tables]):
            self._make(one)
        for module in tables:
            for statement in module.triggers('sqlite'):
                self._connection.execute(statement)

    def _make(self, metadata: MetaData) -> None:
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


def check_steps(tables: ModuleTables) -> None:
    """AssertionError, with what differs, unless a module's steps, one after another in a fresh database, make the
    tables that its metadata describes."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from sqlalchemy import create_engine
    from sqlalchemy.pool import StaticPool

    with closing(connect(MEMORY, 0)) as file:
        engine = create_engine('sqlite://', creator=lambda: file, poolclass=StaticPool)
        with engine.begin() as connection:
            metadata.create_all(connection)
            for count in range(1, len(tables.changes) + 1):
                of_modules.carry_out(connection, [ModuleTables(tables.name, tables.metadata, *tables.changes[:count])])
            context = MigrationContext.configure(connection, opts={'compare_type': True, 'include_object': (
                lambda thing, name, kind, reflected, other: kind != 'table' or name in tables.metadata.tables
            )})  # fmt: skip
            differences = compare_metadata(context, tables.metadata)
    assert not differences, differences
