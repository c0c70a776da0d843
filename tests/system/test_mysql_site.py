"""A site that keeps its data on a MariaDB server: the same conversations, and the same commands."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import DOMAIN, SHAPES, Site

from jabberd_tx.storage import migrations
from jabberd_tx.testing.acceptance.player import PASSWORD, Player, account_of
from jabberd_tx.testing.acceptance.script import read
from jabberd_tx.testing.mysql_server import MysqlServer

FOLDER = Path(__file__).parents[1] / 'acceptance'
NAMES = ('day', 'offline', 'private_xml', 'roster', 'subscription', 'vcard')
SCRIPTS = [read(FOLDER / f'{name}.txt') for name in NAMES]

SETTINGS = """
[storage]
driver = "mysql"

[mysql]
port = {port}
user = "{user}"
password = "{password}"
database = "{database}"
"""


@pytest.fixture(scope='module')
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MysqlServer]:
    """A MariaDB server."""
    server = MysqlServer(tmp_path_factory.mktemp('mariadb'))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope='module', params=SHAPES)
def stage(
    request: pytest.FixtureRequest, server: MysqlServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A running site over an empty database, with the accounts of the scripts."""
    database = request.param.replace(' ', '_')
    server.new_database(database)
    settings = SETTINGS.format(port=server.port, user=server.user, password=server.password, database=database)
    with Site.start(tmp_path_factory.mktemp('stage'), request.param, settings) as site:
        rows = [f'{account_of(script, user)},{DOMAIN},{PASSWORD}\n' for script in SCRIPTS for user in script.users]
        (site.folder / 'users.csv').write_text(''.join(rows))
        done = site.ctl('user', 'import', 'users.csv')
        assert done.returncode == 0, done.stderr
        yield site


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda script: script.name)
def test_a_conversation_over_mariadb(stage: Site, script: object) -> None:
    """Everybody gets what the script says, and nothing else."""
    tls = ssl.create_default_context(cafile=str(stage.folder / 'data' / 'cert.pem'))
    Player(script, DOMAIN, stage.ports, tls).play()


def test_commands_find_the_database(stage: Site) -> None:
    """check and db tell of it by a name without a password; there is no file."""
    checked = stage.ctl('check')
    assert f'schema {migrations.HEAD}' in checked.stdout, checked.stdout
    done = stage.ctl('db', 'upgrade', '--dry-run')
    assert done.returncode == 0 and 'nothing to do' in done.stdout
    assert 'mysql://jabberd@127.0.0.1:' in done.stdout and 'opensesame' not in checked.stdout + done.stdout
    assert not list((stage.folder / 'data').glob('*.sqlite*'))
