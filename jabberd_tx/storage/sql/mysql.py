"""A database on a MySQL or MariaDB server (MariaDB 10.6 or later, MySQL 8)."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pymysql
from pymysql.constants import CLIENT

from jabberd_tx.base.addresses import is_loopback
from jabberd_tx.base.option import ValuesOf
from jabberd_tx.base.options import Option, Section
from jabberd_tx.storage.operations import StorageError
from jabberd_tx.storage.sql.database import Marks
from jabberd_tx.storage.sql.mysql_connection import MysqlConnection


def _tls_beyond_this_machine(values_of: ValuesOf) -> None:
    options = values_of(OPTIONS)
    if not (options.socket or options.authority or options.insecure or is_loopback(options.host)):
        raise ValueError(
            f'mysql.authority: expected a PEM file, for {options.host} is not on this machine (or insecure = true)'
        )


OPTIONS = Section(
    'mysql',
    'The MySQL or MariaDB server, where [storage] driver is mysql.',
    Option('host', str, '127.0.0.1', 'Its name or address.', low=1),
    Option('port', int, 3306, 'Its TCP port.', low=1, high=65535),
    Option('socket', str, '', 'Its Unix socket, instead of host and port.', path=True),
    Option('user', str, 'jabberd', 'Who logs in.', low=1),
    Option('password', str, '', "The user's password.", secret=True),
    Option('database', str, 'jabberd', 'The database, which is for this alone.', low=1, high=64),
    Option('connections', int, 8, 'Connections of one process, each with a thread.', low=1, high=256),
    Option('authority', str, '', 'PEM file of who has signed its certificate: TLS is required then.', path=True),
    Option('insecure', bool, False, 'Allow connections without TLS beyond this machine.'),
    rule=_tls_beyond_this_machine,
)

# How long to wait for others who change the schema.
BUSY_S = 30
_LOCK = 'jabberd_tx_schema'
_TAKE_LOCK = f"SELECT GET_LOCK('{_LOCK}', {BUSY_S})"
_MODES = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'


class MysqlDatabase:
    """Implements sql.database.Database."""

    dialect, whole = 'mysql', False

    def __init__(self, options: Any, timeout: float) -> None:
        """options: the values of OPTIONS; timeout: seconds that the server may keep silent."""
        self._options, self._timeout = options, timeout
        where = options.socket or f'{options.host}:{options.port}'
        self.name = f'mysql://{options.user}@{where}/{options.database}'

    def connect(self) -> MysqlConnection:
        """See Database."""
        return MysqlConnection(self._driver)

    def _driver(self) -> Any:
        """A pymysql connection."""
        options = self._options
        tls = ssl.create_default_context(cafile=options.authority) if options.authority else None
        return pymysql.connect(
            host=options.host,
            port=options.port,
            unix_socket=options.socket or None,
            user=options.user,
            password=options.password,
            database=options.database,
            charset='utf8mb4',
            # Rows that an update has found count, also those that it left as they were.
            client_flag=CLIENT.FOUND_ROWS,
            sql_mode=_MODES,
            # Nobody waits for rows that are not there.
            init_command='SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
            connect_timeout=min(10, max(1, self._timeout)),
            read_timeout=self._timeout,
            write_timeout=self._timeout,
            ssl=tls,
            autocommit=False,
        )

    def prepare(self) -> None:
        """The database is made by who runs the server; what it must be is looked at here."""
        with closing(self._asking()) as connection, connection.cursor() as cursor:
            cursor.execute('SELECT @@character_set_database')
            (found,) = cursor.fetchone()
        if found != 'utf8mb4':
            raise StorageError(
                f'{self.name}: the database has the character set {found}, and must have utf8mb4: '
                f'ALTER DATABASE {self._options.database} CHARACTER SET utf8mb4'
            )

    def _asking(self) -> Any:
        try:
            return self._driver()
        except (pymysql.Error, OSError) as error:
            raise StorageError(f'{self.name}: {error}') from error

    def marks(self) -> Marks:
        """See Database.  Whoever is changing the schema is waited for."""
        with closing(self._asking()) as connection, connection.cursor() as cursor:
            try:
                cursor.execute(_TAKE_LOCK)  # given back with the end of the connection
                if not cursor.fetchone()[0]:
                    raise StorageError(f'{self.name}: somebody else is changing the schema')
                cursor.execute('SHOW TABLES')
                tables = {name for (name,) in cursor.fetchall()}
                if not tables:
                    return Marks(None, {})
                versions: list[str] = []
                if 'alembic_version' in tables:
                    cursor.execute('SELECT version_num FROM alembic_version')
                    versions = [version for (version,) in cursor.fetchall()]
                if len(versions) != 1:
                    raise StorageError(f'{self.name}: a database, but not one of jabberd-tx')
                modules: dict[str, int] = {}
                if 'module_versions' in tables:
                    cursor.execute('SELECT name, version FROM module_versions')
                    modules = dict(cursor.fetchall())
                return Marks(versions[0], modules)
            except pymysql.Error as error:
                raise StorageError(f'{self.name}: {error}') from error

    @contextmanager
    def changing(self) -> Iterator[Any]:
        """See Database.  A lock of the server's keeps others out; each change of the schema commits itself."""
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        engine = create_engine('mysql+pymysql://', creator=self._driver, poolclass=NullPool)
        with engine.connect() as connection:
            (got,) = connection.exec_driver_sql(_TAKE_LOCK).fetchone() or (0,)
            if not got:
                raise StorageError(f'{self.name}: somebody else is changing the schema')
            try:
                yield connection
                connection.commit()
            finally:
                connection.exec_driver_sql(f"SELECT RELEASE_LOCK('{_LOCK}')")
