"""Making an account before login (XEP-0077), with and without an invitation (XEP-0445)."""

from __future__ import annotations

import pytest

from jabberd_tx.components.c2s.registration import MOST_TOKENS, hash_of
from jabberd_tx.storage import accounts, invites
from jabberd_tx.storage.invites import Invite
from jabberd_tx.testing.client import XmppClient
from jabberd_tx.xmpp.stanza import Stanza
from tests.components.c2s.c2s_support import DOMAIN, Site, chat

QUERY = "<query xmlns='jabber:iq:register'>%s</query>"
FILLED = QUERY % '<username>%s</username><password>%s</password>'
PREAUTH = "<preauth xmlns='urn:xmpp:pars:0' token='%s'/>"
FEATURE = b"<register xmlns='http://jabber.org/features/iq-register'/>"


def opened(site: Site, host: str = '127.0.0.1') -> XmppClient:
    client = site.connect(host=host)
    site.run(client.open())
    return client


def register(site: Site, client: XmppClient, user: str = 'mercutio', password: str = 'pencil') -> Stanza:
    return site.run(client.iq('set', 'reg', FILLED % (user, password)))


def condition(answer: Stanza) -> str:
    assert answer.attrs['type'] == 'error', answer
    return answer.inner.decode().partition("<error type='")[2].partition('><')[2].partition(' ')[0]


def invite(site: Site, token: str = 'letmein', local: str = '', expires: float = 1e9, uses: int = 1) -> str:
    site.run(_invite(site, token, Invite(local, expires, uses)))
    return PREAUTH % token


async def _invite(site: Site, token: str, one: Invite) -> None:
    await site.storage.run(invites.add, DOMAIN, hash_of(token), one, 0.0)


def exists(site: Site, user: str) -> bool:
    async def ask() -> bool:
        return bool(await site.storage.run(accounts.exists, f'{user}@{DOMAIN}'))

    return site.run(ask())


def test_an_account_is_made_and_logs_in_on_the_same_stream() -> None:
    site = Site(registration='open')
    client = opened(site)
    assert client.features is not None and FEATURE in client.features.inner
    fields = site.run(client.iq('get', 'f', QUERY % ''))
    assert b'<username/><password/>' in fields.inner and fields.attrs['type'] == 'result'
    assert register(site, client, 'Mercutio').attrs == {'type': 'result', 'id': 'reg', 'from': DOMAIN}
    client.user, client.password = 'mercutio', 'pencil'
    site.run(client.authenticate())


@pytest.mark.parametrize(
    'options', [{}, {'registration': 'open', 'plain_without_tls': False}, {'registration': 'closed'}]
)
def test_closed_or_where_a_password_may_not_be_sent_it_is_not_there(options: dict[str, object]) -> None:
    site = Site(**options)
    client = opened(site)
    assert client.features is not None and b'<register' not in client.features.inner
    client.send(f"<iq type='set' id='r'>{FILLED % ('mercutio', 'pencil')}</iq>")
    assert site.run(client.end()) == 'not-authorized'
    assert not exists(site, 'mercutio')


@pytest.mark.parametrize(
    'user, password, reason',
    [
        ('romeo', 'pencil', 'conflict'),
        ('ROMEO', 'pencil', 'conflict'),
        ('', 'pencil', 'not-acceptable'),
        ('mercutio', '', 'not-acceptable'),
        ('not@a@name', 'pencil', 'not-acceptable'),
        ('mercutio', '\u2028\ue000', 'not-acceptable'),
    ],
)
def test_what_can_not_be_an_account_is_refused(user: str, password: str, reason: str) -> None:
    site = Site(registration='open')
    client = opened(site)
    answer = register(site, client, user, password)
    assert condition(answer) == reason and b'password>' not in answer.inner
    site.run(client.authenticate())


def test_one_stream_makes_one_account_and_nothing_else_happens_before_login() -> None:
    site = Site(registration='open')
    client = opened(site)
    register(site, client)
    assert condition(register(site, client, 'tybalt')) == 'not-acceptable'
    assert condition(site.run(client.iq('set', 'x', QUERY % '<remove/>'))) == 'unexpected-request'
    assert condition(site.run(client.iq('set', 'x', QUERY % '<remove/><username/>'))) == 'bad-request'
    assert condition(site.run(client.iq('get', 'x', "<query xmlns='jabber:iq:roster'/>"))) == 'not-authorized'
    client.send(chat(1))
    assert site.run(client.end()) == 'not-authorized'


def test_an_address_has_so_many_an_hour() -> None:
    site = Site(registration='open', registrations_hourly=2, require_tls=False, plain_without_tls=True)
    site.c2s.tls_policy = lambda conn: ('', True, True)  # type: ignore[method-assign]
    answers = [register(site, opened(site, '192.0.2.1'), f'user{n}') for n in range(3)]
    assert [answer.attrs['type'] for answer in answers] == ['result', 'result', 'error']
    assert b"<error type='wait'><not-acceptable" in answers[2].inner
    assert register(site, opened(site, '192.0.2.2'), 'other').attrs['type'] == 'result'
    assert register(site, opened(site), 'own').attrs['type'] == 'result', 'this machine has no limit'
    assert site.network.metrics.value('jabberd_c2s_limited', 'registrations') == 1
    site.clock.rightNow += 1800
    assert register(site, opened(site, '192.0.2.1'), 'user3').attrs['type'] == 'result'


def test_with_an_invitation_alone_and_as_often_as_it_says() -> None:
    site = Site(registration='invited')
    client = opened(site)
    assert client.features is not None and b"<register xmlns='urn:xmpp:ibr-token:0'/>" in client.features.inner
    assert condition(register(site, client)) == 'not-allowed'
    preauth = invite(site, uses=2)
    for user, reason in (('one', ''), ('romeo', 'conflict'), ('two', ''), ('three', 'item-not-found')):
        client = opened(site)
        shown = site.run(client.iq('set', 'pa', preauth, DOMAIN))
        if user == 'three':
            assert condition(shown) == reason
            continue
        assert shown.attrs['type'] == 'result'
        answer = register(site, client, user)
        assert (condition(answer) if reason else answer.attrs['type']) == (reason or 'result')
    assert exists(site, 'two') and not exists(site, 'three')


def test_an_invitation_that_has_ended_or_never_was_is_refused_and_few_are_tried() -> None:
    site = Site(registration='invited')
    invite(site, 'late', expires=1.0)
    site.clock.rightNow += 2
    client = opened(site)
    assert condition(site.run(client.iq('set', 'pa', PREAUTH % 'late', DOMAIN))) == 'item-not-found'
    right = invite(site, 'right')
    for n in range(MOST_TOKENS - 1):
        assert condition(site.run(client.iq('set', f'pa{n}', PREAUTH % n, DOMAIN))) == 'item-not-found'
    assert condition(site.run(client.iq('set', 'more', right, DOMAIN))) == 'item-not-found'


def test_a_token_shown_in_time_counts_however_long_the_rest_takes() -> None:
    site = Site(registration='invited')
    preauth = invite(site, expires=site.clock.seconds() + 10)
    client = opened(site)
    site.run(client.iq('set', 'pa', preauth, DOMAIN))
    site.clock.rightNow += 20
    assert register(site, client).attrs['type'] == 'result'


@pytest.mark.parametrize('registration', ['open', 'invited'])
def test_a_name_is_kept_for_whoever_is_invited(registration: str) -> None:
    site = Site(registration=registration)
    mine = invite(site, 'mine', 'mercutio')
    other = opened(site)
    site.run(other.iq('set', 'pa', invite(site, 'other'), DOMAIN))
    assert condition(register(site, other, 'mercutio')) == 'conflict'
    client = opened(site)
    site.run(client.iq('set', 'pa', mine, DOMAIN))
    assert condition(register(site, client, 'tybalt')) == 'not-acceptable'
    assert register(site, client, 'mercutio').attrs['type'] == 'result'


def test_storage_out_of_order_is_said() -> None:
    site = Site(registration='open')
    client = opened(site)
    site.storage.broken = 'no database'
    assert condition(register(site, client)) == 'resource-constraint'
    site.storage.broken = ''
    assert register(site, client).attrs['type'] == 'result'
