"""Several processes that open a new database file at once: all of them can."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

OPEN = (
    'import sys; from jabberd_tx.storage.migrations import make_ready; '
    'from jabberd_tx.storage.sql.connection import SqliteConnection; '
    "make_ready(sys.argv[1]); SqliteConnection(sys.argv[1], 'full', 5.0).close()"
)


def test_a_new_file_is_opened_by_four_at_once(tmp_path: Path) -> None:
    """Each either makes the tables and turns the file to WAL, or waits for who does."""
    for n in range(3):
        command = [sys.executable, '-c', OPEN, str(tmp_path / f'{n}.sqlite')]
        processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
        errors = [process.communicate(timeout=60)[1] for process in processes]
        assert [process.returncode for process in processes] == [0] * 4, errors
