"""A process that stood still begins anew."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from jabberd_tx.services.standstill import begin_anew, pid_file_of


@pytest.mark.parametrize(
    ('arguments', 'pid_file'),
    [
        (['twistd', '-n', 'jabberd-sm'], 'twistd.pid'),
        (['twistd', '-n', '--pidfile=', 'jabberd-sm'], None),
        (['twistd', '--pidfile=/run/sm.pid', 'jabberd-sm'], '/run/sm.pid'),
        (['twistd', '--pidfile', 'sm.pid', 'jabberd-sm'], 'sm.pid'),
        (['twistd', '--pidfile', '', 'jabberd-sm'], None),
    ],
)
def test_where_twistd_keeps_its_process_id(arguments: list[str], pid_file: str | None) -> None:
    assert pid_file_of(arguments) == (None if pid_file is None else Path(pid_file))


@pytest.mark.parametrize('own', [True, False])
def test_the_same_command_takes_the_place_of_the_process(tmp_path: Path, own: bool) -> None:
    """Its own process id does not stand in the way; another one's file is left alone."""
    pid_file = tmp_path / 'pid'
    pid_file.write_text(f'{os.getpid() + (not own)}\n')
    begun: list[tuple[str, Sequence[str]]] = []
    command = ['python', 'twistd', '-n', f'--pidfile={pid_file}', 'jabberd-sm']
    begin_anew(4.0, command, lambda program, arguments: begun.append((program, arguments)))
    assert begun == [(sys.executable, command)]
    assert pid_file.exists() is not own
