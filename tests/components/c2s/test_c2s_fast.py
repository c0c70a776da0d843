"""Logging in with tokens (XEP-0484)."""

from __future__ import annotations

import os
from base64 import b64decode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.components.c2s.key_file import read_key
from jabberd_tx.storage import accounts, fast_tokens
from jabberd_tx.testing.client import Refused, XmppClient
from jabberd_tx.testing.sasl2_client import log_in, outcome, request, text_in
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.events import Nonza
from jabberd_tx.xmpp.sasl import SaslFailure
from jabberd_tx.xmpp.sasl.hashed_token import initiator_hash, parse_initiator, responder_hash
from tests.components.c2s.c2s_support import CREDENTIALS, Site

AGENT = 'd4565fa7-4d72-4749-b3d3-740edbf87770'
OTHER = 'd4565fa7-4d72-4749-b3d3-740edbf87771'
HT = 'HT-SHA-256-NONE'
WANTED = f"<request-token xmlns='{ns.FAST}' mechanism='{HT}'/>"
OWNER = 'romeo@example.net'
DAY = 86400


def opened(site: Site) -> XmppClient:
    client = site.connect()
    site.run(client.open())
    return client


def token_in(success: Nonza) -> str:
    return success.inner.decode().partition("token='")[2].partition("'")[0]


def token(site: Site, agent: str = AGENT) -> str:
    """One that a client has got for its password."""
    found = token_in(site.run(log_in(opened(site), WANTED, agent=agent)))
    assert found
    return found


def by_token(
    site: Site, secret: str, attrs: str = '', more: str = '', agent: str = AGENT, user: str = 'romeo'
) -> Nonza:
    """Log in with it: the <success/>; Refused."""
    client = opened(site)
    initial = user.encode() + b'\0' + initiator_hash(secret.encode(), b'')
    client.send(request(HT, initial, f"<fast xmlns='{ns.FAST}' {attrs}/>{more}", agent))
    success = site.run(outcome(client, 'success'))
    assert success.inner.partition(b'<additional-data>')[0] == b''
    return success


def test_a_token_logs_in_and_the_server_proves_that_it_knows_it() -> None:
    site = Site()
    secret = token(site)
    success = by_token(site, secret)
    assert b64decode(text_in(success, 'additional-data')) == responder_hash(secret.encode(), b'')
    assert text_in(success, 'authorization-identifier') == OWNER
    assert not token_in(success), 'it is not due for a new one'
    by_token(site, secret)


def test_a_token_and_a_resource_come_in_one_round_trip() -> None:
    site = Site()
    success = by_token(site, token(site), more=f"<bind xmlns='{ns.BIND2}'/>")
    assert b'<bound' in success.inner and site.c2s.streams == 1


@pytest.mark.parametrize(
    'change',
    [
        {'agent': OTHER},
        {'agent': ''},
        {'user': 'juliet'},
        {'user': 'nobody'},
        {'secret': 'x'},
    ],
)
def test_a_token_is_one_users_and_one_clients(change: dict[str, str]) -> None:
    site = Site()
    arguments = {'secret': token(site), **change}
    with pytest.raises(Refused, match='not-authorized'):
        by_token(site, **arguments)
    assert site.network.metrics.value('jabberd_c2s_logins', 'failed') == 1


def test_no_token_without_login_and_none_without_an_id_or_for_another_mechanism() -> None:
    site = Site()
    client = opened(site)
    client.password = 'wrong'
    with pytest.raises(Refused):
        site.run(log_in(client, WANTED, agent=AGENT))
    assert not site.run(_tokens(site))
    assert not token_in(site.run(log_in(opened(site), WANTED)))
    assert not token_in(site.run(log_in(opened(site), WANTED.replace('NONE', 'EXPR'), agent=AGENT)))


async def _tokens(site: Site) -> list[fast_tokens.Token]:
    found: list[fast_tokens.Token] = await site.storage.run(fast_tokens.of_client, OWNER, AGENT)
    return found


def test_what_is_stored_is_no_token() -> None:
    site = Site()
    secret = token(site)
    (stored,) = site.run(_tokens(site))
    assert secret.encode() not in stored.nonce and stored.nonce not in secret.encode() and len(stored.nonce) == 32


def test_a_token_ends_and_a_new_one_comes_half_way() -> None:
    site = Site(fast_days=10, idle_timeout=0)
    secret = token(site)
    site.clock.rightNow += 6 * DAY
    new = token_in(by_token(site, secret))
    assert new and new != secret
    new = token_in(by_token(site, secret))  # in the place of the one that was never used
    by_token(site, new)
    with pytest.raises(Refused, match='not-authorized'):
        by_token(site, secret)
    site.clock.rightNow += 11 * DAY
    with pytest.raises(Refused, match='credentials-expired'):
        by_token(site, new)


def test_a_count_is_used_once() -> None:
    site = Site()
    secret = token(site)
    by_token(site, secret, "count='5'")
    with pytest.raises(Refused, match='not-authorized'):
        by_token(site, secret, "count='5'")
    by_token(site, secret, "count='6'")
    with pytest.raises(Refused, match='malformed-request'):
        by_token(site, secret, "count='six'")


def test_a_client_gives_its_token_up() -> None:
    site = Site(fast_days=10)
    secret = token(site)
    site.clock.rightNow += 6 * DAY
    assert not token_in(by_token(site, secret, "invalidate='true'"))
    with pytest.raises(Refused, match='not-authorized'):
        by_token(site, secret)


@pytest.mark.parametrize('end', ['password', 'account'])
def test_tokens_end_with_the_password_and_the_account(end: str) -> None:
    site = Site()
    secret = token(site)
    if end == 'password':
        site.storage.run(accounts.change, OWNER, CREDENTIALS)
    else:
        site.storage.run(accounts.remove, OWNER)
        site.storage.run(accounts.add, OWNER, CREDENTIALS)
    with pytest.raises(Refused, match='not-authorized'):
        by_token(site, secret)


def test_a_token_is_nothing_without_the_word_fast() -> None:
    site = Site()
    initial = b'romeo\0' + initiator_hash(token(site).encode(), b'')
    client = opened(site)
    client.send(request(HT, initial, '', AGENT))
    with pytest.raises(Refused, match='invalid-mechanism'):
        site.run(outcome(client, 'success'))


@pytest.mark.parametrize('options', [{'fast': False}, {'sasl2': False}, {'plain_without_tls': False}])
def test_where_it_is_off_or_a_password_could_not_be_sent_either_nothing_is_offered(options: dict[str, bool]) -> None:
    site = Site(**options)
    client = opened(site)
    assert client.features is not None and b'urn:xmpp:fast:0' not in client.features.inner
    if 'sasl2' not in options:
        assert not token_in(site.run(log_in(client, WANTED, agent=AGENT)))
    client = opened(Site())
    assert client.features is not None
    assert f"<fast xmlns='urn:xmpp:fast:0'><mechanism>{HT}</mechanism></fast>".encode() in client.features.inner


def test_storage_out_of_order_is_a_temporary_failure() -> None:
    site = Site()
    secret = token(site)
    site.storage.broken = 'no database'
    with pytest.raises(Refused, match='temporary-auth-failure'):
        by_token(site, secret)


@pytest.mark.fuzz
@given(st.binary())
def test_any_bytes_are_an_initiators_message_or_refused(message: bytes) -> None:
    try:
        name, hashed = parse_initiator(message)
    except SaslFailure as failure:
        assert failure.condition == 'malformed-request'
    else:
        assert name and hashed and message.endswith(b'\0' + hashed)


def test_the_key_is_made_once_and_for_nobody_elses_eyes(tmp_path: Path) -> None:
    path = str(tmp_path / 'fast.key')
    key = read_key(path)
    assert len(key) == 32 and read_key(path) == key
    assert os.stat(path).st_mode & 0o777 == 0o600 and os.listdir(tmp_path) == ['fast.key']
    Path(path).write_bytes(b'short')
    with pytest.raises(ValueError, match='at least 32 bytes'):
        read_key(path)
