"""slixmpp's own integration tests, unmodified, through both shapes."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import slixmpp_itests
from processes import DOMAIN, SHAPES, Site

from jabberd_tx.components.sm.finding import found
from jabberd_tx.testing.acceptance.player import PASSWORD, Player, account_of
from jabberd_tx.testing.acceptance.script import parse

# Those of modules: run once one says that it implements this.
OF_MODULES = {'test_blocking': 'XEP-0191', 'test_vcard': 'XEP-0054', 'test_vcard_avatar': 'XEP-0153'}
IMPLEMENTED = {xep for kind in found().values() for xep in kind.xeps}
RUN = (
    'test_basic_connect_and_message',
    'test_bob',
    'test_chatmarkers',
    'test_disco',
    'test_ibb',
    'test_last_activity',
    'test_ping',
    'test_privatestorage',
    'test_quickresponse',
    'test_reactions',
    'test_reconnect',
    'test_retract',
    'test_slow_filters',
    'test_version',
    *[name for name, xep in OF_MODULES.items() if xep in IMPLEMENTED],
)
# And those that are not run, with the reason.
LEFT_OUT = {
    'test_component': 'XEP-0114: no port for external components',
    'test_httpupload': 'XEP-0363: no file upload',
    'test_mam': 'XEP-0313: no archive',
    'test_moderate': 'XEP-0425: no rooms',
    'test_muc': 'XEP-0045: no rooms',
    'test_pep': 'XEP-0163: no personal eventing',
    'test_selfping': 'XEP-0410: no rooms',
    'test_sos': 'XEP-0455: no outage status',
    'test_tls_check': 'wants the ports 5222 and 5223 themselves; test_tls.py shows the same on others',
    'test_user_avatar': 'XEP-0084: no personal eventing',
    **{name: f'{xep}: no module has it' for name, xep in OF_MODULES.items() if xep not in IMPLEMENTED},
}


# They ask each other what only those may ask who share their presence (XEP-0012).
CONTACTS = parse('# Two contacts.\njuliet and romeo are contacts', 'itests')


@pytest.fixture(scope='module', params=SHAPES)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running site with two accounts that are contacts."""
    with Site.start(tmp_path_factory.mktemp('site'), request.param) as running:
        for user in CONTACTS.users:
            running.add_user(account_of(CONTACTS, user), PASSWORD)
        tls = ssl.create_default_context(cafile=str(running.folder / 'data' / 'cert.pem'))
        Player(CONTACTS, DOMAIN, running.ports, tls).play()
        yield running


@pytest.fixture(scope='module')
def folder() -> Path:
    return slixmpp_itests.fetch()


def test_each_of_them_is_run_or_left_out_with_a_reason(folder: Path) -> None:
    """So that a new release's are not overlooked."""
    assert {path.stem for path in (folder / 'itests').glob('test_*.py')} == {*RUN, *LEFT_OUT}
    assert not set(RUN) & set(LEFT_OUT)


@pytest.mark.parametrize('name', RUN)
def test_an_integration_test_of_slixmpp_passes(site: Site, folder: Path, name: str) -> None:
    """All its cases, none skipped."""
    accounts = {
        f'CI_ACCOUNT{n}{part}': value
        for n, user in ((1, 'juliet'), (2, 'romeo'))
        for part, value in (('', f'{account_of(CONTACTS, user)}@{DOMAIN}'), ('_PASSWORD', PASSWORD))
    }
    command = [sys.executable, slixmpp_itests.__file__, str(folder), str(site.ports[0])]
    certificate = str(site.folder / 'data' / 'cert.pem')
    done = subprocess.run(
        [*command, certificate, name], env={**os.environ, **accounts}, capture_output=True, text=True, timeout=90,
        cwd=site.folder, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
