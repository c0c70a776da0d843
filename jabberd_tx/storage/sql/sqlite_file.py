"""A database that is an SQLite file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from jabberd_tx.storage.operations import StorageError
from jabberd_tx.storage.sql.connection import SqliteConnection, connect, make_private
from jabberd_tx.storage.sql.database import Marks

# Another process may be in the middle of making the tables.
BUSY = 30.0

_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"
_TRIGGERS = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"


class SqliteFile:
    """Implements sql.database.Database."""

    dialect, whole = 'sqlite', True

    def __init__(self, path: str, synchronous: str = 'full', busy: float = 5.0) -> None:
        """`synchronous`: 'full' or 'normal'; `busy`: seconds to wait for another process's write."""
        self.name = self.path = path
        self._synchronous, self._busy = synchronous, busy

    def connect(self) -> SqliteConnection:
        """See Database."""
        return SqliteConnection(self.path, self._synchronous, self._busy)

    def prepare(self) -> None:
        """See Database."""
        make_private(self.path)

    def marks(self) -> Marks:
        """See Database.  A file that is not there has no tables."""
        if not os.path.exists(self.path):
            return Marks(None, {})
        try:
            with closing(connect(self.path, BUSY)) as connection:
                tables = {name for (name,) in connection.execute(_TABLES)}
                if not tables:
                    return Marks(None, {})
                return self._read(connection, tables)
        except sqlite3.Error as error:
            raise StorageError(f'{self.path}: {error}') from error

    def _read(self, connection: sqlite3.Connection, tables: set[str]) -> Marks:
        found = connection.execute('SELECT version_num FROM alembic_version') if 'alembic_version' in tables else ()
        versions = [version for (version,) in found]
        if len(versions) != 1:
            raise StorageError(f'{self.path}: a database, but not one of jabberd-tx')
        modules = connection.execute('SELECT name, version FROM module_versions') if 'module_versions' in tables else ()
        return Marks(versions[0], dict(modules))

    @contextmanager
    def changing(self) -> Iterator[Any]:
        """See Database.  In one transaction that holds the write lock from its begin on."""
        from sqlalchemy import create_engine, event
        from sqlalchemy.pool import NullPool

        engine = create_engine('sqlite://', creator=lambda: connect(self.path, BUSY), poolclass=NullPool)

        @event.listens_for(engine, 'begin')
        def _(connection: Any) -> None:
            connection.exec_driver_sql('BEGIN IMMEDIATE')

        with engine.begin() as connection, triggers_kept(connection):
            yield connection


@contextmanager
def triggers_kept(connection: Any) -> Iterator[None]:
    """Put back the triggers that go while a version of the package makes a table anew, also those of modules that are
    off."""
    before = dict(connection.exec_driver_sql(_TRIGGERS).fetchall())
    yield
    after = dict(connection.exec_driver_sql(_TRIGGERS).fetchall())
    for name in before.keys() - after.keys():
        connection.exec_driver_sql(before[name])
