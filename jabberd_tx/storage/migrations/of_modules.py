"""How a database gets the tables of modules: each module's steps are counted by themselves, in `module_versions`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select, update

from jabberd_tx.storage.module_tables import ModuleTables

# Made with the first module that has tables, as Alembic makes its own.
module_versions = Table(
    'module_versions',
    MetaData(),
    Column('name', String(64), primary_key=True),
    Column('version', Integer, nullable=False),
)


def pending(done: dict[str, int], tables: Sequence[ModuleTables]) -> list[tuple[str, str]]:
    """(version, what it changes) of each step to come, as ('notes 2', 'A title')."""
    return [
        (f'{one.name} {number}', text)
        for one in tables
        for number, text in enumerate(one.texts(), 1)
        if number > done.get(one.name, 0)
    ]


def newer(done: dict[str, int], tables: Sequence[ModuleTables]) -> list[str]:
    """The modules whose tables are newer in the database than in the code that is installed."""
    return [one.name for one in tables if done.get(one.name, 0) > len(one.changes)]


def carry_out(connection: Any, tables: Sequence[ModuleTables]) -> None:
    """All steps to come, on an SQLAlchemy connection, in its transaction."""
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    module_versions.create(connection, checkfirst=True)
    done: dict[str, int] = dict(connection.execute(select(module_versions)).fetchall())
    operations = Operations(MigrationContext.configure(connection))
    for one in tables:
        version = done.get(one.name, 0)
        for change in one.changes[version:]:
            change(operations)
        if one.name not in done:
            connection.execute(insert(module_versions).values(name=one.name, version=len(one.changes)))
        elif version < len(one.changes):
            found = update(module_versions).where(module_versions.c.name == one.name)
            connection.execute(found.values(version=len(one.changes)))
        for statement in one.triggers(connection.dialect.name):
            connection.exec_driver_sql(statement)

