"""The database: there, readable, private, with the schema of this version."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing

from jabberd_tx.control.check.finding import FAIL, OK, WARN, Finding
from jabberd_tx.storage.migrations import check_schema, of_modules, version_of
from jabberd_tx.storage.module_tables import ModuleTables
from jabberd_tx.storage.operations import StorageError
from jabberd_tx.storage.sql.connection import connect


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


def check_database(path: str, busy: float, tables: Sequence[ModuleTables] = ()) -> Iterator[Finding]:
    """`busy`: seconds to wait for another process's lock; `tables`: those of modules, which a start makes where there
    are none."""
    subject = f'database {path}'
    try:
        version = version_of(path)
        if version is None:
            yield Finding(OK, subject, 'not there yet; the first start makes it')
            return
        done = of_modules.versions(path, busy) if tables else {}
        check_schema(path, [one for one in tables if one.name in done])
        with closing(connect(path, busy)) as connection:
            # Whoever can't lock it for writing can't store; nothing is written.
            connection.execute('BEGIN IMMEDIATE')
            connection.execute('ROLLBACK')
    except StorageError as error:
        # Its text begins with the path and ends with what to do.
        yield Finding(FAIL, subject, str(error).removeprefix(f'{path}: '))
        return
    except Exception as error:
        yield Finding(FAIL, subject, str(error))
        return
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if mode & 0o077:
        yield Finding(WARN, subject, f'others may read it (mode {mode:04o})', f'chmod 600 {path}')
    yield Finding(OK, subject, f'schema {version}')
