"""Users without an account (RFC 4505): who they are, and what they reach."""

from __future__ import annotations

import pytest

from jabberd_tx.storage import fast_tokens
from jabberd_tx.testing.client import Refused, XmppClient
from jabberd_tx.testing.sasl2_client import outcome, request
from jabberd_tx.xmpp import ns
from tests.components.c2s.c2s_support import DOMAIN, Site, chat, message

REACH = ['rooms.example', f'helpdesk@{DOMAIN}']
AGENT = 'd4565fa7-4d72-4749-b3d3-740edbf87770'


def site_for_guests(**options: object) -> Site:
    return Site(**{'anonymous_domains': [DOMAIN], 'anonymous_reach': REACH, **options})


def guest(site: Site, trace: bytes = b'') -> XmppClient:
    """One with a resource."""
    client = site.connect()
    site.run(client.open())
    client.send_auth('ANONYMOUS', trace)
    site.run(client.nonza('success'))
    site.run(client.open())
    site.run(client.bind('r'))
    return client


def test_it_is_offered_on_the_domains_that_are_named_alone() -> None:
    for options in ({}, {'anonymous_domains': ['other.example']}):
        site = Site(domains=(DOMAIN, 'other.example'), **options)
        client = site.connect()
        site.run(client.open())
        assert 'ANONYMOUS' not in client.mechanisms
        client.send_auth('ANONYMOUS', b'')
        assert site.run(client.nonza('failure')).children[0].name == 'invalid-mechanism'


def test_each_login_is_somebody_new() -> None:
    site = site_for_guests()
    names = {guest(site, 'tr\u00e4ce'.encode()).jid for _ in range(3)}
    assert len(names) == 3 and all(len(name.partition('@')[0]) > 24 for name in names)


@pytest.mark.parametrize('trace', [b'\xff', b'x' * 256])
def test_what_is_no_trace_is_refused(trace: bytes) -> None:
    site = site_for_guests()
    client = site.connect()
    site.run(client.open())
    client.send_auth('ANONYMOUS', trace)
    assert site.run(client.nonza('failure')).children[0].name == 'malformed-request'


@pytest.mark.parametrize(
    'stanza',
    [
        chat(1, 'juliet@example.net'),
        chat(1, 'juliet@example.net/j'),
        chat(1, 'anybody@elsewhere.example'),
        "<presence to='juliet@example.net'/>",
        "<presence to='a@rooms.example' type='subscribe'/>",
        "<iq type='set' id='1'><query xmlns='jabber:iq:roster'/></iq>",
        f"<iq type='set' id='1' to='{DOMAIN}'><query xmlns='jabber:iq:register'/></iq>",
        "<iq type='get' id='1' to='juliet@example.net'><vCard xmlns='vcard-temp'/></iq>",
    ],
)
def test_what_is_not_allowed_goes_nowhere(stanza: str) -> None:
    site = site_for_guests()
    client = guest(site)
    client.send(stanza + chat(2, 'a@rooms.example'))
    answer = site.run(client.stanza())
    assert answer.attrs['type'] == 'error' and b'<forbidden' in answer.inner
    assert [frame.attrs['to'] for frame in site.sm.stanzas] == ['a@rooms.example'], 'what follows goes on'


@pytest.mark.parametrize(
    'stanza',
    [
        '<presence/>',
        "<presence to='room@rooms.example/guest'/>",
        chat(1, 'room@rooms.example'),
        chat(1, f'helpdesk@{DOMAIN}/desk'),
        "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>",
        f"<iq type='get' id='1' to='{DOMAIN}'><query xmlns='{ns.DISCO_INFO}'/></iq>",
        "<iq type='set' id='1' to='room@rooms.example'><query xmlns='x'/></iq>",
    ],
)
def test_what_is_allowed_goes_on_and_answers_come_back(stanza: str) -> None:
    site = site_for_guests()
    client = guest(site)
    client.send(stanza)
    site.settle()
    assert len(site.sm.stanzas) == 1 and not client.stanzas
    site.deliver(client, message(1, to=client.jid))
    assert len(client.stanzas) == 1


def test_what_is_refused_counts_for_acks() -> None:
    site = site_for_guests()
    client = guest(site)
    site.run(client.enable_acks())
    client.send(chat(1) + chat(2, 'a@rooms.example') + chat(3))
    client.ask()
    site.settle()
    assert client.acked == 3


def test_without_an_account_there_is_no_token() -> None:
    site = site_for_guests()
    client = site.connect()
    site.run(client.open())
    wish = f"<request-token xmlns='{ns.FAST}' mechanism='HT-SHA-256-NONE'/><bind xmlns='{ns.BIND2}'/>"
    client.send(request('ANONYMOUS', b'', wish, AGENT))
    success = site.run(outcome(client, 'success'))
    assert b'<token' not in success.inner and b'<bound' in success.inner
    client.send(chat(1))
    assert b'<forbidden' in site.run(client.stanza()).inner

    async def tokens() -> object:
        return await site.storage.run(fast_tokens.of_client, client.jid.partition('/')[0], AGENT)

    assert site.run(tokens()) == []


def test_off_no_guest_comes_in() -> None:
    site = Site()
    client = site.connect()
    site.run(client.open())
    client.send(request('ANONYMOUS', b''))
    with pytest.raises(Refused, match='invalid-mechanism'):
        site.run(outcome(client, 'success'))
