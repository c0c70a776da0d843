"""The acceptance scripts (tests/acceptance/), each through both shapes."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import DOMAIN, SHAPES, Site

from jabberd_tx.testing.acceptance.player import PASSWORD, Player, account_of
from jabberd_tx.testing.acceptance.script import Script, read

FOLDER = Path(__file__).parents[1] / 'acceptance'
SCRIPTS = [read(path) for path in sorted(FOLDER.glob('*.txt'))]


@pytest.fixture(scope='module', params=SHAPES)
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running site with the accounts of all scripts."""
    with Site.start(tmp_path_factory.mktemp('stage'), request.param) as site:
        rows = [f'{account_of(script, user)},{DOMAIN},{PASSWORD}\n' for script in SCRIPTS for user in script.users]
        (site.folder / 'users.csv').write_text(''.join(rows))
        done = site.ctl('user', 'import', 'users.csv')
        assert done.returncode == 0, done.stderr
        yield site


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda script: script.name)
def test_a_conversation(stage: Site, script: Script) -> None:
    """Everybody gets what the script says, and nothing else."""
    tls = ssl.create_default_context(cafile=str(stage.folder / 'data' / 'cert.pem'))
    Player(script, DOMAIN, stage.ports, tls).play()
