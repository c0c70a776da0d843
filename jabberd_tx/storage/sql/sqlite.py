"""Storage embedded in the process: one SQLite file, one thread (worker.py).

A commit is synced to the disk by default: shared by a group it is cheap (on an SSD 0.4 ms for 32 writes, 3 µs of CPU
more for each), and a message that was confirmed as stored survives a power failure too.  Reads wait for the commit
before them; a second thread for them is worth its while only where a sync takes longer than a login may.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from jabberd_tx.base.metrics import Metrics
from jabberd_tx.base.options import Option, Section
from jabberd_tx.base.turn import Turn
from jabberd_tx.storage.module_tables import ModuleTables
from jabberd_tx.storage.sql.sqlite_file import SqliteFile
from jabberd_tx.storage.sql.storage import SqlStorage

OPTIONS = Section(
    'storage',
    'Where accounts, rosters and offline messages are kept.',
    Option('driver', str, 'sqlite', 'The database engine; mysql: see [mysql].', choices=('sqlite', 'mysql')),
    Option('path', str, 'jabberd.sqlite', 'The database file.', low=1, path=True),
    Option('timeout', float, 10.0, 'How long one operation may wait and run before it fails.', unit='s', low=0.1),
    Option('queue', int, 10_000, 'Operations that may wait; beyond, they fail at once.', low=1, high=1_000_000),
    Option(
        'synchronous',
        str,
        'full',
        'full: what was stored survives a power failure. normal: only a crash of the process; '
        'the disk is written when it suits.',
        choices=('full', 'normal'),
    ),
    Option('busy', float, 5.0, "How long to wait for another process's write to the file.", unit='s', low=0, high=60),
)


class SqliteStorage(SqlStorage):
    """One file."""

    def __init__(
        self,
        path: str,
        reactor: Any,
        options: SimpleNamespace,
        metrics: Metrics | None = None,
        turn: Turn | None = None,
        tables: Sequence[ModuleTables] = (),
    ) -> None:
        """`path`: the database file, made if it is not there; `options`: the values of OPTIONS; `reactor`:
        IReactorTime and IReactorFromThreads; `tables`: those of modules."""
        self.path = path
        super().__init__(SqliteFile(path, options.synchronous, options.busy), reactor, options, metrics, turn, tables)
