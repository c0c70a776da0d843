"""Storage on a real MariaDB server."""

from __future__ import annotations

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Delete, Double, Integer, Select, Update
from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql
from sqlalchemy.types import NullType
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from jabberd_tx.base.options import ConfigError, load
from jabberd_tx.storage import (
    accounts,
    blocks,
    fast_tokens,
    invites,
    last_activity,
    migrations,
    offline,
    private_xml,
    roster_versions,
    rosters,
    vcards,
)
from jabberd_tx.storage.operations import Run, Storage, StorageError, write
from jabberd_tx.storage.rosters import Item
from jabberd_tx.storage.schema import metadata
from jabberd_tx.storage.sql import mysql, sqlite
from jabberd_tx.storage.sql.mysql import MysqlDatabase
from jabberd_tx.storage.sql.storage import SqlStorage
from jabberd_tx.testing.mysql_server import MysqlServer
from jabberd_tx.testing.storage_conformance import JULIET, ROMEO, StorageConformance, credentials_of, uid_of

pytestmark = pytest.mark.system

MODULES = (
    accounts, blocks, fast_tokens, invites, last_activity, offline, private_xml, roster_versions, rosters, vcards,
)  # fmt: skip


class _Mysql:
    """One server for all tests of the file."""

    server: MysqlServer
    folder: Path


def setUpModule() -> None:
    _Mysql.folder = Path(tempfile.mkdtemp())
    _Mysql.server = MysqlServer(_Mysql.folder)
    _Mysql.server.start()
    _Mysql.server.new_database('model')
    migrations.upgrade(database_of('model'))


def tearDownModule() -> None:
    _Mysql.server.kill()
    shutil.rmtree(_Mysql.folder)


def database_of(name: str, **more: Any) -> MysqlDatabase:
    """A database of the server, as the configuration would name it."""
    values = mysql.OPTIONS.defaults()
    server = _Mysql.server
    where = {'port': server.port, 'user': server.user, 'password': server.password, 'database': name}
    vars(values).update({**where, **more})
    return MysqlDatabase(values, 10.0)


class MysqlTests(StorageConformance, TestCase):
    """The suite for every storage, and what is promised of this one."""

    async def make_storage(self) -> Storage:
        # The tables are made once: what is in them goes.
        tables = [name for (name,) in _Mysql.server.sql('SHOW TABLES', database='model') if name != 'alembic_version']
        _Mysql.server.sql(*[f'DELETE FROM {name}' for name in tables], database='model')
        return await self.started(database_of('model'))

    async def started(self, database: MysqlDatabase, connections: int = 3) -> SqlStorage:
        """Another storage, stopped after the test."""
        storage = SqlStorage(database, reactor, sqlite.OPTIONS.defaults(), connections=connections)
        await storage.start()
        self.addCleanup(storage.stop)
        return storage

    # ---- what is promised of this one

    async def test_what_one_process_writes_another_reads(self) -> None:
        """Each with connections of its own."""
        other = await self.started(database_of('model'))
        await self.run_(accounts.put, JULIET, credentials_of(b'j'))
        self.assertEqual(await other.run(accounts.credentials, JULIET), credentials_of(b'j'))

    async def test_pushes_of_several_processes_at_once_are_stored_once(self) -> None:
        """The same uids from three: each is stored by one of them, and told as a repeat to the others."""
        others = [await self.started(database_of('model')) for _ in range(2)]
        outcomes = await gatherResults(
            [
                storage.run(offline.push, JULIET, uid_of(number), b'm', 1.0, 999)
                for number in range(60)
                for storage in (self.storage, *others)
            ]
        )
        self.assertEqual(outcomes.count(offline.STORED), 60)
        self.assertEqual(outcomes.count(offline.REPEAT), 120)
        self.assertEqual(await self.run_(offline.count, JULIET), 60)

    async def test_deadlocks_are_run_again(self) -> None:
        """Two processes that change two rosters the other way round, all the time."""
        other = await self.started(database_of('model'))
        both = write('test.both')(
            lambda run, owner, first, second: [
                rosters.put.body(run, one, Item('nurse@example.net'), 'era') for one in (first, second)
            ]
        )
        changes = []
        for _ in range(40):
            changes.append(self.run_(both, JULIET, JULIET, ROMEO))
            changes.append(other.run(both, ROMEO, ROMEO, JULIET))
        await gatherResults(changes)
        self.assertEqual((await self.run_(rosters.load, JULIET))[0].rpartition('.')[2], '80')

    async def test_a_connection_that_the_server_ends_is_made_again(self) -> None:
        """Whoever asks next notices nothing."""
        await self.run_(accounts.put, JULIET, credentials_of(b'j'))
        await deferToThread(self.end_connections)
        self.assertEqual(await self.run_(accounts.credentials, JULIET), credentials_of(b'j'))
        await deferToThread(self.end_connections)
        self.assertEqual(await self.run_(offline.push, JULIET, uid_of(1), b'm', 1.0, 9), offline.STORED)

    def end_connections(self) -> None:
        found = _Mysql.server.sql("SELECT id FROM information_schema.processlist WHERE user = 'jabberd'")
        _Mysql.server.sql(*[f'KILL {number}' for (number,) in found])

    async def test_a_transaction_whose_connection_is_lost_is_run_again_whole(self) -> None:
        """What it had done before is undone by the server."""
        lost: list[bool] = []

        def body(run: Run, owner: str) -> str:
            outcome = offline.push.body(run, owner, uid_of(7), b'm', 1.0, 9)
            if not lost:
                lost.append(True)
                self.end_connections()
            return outcome + str(len(run(offline.COUNT, who=owner)))

        self.assertEqual(await self.run_(write('test.lost')(body), JULIET), offline.STORED + '1')
        self.assertEqual(await self.run_(offline.count, JULIET), 1)

    async def test_a_failure_undoes_just_its_own(self) -> None:
        """An operation that wrote and then failed, amid others of one group."""

        def body(run: Run, owner: str) -> None:
            rosters.put.body(run, owner, Item('half@example.net'))
            raise ZeroDivisionError('halfway')

        half = write('test.half')(body)
        calls = [
            self.run_(rosters.put, JULIET, Item('a@example.net')),
            self.assertFailure(self.run_(half, JULIET), StorageError),
            self.run_(rosters.put, JULIET, Item('b@example.net')),
        ]
        await gatherResults(calls)
        self.assertEqual(await self.run_(rosters.get, JULIET), [Item('a@example.net'), Item('b@example.net')])

    async def test_a_server_that_is_away_fails_what_is_asked_and_comes_back(self) -> None:
        """Each operation says so, and none waits for ever."""
        server = _Mysql.server
        server.sql('SET GLOBAL innodb_flush_log_at_trx_commit = 1')
        await self.run_(accounts.put, JULIET, credentials_of(b'j'))
        server.kill()
        error = await self.assertFailure(self.run_(accounts.exists, JULIET), StorageError)
        self.assertNotIn(server.password, str(error))
        await deferToThread(server.start)
        self.assertIs(await self.run_(accounts.exists, JULIET), True)


def test_a_database_with_another_character_set_is_refused() -> None:
    """With what to do; nothing is made in it."""
    _Mysql.server.sql('CREATE OR REPLACE DATABASE latin CHARACTER SET latin1')
    database = database_of('latin')
    with pytest.raises(StorageError, match='ALTER DATABASE latin CHARACTER SET utf8mb4'):
        migrations.make_ready(database)
    assert database.marks().version is None


def test_an_empty_database_is_opened_by_four_at_once() -> None:
    """One makes the tables, and the others wait for it."""
    _Mysql.server.new_database('fresh')
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(migrations.make_ready, database_of('fresh')) for _ in range(4)]:
            done.result(30)
    assert database_of('fresh').marks().version == migrations.HEAD


def test_a_wrong_password_is_told_in_one_line() -> None:
    """Without the password."""
    with pytest.raises(StorageError, match='Access denied') as refused:
        database_of('model', password='wrong-one').marks()
    assert 'wrong-one' not in str(refused.value)


def test_no_statement_reads_a_whole_table() -> None:
    """Each goes by a key, as the server explains it on tables with rows."""
    statements = {
        f'{module.__name__}.{name}': statement
        for module in MODULES
        for name, statement in vars(module).items()
        if isinstance(statement, (Select, Update, Delete)) and not name.startswith('_')
    }
    assert len(statements) > 40
    connection = database_of('model')._driver()
    with connection, connection.cursor() as cursor:
        _fill(cursor)
        whole = []
        for name, statement in statements.items():
            compiled = statement.compile(dialect=MySQLDialect_pymysql(paramstyle='pyformat'))
            values = {key: _any_value(bind.type) for key, bind in compiled.binds.items()}
            cursor.execute(f'EXPLAIN {compiled}', values)
            columns = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                plan = dict(zip(columns, row, strict=True))
                if plan['type'] in ('ALL', 'index') and int(plan['rows'] or 0) > 1:
                    whole.append((name, plan))
        connection.rollback()
    assert whole == []


def _any_value(kind: Any) -> Any:
    if isinstance(kind, (Integer, Double, NullType)):
        return 3
    return b'u7@example.net'


def _fill(cursor: Any) -> None:
    """A thousand rows of two hundred owners in each table."""
    for table in metadata.sorted_tables:
        columns = [column for column in table.columns if column.name != 'position']
        marks = ', '.join(['%s'] * len(columns))
        names = ', '.join([f'`{column.name}`' for column in columns])
        rows = []
        for number in range(1000):
            row: list[Any] = []
            for column in columns:
                if column.name == 'owner':
                    alone = len(table.primary_key) == 1 and 'owner' in table.primary_key
                    row.append(f'u{number if alone else number % 200}@example.net')
                elif isinstance(column.type, (Integer, Double)):
                    row.append(number)
                else:
                    row.append(f'{number}'.encode()[: getattr(column.type, 'length', None)])
            rows.append(row)
        cursor.execute(f'DELETE FROM {table.name}')
        cursor.executemany(f'INSERT INTO {table.name} ({names}) VALUES ({marks})', rows)
        cursor.execute(f'ANALYZE TABLE {table.name}')
        cursor.fetchall()


def test_a_server_elsewhere_needs_tls() -> None:
    """Unless the configuration says that it may do without."""
    sections = [mysql.OPTIONS]
    with pytest.raises(ConfigError, match=r'mysql\.authority: expected a PEM file'):
        load(None, sections, ['mysql.host="db.example.net"'])
    for allowed in (['mysql.authority="ca.pem"'], ['mysql.insecure=true'], ['mysql.socket="/run/s"']):
        load(None, sections, ['mysql.host="db.example.net"', *allowed])
    load(None, sections, ['mysql.host="localhost"'])
