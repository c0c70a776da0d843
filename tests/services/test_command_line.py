"""What the twistd plugins take on their command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMANDS = ['jabberd', 'jabberd-router', 'jabberd-c2s', 'jabberd-sm', 'jabberd-component']
KINDS = ('out', 'err', 'status')
# One interpreter that has imported all it needs, and forks: each command is run as twistd runs it.
RUN = """
import os, sys
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.scripts.twistd import run
from jabberd_tx.services.sections import all_sections
for maker in getPlugins(IServiceMaker):
    if maker.tapname.startswith('jabberd'):
        maker.options
all_sections()

for command in sys.argv[2:]:
    pid = os.fork()
    if not pid:
        for fd, kind in ((1, 'out'), (2, 'err')):
            os.dup2(os.open(f'{command}.{kind}', os.O_CREAT | os.O_WRONLY), fd)
        sys.argv[1:] = ['--nodaemon', '--pidfile=', command, '--config', sys.argv[1]]
        run()
        os._exit(0)
    with open(f'{command}.status', 'w') as file:
        file.write(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
"""


@pytest.fixture(scope='module')
def outcomes(tmp_path_factory):
    """Of each command: what it has printed, and its exit status."""
    folder = tmp_path_factory.mktemp('wrong')
    file = folder / 'site.toml'
    file.write_text('[c2s]\nprot = 1\n')
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    subprocess.run([sys.executable, '-c', RUN, file, *COMMANDS], cwd=folder, env=environment, check=True, timeout=60)
    return {
        command: [(folder / f'{command}.{kind}').read_text().replace(str(file), 'FILE') for kind in KINDS]
        for command in COMMANDS
    }


@pytest.mark.parametrize('command', COMMANDS)
def test_a_wrong_option_stops_the_start_with_one_line(command, outcomes):
    assert outcomes[command] == ['', 'FILE: c2s.prot: no such option; did you mean port?\n', '1']
