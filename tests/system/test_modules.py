"""A module from outside the package (docs/modules.md) in both shapes, and what an operator sees of it."""

from __future__ import annotations

import json
import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import closing
from xml.etree.ElementTree import Element

import pytest
from processes import DOMAIN, SHAPES, Site

from jabberd_tx.testing.blocking_client import BlockingClient
from tests.tutorial import import_path, make_package

NOTES = 'urn:example:notes'


@pytest.fixture(scope='module', params=SHAPES)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that has the package on its import path."""
    package = make_package(tmp_path_factory.mktemp('notes'))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('PYTHONPATH', import_path(package))
        with Site.start(tmp_path_factory.mktemp('site'), request.param, '[modules.notes]\nmost = 3\n') as running:
            running.add_user('juliet')
            yield running


def login(site: Site) -> BlockingClient:
    tls = ssl.create_default_context(cafile=str(site.folder / 'data' / 'cert.pem'))
    client = BlockingClient('127.0.0.1', site.ports[0], f'juliet@{DOMAIN}', 'secret', tls)
    client.login()
    return client


def ask(client: BlockingClient, payload: str, to: str = '') -> Element:
    address = f" to='{to}'" if to else ''
    client.send(f"<iq type='get' id='q'{address}>{payload}</iq>")
    return client.expect('{jabber:client}iq')


def notes_of(client: BlockingClient) -> list[str]:
    return [note.text or '' for note in ask(client, f"<notes xmlns='{NOTES}'/>").iter(f'{{{NOTES}}}note')]


def rows(site: Site) -> int:
    with closing(sqlite3.connect(site.folder / 'data' / 'jabberd.sqlite')) as connection:
        return int(connection.execute('SELECT count(*) FROM notes').fetchone()[0])


def test_it_works_lasts_and_is_shown(site: Site) -> None:
    """Advertised, configured, in the database, in `jabberd-ctl modules` and the metrics; gone with the account."""
    juliet = login(site)
    info = ask(juliet, "<query xmlns='http://jabber.org/protocol/disco#info'/>", f'juliet@{DOMAIN}')
    assert NOTES in [feature.get('var') for feature in info.iter('{http://jabber.org/protocol/disco#info}feature')]
    for text in ('one', 'two', 'three', 'four'):
        juliet.send(f"<message to='juliet@{DOMAIN}' id='{text}'><body>{text}</body></message>")
    refused = juliet.expect('{jabber:client}message')
    assert (refused.get('type'), refused.get('id')) == ('error', 'four')
    assert notes_of(juliet) == ['one', 'two', 'three']
    juliet.leave()

    (told,) = json.loads(site.ctl('modules', '--json', 'notes').stdout)['modules']
    assert (told['state'], told['module']) == ('on', 'jabberd_notes.module')
    assert ['message_sent', 50, 'keep'] in told['hooks'] and told['calls'] >= 5 and told['failures'] == 0
    shown = site.ctl('modules').stdout
    assert 'ping: on' in shown and f'answers get notes of {NOTES} for own account' in shown
    (sm,) = [process for name, process in site.processes.items() if name in ('jabberd', 'sm-a')]
    assert sm.metric('jabberd_module_calls_total{module="notes"}') == told['calls']
    assert sm.metric('jabberd_notes_kept_total') == 3
    assert '## notes' in site.ctl('reference').stdout

    sm.stop()
    sm.start()
    site.wait_ready()
    juliet = login(site)
    assert notes_of(juliet) == ['one', 'two', 'three']
    juliet.leave()
    assert rows(site) == 3
    assert site.ctl('user', 'del', f'juliet@{DOMAIN}').returncode == 0
    assert rows(site) == 0
