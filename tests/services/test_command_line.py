"""What the twistd plugins take on their command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TWISTD = [sys.executable, '-c', 'from twisted.scripts.twistd import run; run()', '--nodaemon', '--pidfile=']


@pytest.mark.parametrize('command', ['jabberd', 'jabberd-router', 'jabberd-c2s', 'jabberd-sm', 'jabberd-component'])
def test_a_wrong_option_stops_the_start_with_one_line(command, tmp_path):
    file = tmp_path / 'site.toml'
    file.write_text('[c2s]\nprot = 1\n')
    outcome = subprocess.run([*TWISTD, command, '--config', file], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert outcome.returncode == 1
    assert (outcome.stdout, outcome.stderr) == ('', f'{file}: c2s.prot: no such option; did you mean port?\n')
