"""The tables: one description, the same in the migrations, with keys that MySQL can hold; their versions."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.dialects.mysql import dialect as mysql_dialect
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateTable

from jabberd_tx.storage import accounts, migrations, offline, rosters
from jabberd_tx.storage.operations import StorageError, read
from jabberd_tx.storage.schema import metadata
from jabberd_tx.storage.sql.connection import SqliteConnection, connect
from jabberd_tx.storage.sql.database import Call
from jabberd_tx.storage.sql.sqlite_file import SqliteFile
from jabberd_tx.storage.sql.statements import Statements


def names_in(path: str) -> set[str]:
    """Tables in the file."""
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def version_in(path: str, version: str) -> None:
    """Make a database of that version."""
    migrations.upgrade(SqliteFile(path))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute('UPDATE alembic_version SET version_num = ?', (version,))


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Of a database that is not there yet."""
    return str(tmp_path / 'data' / 'jabberd.sqlite')


# ---- the tables


def test_the_migrations_make_the_tables_that_the_code_knows(path: str) -> None:
    """Alembic finds no difference, and `VERSIONS` lists its scripts."""
    migrations.upgrade(SqliteFile(path))
    engine = create_engine('sqlite://', creator=lambda: connect(path, 1), poolclass=NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={'compare_type': True})
        assert compare_metadata(context, metadata) == []
    scripts = ScriptDirectory.from_config(migrations._config())
    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == migrations.VERSIONS
    assert scripts.get_current_head() == migrations.HEAD


def test_positions_are_never_used_again_by_sqlite(path: str) -> None:
    """AUTOINCREMENT, in the file as the migrations make it."""
    migrations.upgrade(SqliteFile(path))
    with closing(sqlite3.connect(path)) as connection:
        (sql,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'offline'").fetchone()
    assert 'AUTOINCREMENT' in sql


def test_every_key_fits_mysql() -> None:
    """InnoDB's keys hold 3,072 bytes; the tables compile for it, JIDs as bytes."""
    for table in metadata.tables.values():
        ddl = str(CreateTable(table).compile(dialect=mysql_dialect()))
        assert 'owner VARBINARY(1024) NOT NULL' in ddl
        keys = [list(table.primary_key), *[list(index.columns) for index in table.indexes]]
        keys += [list(constraint.columns) for constraint in table.constraints if hasattr(constraint, 'columns')]
        for key in keys:
            assert sum([getattr(column.type, 'length', None) or 8 for column in key]) <= 3072, key


def test_statements_compile_for_mysql_with_jids_as_bytes() -> None:
    """Parameters become bytes, and columns text again, where the driver's strings have collations."""
    statements = Statements(mysql_dialect(paramstyle='pyformat'))
    compiled = statements.get(accounts.SELECT_PAGE, ['where', 'after', 'most'])
    assert {name for name, _ in compiled.to_driver} >= {'where', 'after'}
    assert [(index, convert('jülia'.encode())) for index, convert in compiled.from_driver] == [(0, 'jülia')]
    assert dict(statements.get(rosters.DELETE_ITEM, ['who', 'whom']).to_driver)['whom']('é') == 'é'.encode()
    push = statements.get(offline.INSERT, ['owner', 'uid', 'stanza', 'at', 'size'])
    assert 'position' not in push.sql
    assert 'FOR UPDATE' in statements.get(offline.USED, ['who']).sql


# ---- versions


def test_a_fresh_file_gets_its_tables(path: str) -> None:
    """Made with its folder, for its owner alone; a second time nothing is left to do."""
    assert SqliteFile(path).marks().version is None
    migrations.make_ready(SqliteFile(path))
    assert SqliteFile(path).marks().version == migrations.HEAD
    assert names_in(path) >= {'accounts', 'roster', 'offline', 'alembic_version'}
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert migrations.upgrade(SqliteFile(path)) == []


@pytest.mark.parametrize(
    ('version', 'said'),
    [
        ('0000', ['is older', migrations.HEAD, 'run jabberd-ctl db upgrade']),
        ('9999', ['is newer', migrations.HEAD]),
    ],
)
def test_another_schema_stops_the_start(path: str, version: str, said: list[str], monkeypatch: Any) -> None:
    """The text names the file, both versions, and what to run; the file stays as it was."""
    version_in(path, version)
    monkeypatch.setattr(migrations, 'VERSIONS', ('0000', *migrations.VERSIONS))
    with pytest.raises(StorageError) as raised:
        migrations.make_ready(SqliteFile(path))
    for part in [path, version, *said]:
        assert part in str(raised.value)
    assert SqliteFile(path).marks().version == version


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    """Neither start nor upgrade touches it."""
    path = str(tmp_path / 'other.sqlite')
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute('CREATE TABLE accounts (owner TEXT)')
    for attempt in (migrations.make_ready, migrations.upgrade, migrations.pending):
        with pytest.raises(StorageError, match='not one of jabberd-tx'):
            attempt(SqliteFile(path))
    assert names_in(path) == {'accounts'}


LATER = '''"""Add a table; and fail when told to."""
from alembic import op
import sqlalchemy as sa
revision, down_revision = '9999', '{head}'
def upgrade():
    op.create_table('later', sa.Column('owner', sa.String(10), primary_key=True))
    op.execute('INSERT INTO later (owner) SELECT owner FROM accounts')
    {more}
'''


def with_later_version(tmp_path: Path, monkeypatch: Any, more: str = '') -> None:
    """As if the code were one version on."""
    (tmp_path / 'more').mkdir()
    (tmp_path / 'more' / 'v9999.py').write_text(LATER.format(more=more, head=migrations.HEAD))
    plain = migrations._config

    def config() -> Config:
        made = plain()
        folders = [os.path.join(migrations.__path__[0], 'versions'), f'{tmp_path}/more']
        made.set_main_option('version_locations', os.pathsep.join(folders))
        return made

    monkeypatch.setattr(migrations, '_config', config)
    monkeypatch.setattr(migrations, 'VERSIONS', (*migrations.VERSIONS, '9999'))
    monkeypatch.setattr(migrations, 'HEAD', '9999')


def test_an_upgrade_takes_the_file_to_the_newest_version(path: str, tmp_path: Path, monkeypatch: Any) -> None:
    """Its steps are listed before and after, rows stay, and the start goes on."""
    migrations.upgrade(SqliteFile(path))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO accounts VALUES ('juliet', 'example.net', x'a0')")
    with_later_version(tmp_path, monkeypatch)
    with pytest.raises(StorageError, match='older'):
        migrations.check_schema(SqliteFile(path))
    steps = [migrations.Step('9999', 'Add a table; and fail when told to')]
    assert migrations.pending(SqliteFile(path)) == steps
    assert migrations.upgrade(SqliteFile(path)) == steps
    migrations.check_schema(SqliteFile(path))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute('SELECT owner FROM later').fetchall() == [('juliet',)]


def test_rosters_from_before_versions_have_the_first_one(path: str, monkeypatch: Any) -> None:
    """With their items, and whoever has none has no version."""
    monkeypatch.setattr(migrations, 'HEAD', '0001')
    monkeypatch.setattr(migrations, 'VERSIONS', migrations.VERSIONS[:1])
    migrations.upgrade(SqliteFile(path))
    with closing(sqlite3.connect(path)) as connection, connection:
        for contact in ('nurse', 'romeo'):
            connection.execute(f"INSERT INTO roster VALUES ('juliet', '{contact}', '', 'both', 0, 0, 0, '[]', x'')")
    monkeypatch.undo()
    migrations.upgrade(SqliteFile(path))
    connection = SqliteConnection(path, 'off', 1)
    loaded, changed, empty = connection.transact(
        [Call(rosters.load, 'juliet', ()), Call(rosters.changes, 'juliet', ('first.1',)), Call(rosters.load, 'x', ())]
    )
    connection.close()
    assert (loaded[0], [item.jid for item in loaded[1]]) == ('first.1', ['nurse', 'romeo'])
    assert changed == []
    assert empty == ('0', [])


def test_messages_from_before_sizes_get_theirs(path: str, monkeypatch: Any) -> None:
    """So that they count for the limit of bytes; they are given in the same order."""
    monkeypatch.setattr(migrations, 'HEAD', '0002')
    monkeypatch.setattr(migrations, 'VERSIONS', migrations.VERSIONS[:2])
    migrations.upgrade(SqliteFile(path))
    with closing(sqlite3.connect(path)) as connection, connection:
        for number, size in ((1, 10), (2, 70_000)):
            values = ('juliet', number.to_bytes(24, 'big'), 1.0, b'x' * size)
            connection.execute('INSERT INTO offline (owner, uid, at, stanza) VALUES (?, ?, ?, ?)', values)
    monkeypatch.undo()
    migrations.upgrade(SqliteFile(path))
    connection = SqliteConnection(path, 'off', 1)
    used, page = connection.transact(
        [
            Call(read('offline.used')(lambda run, owner: run(offline.USED, who=owner)), 'juliet', ()),
            Call(offline.page, 'juliet', (0, 9)),
        ]
    )
    connection.close()
    assert [tuple(row) for row in used] == [(2, 70_010)]
    assert [len(stored.stanza) for _, stored in page] == [10, 70_000]


def test_an_upgrade_that_fails_changes_nothing(path: str, tmp_path: Path, monkeypatch: Any) -> None:
    """All its steps are one transaction, tables included."""
    migrations.upgrade(SqliteFile(path))
    head = migrations.HEAD
    with_later_version(tmp_path, monkeypatch, more="raise RuntimeError('no')")
    with pytest.raises(StorageError, match='nothing is changed: no'):
        migrations.upgrade(SqliteFile(path))
    assert SqliteFile(path).marks().version == head
    assert 'later' not in names_in(path)
