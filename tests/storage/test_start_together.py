"""Several processes that open a new database file at once: all of them can."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from jabberd_tx.storage import migrations
from jabberd_tx.storage.sql.sqlite_file import SqliteFile

# One interpreter that has imported all it needs, and forks: the children begin within a millisecond of each other.
ROUNDS, PROCESSES = 5, 4
OPEN = """
import os, sys
from alembic import command
from sqlalchemy import create_engine
from jabberd_tx.storage.migrations import make_ready
from jabberd_tx.storage.sql.connection import SqliteConnection
from jabberd_tx.storage.sql.sqlite_file import SqliteFile

def child(path, gate):
    os.read(gate, 1)
    make_ready(SqliteFile(path))
    SqliteConnection(path, 'full', 20.0).close()

for path in sys.argv[2:]:
    gate, opener = os.pipe()
    children = []
    for _ in range(int(sys.argv[1])):
        pid = os.fork()
        if not pid:
            status = 1
            try:
                os.close(opener)
                child(path, gate)
                status = 0
            except Exception as error:
                print(error, file=sys.stderr, flush=True)
            finally:
                os._exit(status)
        children.append(pid)
    os.close(opener)
    if any([os.waitpid(pid, 0)[1] for pid in children]):
        sys.exit(1)
"""


def test_a_new_file_is_opened_by_four_at_once(tmp_path: Path) -> None:
    """Each either makes the tables and turns the file to WAL, or waits for who does."""
    paths = [str(tmp_path / f'{n}' / 'x.sqlite') for n in range(ROUNDS)]
    done = subprocess.run(
        [sys.executable, '-c', OPEN, str(PROCESSES), *paths], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, '')
    assert [SqliteFile(path).marks().version for path in paths] == [migrations.HEAD] * ROUNDS
