"""The database: there, readable, private, with the schema of this version."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing

from jabberd_tx.control.check.finding import FAIL, OK, WARN, Finding
from jabberd_tx.storage.migrations import check_schema
from jabberd_tx.storage.module_tables import ModuleTables
from jabberd_tx.storage.operations import StorageError, write
from jabberd_tx.storage.sql.database import Call, Database
from jabberd_tx.storage.sql.sqlite_file import SqliteFile

_WRITE = write('check.write')(lambda run, owner: None)


def check_data_folder(folder: str) -> Iterator[Finding]:
    """Exists, or can be made; ours to write; nobody else's to look into."""
    subject = f'data folder {folder}'
    if not os.path.isdir(folder):
        yield Finding(OK, subject, 'not there yet; the first start makes it')
        return
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Finding(FAIL, subject, 'this user may not write there', 'run this, and the server, as its owner')
        return
    if stat.S_IMODE(os.stat(folder).st_mode) & 0o007:
        yield Finding(WARN, subject, 'everybody may look into it', f'chmod 700 {folder}')
        return
    yield Finding(OK, subject, 'private and writable')


def check_database(database: Database, tables: Sequence[ModuleTables] = ()) -> Iterator[Finding]:
    """`tables`: those of modules, which a start makes where there are none."""
    subject = f'database {database.name}'
    try:
        version, done = database.marks()
        if version is None:
            yield Finding(OK, subject, 'not there yet; the first start makes it')
            return
        check_schema(database, [one for one in tables if one.name in done])
        with closing(database.connect()) as connection:
            # Whoever can't lock it for writing can't store; nothing is written.
            (result,) = connection.transact([Call(_WRITE, '', ())])
            if isinstance(result, StorageError):
                raise result
    except StorageError as error:
        # Its text begins with the name and ends with what to do.
        yield Finding(FAIL, subject, str(error).removeprefix(f'{database.name}: '))
        return
    except Exception as error:
        yield Finding(FAIL, subject, str(error))
        return
    if isinstance(database, SqliteFile):
        mode = stat.S_IMODE(os.stat(database.path).st_mode)
        if mode & 0o077:
            yield Finding(WARN, subject, f'others may read it (mode {mode:04o})', f'chmod 600 {database.path}')
    yield Finding(OK, subject, f'schema {version}')
