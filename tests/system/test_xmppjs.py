"""@xmpp/client (npm), unmodified, through both shapes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from node_client import NodeClient
from processes import DOMAIN, Site


@pytest.fixture
def clients(site: Site) -> Iterator[tuple[NodeClient, NodeClient]]:
    """juliet and romeo, online."""
    pair = NodeClient(site, 'juliet', site.ports[0]), NodeClient(site, 'romeo', site.ports[-1])
    try:
        for client in pair:
            client.jid = client.until('online')['jid']  # type: ignore[attr-defined]
            client.tell('iq', id='r1', type='get', name='query', xmlns='jabber:iq:roster')
            client.until('stanza', name='iq', id='r1', type='result')
            client.tell('presence')
            client.until('stanza', name='presence', **{'from': client.jid})  # type: ignore[attr-defined]
        yield pair
    finally:
        for client in pair:
            if client.popen.poll() is None:
                client.stop()


def test_login_chat_and_presence(clients: tuple[NodeClient, NodeClient]) -> None:
    """Encrypted login, chat to the bare and the full JID, subscription and presence, roster."""
    juliet, romeo = clients
    juliet.tell('message', to=f'romeo@{DOMAIN}', body='wherefore art thou <&>?')
    message = romeo.until('stanza', name='message')
    assert message['body'] == 'wherefore art thou <&>?'
    romeo.tell('message', to=message['from'], body='call me but love')
    assert juliet.until('stanza', name='message')['body'] == 'call me but love'

    juliet.tell('presence', to=f'romeo@{DOMAIN}', type='subscribe')
    romeo.until('stanza', name='presence', type='subscribe', **{'from': f'juliet@{DOMAIN}'})
    romeo.tell('presence', to=f'juliet@{DOMAIN}', type='subscribed')
    juliet.until('stanza', name='presence', type='subscribed')
    romeo.tell('presence', show='dnd')
    juliet.until('stanza', name='presence', show='dnd')
    juliet.tell('iq', id='r2', type='get', name='query', xmlns='jabber:iq:roster')
    items = juliet.until('stanza', name='iq', id='r2')['items']
    assert [item['subscription'] for item in items if item['jid'] == f'romeo@{DOMAIN}'] == ['to']
    juliet.tell('presence', to=f'romeo@{DOMAIN}', type='unsubscribe')
    romeo.until('stanza', name='presence', type='unsubscribe')


def test_offline_and_back(site: Site, clients: tuple[NodeClient, NodeClient]) -> None:
    """A message to somebody who is not there is there at the next login, with its delay."""
    juliet, _ = clients
    juliet.tell('message', to=f'nurse@{DOMAIN}', body='anon, good nurse')
    juliet.tell('iq', id='p1', type='get', to=DOMAIN, name='ping', xmlns='urn:xmpp:ping')
    juliet.until('stanza', name='iq', id='p1', type='result')
    nurse = NodeClient(site, 'nurse', site.ports[-1])
    nurse.until('online')
    nurse.tell('presence')
    message = nurse.until('stanza', name='message')
    assert (message['body'], message['delayed']) == ('anon, good nurse', True)
    nurse.stop()


def test_the_second_login_is_by_a_token(site: Site) -> None:
    """XEP-0388 with XEP-0484: a password for the first login, its token for the second."""
    client = NodeClient(site, 'romeo', site.ports[0])
    assert client.until('authenticate')['mechanism'].startswith('SCRAM-')
    first = client.until('online')['jid']
    client.tell('again')
    client.until('authenticate', mechanism='HT-SHA-256-NONE')
    assert client.until('online')['jid'] == first, 'a client that says who it is gets its resource back'
    client.stop()


def test_wrong_password(site: Site) -> None:
    """not-authorized."""
    client = NodeClient(site, 'juliet', site.ports[0], password='not hers')
    assert client.until('refused')['condition'] == 'not-authorized'
    client.popen.kill()
    client.popen.wait()
