"""The schema's versions, and how a database gets from one to the next.

Each version is a file in versions/, run by Alembic (env.py).  A process at start only looks which version it finds,
without Alembic; one that finds an empty database makes the tables in it.  Modules may have tables of their own
(of_modules.py): those of a module that is new to the file are made at the start as well.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from jabberd_tx.storage.migrations import of_modules
from jabberd_tx.storage.module_tables import ModuleTables
from jabberd_tx.storage.operations import StorageError
from jabberd_tx.storage.sql.database import Database

if TYPE_CHECKING:
    from alembic.config import Config

# Oldest first; the last is what this code works with.
VERSIONS = ('0001', '0002', '0003', '0004', '0005', '0006')
HEAD = VERSIONS[-1]

COMMAND = 'jabberd-ctl db upgrade'


class Step(NamedTuple):
    """A version to come, and what it changes in a line."""

    version: str
    text: str


def check_schema(database: Database, tables: Sequence[ModuleTables] = ()) -> None:
    """StorageError, with what to do, unless the database has the schema that this code, and modules with these
    tables, work with."""
    name, (version, done) = database.name, database.marks()
    if version is None:
        raise StorageError(f'{name}: no tables yet: run {COMMAND}')
    _refuse_newer(name, version)
    if version != HEAD:
        raise StorageError(f'{name}: schema {version} is older than this jabberd-tx needs ({HEAD}): run {COMMAND}')
    for module in of_modules.newer(done, tables):
        raise StorageError(f'{name}: the tables of module {module} are newer than the module that is installed')
    for step, _ in of_modules.pending(done, tables):
        raise StorageError(f'{name}: the tables are older than module {step} needs: run {COMMAND}')


def _refuse_newer(name: str, version: str) -> None:
    if version not in VERSIONS:
        raise StorageError(
            f'{name}: schema {version} is newer than this jabberd-tx knows (up to {HEAD}): run the newer one again'
        )


def make_ready(database: Database, tables: Sequence[ModuleTables] = ()) -> None:
    """Make the tables if the database has none, and those of modules of which it has none; then check.  Several
    processes may do it at once."""
    version, done = database.marks()
    if version is None:
        upgrade(database, tables)
    elif tables:
        check_schema(database)
        fresh = [one for one in tables if one.name not in done]
        if fresh:
            upgrade(database, fresh)
    check_schema(database, tables)


def pending(database: Database, tables: Sequence[ModuleTables] = ()) -> list[Step]:
    """The versions that `upgrade` would go through, in order, those of modules last.  StorageError for a newer
    schema."""
    version, done = database.marks()
    if version is not None:
        _refuse_newer(database.name, version)
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_config())
    after = 0 if version is None else VERSIONS.index(version) + 1
    steps = [Step(name, (scripts.get_revision(name).doc or '').rstrip('.')) for name in VERSIONS[after:]]
    return [*steps, *[Step(*step) for step in of_modules.pending(done, tables)]]


def upgrade(database: Database, tables: Sequence[ModuleTables] = ()) -> list[Step]:
    """Bring the database to HEAD, and what modules keep in it to their last step; what was done.  StorageError."""
    from alembic import command

    steps = pending(database, tables)
    if not steps:
        return []
    try:
        database.prepare()
        with database.changing() as connection:
            config = _config()
            config.attributes['connection'] = connection
            command.upgrade(config, HEAD)
            if tables:
                of_modules.carry_out(connection, tables)
    except Exception as error:
        outcome = 'nothing is changed' if database.whole else 'what was done before stays done'
        raise StorageError(f'{database.name}: upgrade failed, {outcome}: {error}') from error
    return steps


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option('script_location', os.path.dirname(__file__).replace('%', '%%'))
    config.set_main_option('path_separator', 'os')
    return config

