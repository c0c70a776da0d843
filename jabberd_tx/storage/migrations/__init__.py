"""The schema's versions, and how a database gets from one to the next.

Each version is a file in versions/, run by Alembic (env.py).  A process at start only looks which version it finds,
without Alembic; one that finds a fresh file makes the tables in it.  Modules may have tables of their own
(of_modules.py): those of a module that is new to the file are made at the start as well.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from jabberd_tx.storage.migrations import of_modules
from jabberd_tx.storage.module_tables import ModuleTables
from jabberd_tx.storage.operations import StorageError
from jabberd_tx.storage.sql.connection import connect, make_private

if TYPE_CHECKING:
    from alembic.config import Config

# Oldest first; the last is what this code works with.
VERSIONS = ('0001', '0002', '0003', '0004', '0005', '0006')
HEAD = VERSIONS[-1]

# Another process may be in the middle of making the tables.
BUSY = 30.0

COMMAND = 'jabberd-ctl db upgrade'


class Step(NamedTuple):
    """A version to come, and what it changes in a line."""

    version: str
    text: str


def version_of(path: str) -> str | None:
    """The version of the database file; None: it is not there, or has no tables.

    StorageError: it is no database, or one of something else.
    """
    if not os.path.exists(path):
        return None
    try:
        with closing(connect(path, BUSY)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not tables:
                return None
            rows = connection.execute('SELECT version_num FROM alembic_version').fetchall() if _MARK in tables else []
    except sqlite3.Error as error:
        raise StorageError(f'{path}: {error}') from error
    if len(rows) != 1:
        raise StorageError(f'{path}: a database, but not one of jabberd-tx')
    version: str = rows[0][0]
    return version


_MARK = 'alembic_version'


def check_schema(path: str, tables: Sequence[ModuleTables] = ()) -> None:
    """StorageError, with what to do, unless the file has the schema that this code, and modules with these tables,
    work with."""
    version = version_of(path)
    if version is None:
        raise StorageError(f'{path}: no tables yet: run {COMMAND}')
    if version not in VERSIONS:
        raise StorageError(
            f'{path}: schema {version} is newer than this jabberd-tx knows (up to {HEAD}): run the newer one again'
        )
    if version != HEAD:
        raise StorageError(f'{path}: schema {version} is older than this jabberd-tx needs ({HEAD}): run {COMMAND}')
    if tables:
        done = of_modules.versions(path, BUSY)
        for name in of_modules.newer(done, tables):
            raise StorageError(f'{path}: the tables of module {name} are newer than the module that is installed')
        for version, _ in of_modules.pending(done, tables):
            raise StorageError(f'{path}: the tables are older than module {version} needs: run {COMMAND}')


def make_ready(path: str, tables: Sequence[ModuleTables] = ()) -> None:
    """Make the tables if the file is not there or has none, and those of modules of which it has none; then check.
    Several processes may do it at once."""
    if version_of(path) is None:
        upgrade(path, tables)
    elif tables:
        check_schema(path)
        done = of_modules.versions(path, BUSY)
        fresh = [one for one in tables if one.name not in done]
        if fresh:
            upgrade(path, fresh)
    check_schema(path, tables)


def pending(path: str, tables: Sequence[ModuleTables] = ()) -> list[Step]:
    """The versions that `upgrade` would go through, in order, those of modules last.  StorageError for a newer
    schema."""
    version = version_of(path)
    if version is not None and version not in VERSIONS:
        check_schema(path)
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_config())
    after = 0 if version is None else VERSIONS.index(version) + 1
    steps = [Step(name, (scripts.get_revision(name).doc or '').rstrip('.')) for name in VERSIONS[after:]]
    done = of_modules.versions(path, BUSY) if version is not None and tables else {}
    return [*steps, *[Step(*step) for step in of_modules.pending(done, tables)]]


def upgrade(path: str, tables: Sequence[ModuleTables] = ()) -> list[Step]:
    """Bring the file to HEAD, and what modules keep in it to their last step, all in one transaction; what was done.
    StorageError: nothing was changed."""
    from alembic import command

    steps = pending(path, tables)
    if not steps:
        return []
    try:
        make_private(path)
        with _transaction(path) as connection:
            config = _config()
            config.attributes['connection'] = connection
            with of_modules.triggers_kept(connection):
                command.upgrade(config, HEAD)
            if tables:
                of_modules.carry_out(connection, tables)
    except Exception as error:
        raise StorageError(f'{path}: upgrade failed, nothing is changed: {error}') from error
    return steps


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option('script_location', os.path.dirname(__file__).replace('%', '%%'))
    config.set_main_option('path_separator', 'os')
    return config


@contextmanager
def _transaction(path: str) -> Iterator[Any]:
    """An SQLAlchemy connection in a transaction that holds the write lock from its begin on."""
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import NullPool

    engine = create_engine('sqlite://', creator=lambda: connect(path, BUSY), poolclass=NullPool)

    @event.listens_for(engine, 'begin')
    def _(connection: Any) -> None:
        connection.exec_driver_sql('BEGIN IMMEDIATE')

    with engine.begin() as connection:
        yield connection
