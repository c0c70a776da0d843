"""The database that the configuration names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jabberd_tx.base.options import Section
from jabberd_tx.storage.sql import mysql, sqlite
from jabberd_tx.storage.sql.database import Database
from jabberd_tx.storage.sql.mysql import MysqlDatabase
from jabberd_tx.storage.sql.sqlite_file import SqliteFile


def database(values: Callable[[Section], Any]) -> Database:
    """`values`: gives those of a section of the configuration."""
    options = values(sqlite.OPTIONS)
    if options.driver == 'mysql':
        return MysqlDatabase(values(mysql.OPTIONS), options.timeout)
    return SqliteFile(options.path, options.synchronous, options.busy)


def connections(values: Callable[[Section], Any]) -> int:
    """How many connections one process has use for."""
    return int(values(mysql.OPTIONS).connections) if values(sqlite.OPTIONS).driver == 'mysql' else 1
