"""Tables of modules: made at the first start, brought on by an upgrade, gone with the account."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.pool import NullPool

from jabberd_tx.control.check.database import check_database
from jabberd_tx.storage import accounts, migrations
from jabberd_tx.storage.module_tables import ModuleTables
from jabberd_tx.storage.operations import StorageError, read, write
from jabberd_tx.storage.schema import OWNER_BYTES, JidText
from jabberd_tx.storage.sql.connection import SqliteConnection, connect
from jabberd_tx.storage.sql.database import Call
from jabberd_tx.storage.sql.sqlite_file import SqliteFile, triggers_kept
from jabberd_tx.testing.storage import ImmediateStorage, check_steps


def table(*more: sa.Column[Any], name: str = 'notes') -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table(
        name, metadata, sa.Column('owner', JidText(OWNER_BYTES), primary_key=True),
        sa.Column('text', sa.Text, nullable=False), *more,
    )  # fmt: skip
    return metadata


def first(op: Any) -> None:
    """Notes."""
    owner = sa.Column('owner', sa.String(OWNER_BYTES), primary_key=True)
    op.create_table('notes', owner, sa.Column('text', sa.Text, nullable=False))


def second(op: Any) -> None:
    """A title.

    Those there are have none."""
    op.add_column('notes', sa.Column('title', sa.Text, nullable=False, server_default=''))


def broken(op: Any) -> None:
    """Nothing good."""
    op.create_table('notes_more', sa.Column('owner', sa.Text))
    raise RuntimeError('no')


ONE = ModuleTables('notes', table(), first)
TWO = ModuleTables('notes', table(sa.Column('title', sa.Text, nullable=False, server_default='')), first, second)
BAD = ModuleTables('notes', table(), first, broken)
OTHER = ModuleTables(
    'other', table(name='other'), lambda op: op.create_table('other', sa.Column('owner', sa.Text))
)

NOTES = sa.table('notes', sa.column('owner'), sa.column('text'))
INSERT = sa.insert(NOTES)
COUNT = sa.select(sa.func.count()).select_from(NOTES)


@write('notes.add')
def add(run: Any, owner: str) -> None:
    run(INSERT, owner=owner, text='x')


@read('notes.count')
def count(run: Any, owner: str) -> int:
    return int(run(COUNT)[0][0])


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / 'jabberd.sqlite')


def columns(path: str, name: str = 'notes') -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [row[1] for row in connection.execute(f'PRAGMA table_info({name})')]


@pytest.mark.parametrize('before', [(), (OTHER,)])
def test_a_start_makes_the_tables_of_a_module_that_is_new(path: str, before: tuple[ModuleTables, ...]) -> None:
    """In a fresh file and in one that has been there without it; a second start finds them."""
    migrations.make_ready(SqliteFile(path), before)
    for _ in range(2):
        migrations.make_ready(SqliteFile(path), [*before, TWO])
        assert columns(path) == ['owner', 'text', 'title']
    assert migrations.pending(SqliteFile(path), [*before, TWO]) == []
    migrations.make_ready(SqliteFile(path))


def test_a_module_that_wants_more_than_there_is_stops_the_start_until_the_upgrade(path: str) -> None:
    """The text names the module and what to run; a new module's tables are made all the same."""
    migrations.make_ready(SqliteFile(path), [ONE])
    with pytest.raises(StorageError, match=f'older than module notes 2 needs: run {migrations.COMMAND}'):
        migrations.make_ready(SqliteFile(path), [TWO, OTHER])
    assert columns(path) == ['owner', 'text'] and columns(path, 'other') == ['owner']
    steps = [migrations.Step('notes 2', 'A title')]
    assert migrations.pending(SqliteFile(path), [TWO, OTHER]) == steps
    assert migrations.upgrade(SqliteFile(path), [TWO, OTHER]) == steps
    migrations.make_ready(SqliteFile(path), [TWO, OTHER])
    assert columns(path) == ['owner', 'text', 'title']
    with pytest.raises(StorageError, match='tables of module notes are newer'):
        migrations.make_ready(SqliteFile(path), [ONE])


def test_a_step_that_fails_leaves_everything_as_it_was(path: str) -> None:
    """The package's own versions and other modules' steps as well."""
    migrations.make_ready(SqliteFile(path), [ONE])
    with pytest.raises(StorageError, match='nothing is changed: no'):
        migrations.upgrade(SqliteFile(path), [OTHER, BAD])
    assert columns(path, 'other') == columns(path, 'notes_more') == []
    migrations.make_ready(SqliteFile(path), [ONE])


def test_check_tells_of_tables_that_wait_for_an_upgrade(path: str) -> None:
    """Those that a start makes by itself are no finding."""
    migrations.make_ready(SqliteFile(path), [ONE])
    assert [found.level for found in check_database(SqliteFile(path), [ONE, OTHER])] == ['ok']
    (found,) = check_database(SqliteFile(path), [TWO])
    assert found.level == 'fail' and 'notes 2' in str(found)


def storages(path: str) -> list[Callable[..., Any]]:
    """Runs an operation: in a file as the steps make it, and in the storage of tests."""
    migrations.make_ready(SqliteFile(path), [ONE])
    connection, storage = SqliteConnection(path, 'normal', 1), ImmediateStorage([ONE])
    return [
        lambda operation, *arguments: connection.transact([Call(operation, arguments[0], arguments[1:])])[0],
        lambda operation, *arguments: storage.run(operation, *arguments).result,
    ]


def test_rows_go_with_the_account(path: str) -> None:
    """Of that account alone."""
    for run in storages(path):
        for owner in ('juliet@a', 'romeo@a'):
            run(accounts.put, owner, {})
            run(add, owner)
        assert run(count, '') == 2
        assert run(accounts.remove, 'juliet@a')
        assert run(count, '') == 1


def test_rows_go_with_the_account_after_a_version_that_makes_the_accounts_anew(path: str) -> None:
    """SQLite drops a table's triggers with it."""
    migrations.make_ready(SqliteFile(path), [ONE])
    engine = sa.create_engine('sqlite://', creator=lambda: connect(path, 1), poolclass=NullPool)
    with engine.begin() as connection, triggers_kept(connection):
        operations = Operations(MigrationContext.configure(connection))
        with operations.batch_alter_table('accounts', recreate='always') as batch:
            batch.add_column(sa.Column('more', sa.Text, nullable=False, server_default=''))
    (run, _) = storages(path)
    run(accounts.put, 'juliet@a', {})
    run(add, 'juliet@a')
    assert run(accounts.remove, 'juliet@a')
    assert run(count, '') == 0


def test_steps_are_compared_with_what_the_tables_should_be() -> None:
    """A column that no step makes is told."""
    check_steps(ONE)
    check_steps(TWO)
    with pytest.raises(AssertionError, match='title'):
        check_steps(ModuleTables('notes', TWO.metadata, first))


@pytest.mark.parametrize(
    ('tables', 'said'),
    [
        (lambda: ModuleTables('notes', table()), 'a step that makes them'),
        (lambda: ModuleTables('notes', sa.MetaData(), first), 'expected tables'),
        (lambda: ModuleTables('notes', table(name='letters'), first), 'begins with notes, not letters'),
        (lambda: ModuleTables('offline', table(name='offline'), first), 'not offline'),
        (lambda: ModuleTables('n', sa.MetaData(), first), 'expected tables'),
    ],
)
def test_tables_that_could_not_live_beside_others_are_refused(tables: Any, said: str) -> None:
    """When they are declared."""
    with pytest.raises(ValueError, match=said):
        tables()


def test_a_table_is_keyed_by_owner() -> None:
    """First, in a key or an index."""
    metadata = sa.MetaData()
    sa.Table('n', metadata, sa.Column('id', sa.Integer, primary_key=True), sa.Column('owner', JidText(9)))
    with pytest.raises(ValueError, match='no key or index that begins with owner'):
        ModuleTables('n', metadata, first)
    sa.Index('ix_n_owner', metadata.tables['n'].c.owner)
    ModuleTables('n', metadata, first)
