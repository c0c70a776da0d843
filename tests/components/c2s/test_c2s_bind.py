"""Binding a resource, and what may not come before it."""

from __future__ import annotations

import base64
import gc

import pytest

from jabberd_tx.components.c2s.binding import Binding
from jabberd_tx.components.c2s.exchange import Exchange
from jabberd_tx.components.c2s.stream import Login
from jabberd_tx.link.frames import CLIENT, uid_number
from jabberd_tx.testing.client import Refused, XmppClient
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import stream_header
from tests.components.c2s.c2s_support import DOMAIN, Site, chat

AUTH = f"<auth xmlns='{ns.SASL}' mechanism='%s'>%s</auth>"
BIND = f"<iq type='set' id='b'><bind xmlns='{ns.BIND}'>%s</bind></iq>"


def plain(user: str, password: str) -> str:
    return AUTH % ('PLAIN', base64.b64encode(f'\0{user}\0{password}'.encode()).decode())


def say(site: Site, data: str | bytes, host: str = '127.0.0.1') -> XmppClient:
    """A client that has said this, as its first words."""
    client = site.connect(host=host)
    client.send(data)
    site.settle()
    return client


def header(**attrs: str) -> bytes:
    return stream_header(ns.CLIENT, {'to': DOMAIN, 'version': '1.0', **attrs})


def authenticated(site: Site) -> XmppClient:
    """A client that has logged in and opened its second stream."""
    client = site.connect()
    site.run(client.open())
    site.run(client.authenticate())
    site.run(client.open())
    return client


def test_binding_asks_the_sm_that_serves_the_domain_for_a_session() -> None:
    site = Site()
    client = authenticated(site)
    assert site.run(client.bind('balcony')) == 'romeo@example.net/balcony'
    (frame,) = site.sm.said
    assert (frame.dest, frame.key, frame.source, frame.flags & CLIENT) == (DOMAIN, 'romeo@example.net', 'c2s-1', CLIENT)
    assert uid_number(frame.uid) == 0 and len(frame.uid) == 24
    assert site.c2s.streams == 1 and not site.c2s.logins


def test_nothing_of_a_login_waits_for_the_garbage_collector() -> None:
    """A server with many logins would hold what thousands of them have left."""

    def there() -> list[object]:
        return [found for found in gc.get_objects() if isinstance(found, Login | Binding | Exchange)]

    site = Site()
    gc.collect()
    of_others = {id(found) for found in there()}
    gc.disable()
    try:
        client = authenticated(site)
        site.run(client.bind('balcony'))
        left = [found for found in there() if id(found) not in of_others]
    finally:
        gc.enable()
    assert left == []


def test_without_a_wish_the_resource_is_one_that_nobody_can_guess() -> None:
    site = Site()
    first, second = authenticated(site), authenticated(site)
    resources = {site.run(client.bind()).partition('/')[2] for client in (first, second)}
    assert len(resources) == 2 and all(len(resource) >= 16 for resource in resources)


def test_a_resource_is_prepared() -> None:
    site = Site()
    assert site.run(authenticated(site).bind('bal\u00a0cony')) == 'romeo@example.net/bal cony'


@pytest.mark.parametrize(
    'request_xml, condition',
    [
        (BIND % '<resource>\u0007</resource>'.replace('\u0007', '\u2028\ufdd0'), 'bad-request'),
        (BIND % f'<resource>{"x" * 1100}</resource>', 'bad-request'),
        (BIND % '<resource>a</resource><resource>b</resource>', 'bad-request'),
        ((BIND % '').replace(" id='b'", ''), 'bad-request'),
    ],
)
def test_a_resource_that_can_not_be_is_refused_and_another_may_follow(request_xml: str, condition: str) -> None:
    site = Site()
    client = authenticated(site)
    client.send(request_xml)
    answer = site.run(client.stanza('iq'))
    assert answer.attrs['type'] == 'error' and condition.encode() in answer.inner
    assert site.run(client.bind('r')) == 'romeo@example.net/r'


def test_a_refusal_of_the_sm_reaches_the_client_which_may_ask_again() -> None:
    site = Site()
    client = authenticated(site)
    site.sm.starts = 'conflict'
    with pytest.raises(Refused, match='conflict'):
        site.run(client.bind('r'))
    assert not site.c2s.sessions
    site.sm.starts = True
    assert site.run(client.bind('r')) == 'romeo@example.net/r'


def test_a_client_that_is_refused_too_often_is_turned_away() -> None:
    """RFC 6120 §7.7.3: after five more tries, whoever refuses; a failed login before does not count."""
    site = Site()
    client = site.connect()
    site.run(client.open())
    client.send(plain('romeo', 'wrong'))
    site.run(client.nonza('failure'))
    site.run(client.authenticate())
    site.run(client.open())
    site.sm.starts = 'conflict'
    for n in range(6):
        assert not client.error
        client.send(BIND % ('<resource>r</resource>' if n % 2 else f'<resource>{"x" * 1100}</resource>'))
        answer = site.run(client.stanza('iq'))
        assert answer.attrs['type'] == 'error'
    site.settle()
    assert client.error == 'policy-violation' and client.closed and not site.c2s.sessions


def test_once_a_resource_is_bound_nothing_is_offered_any_more() -> None:
    """RFC 6120 §4.3.5 and §7.3.2: neither features nor a new stream; the stream that was opened goes on."""
    site = Site()
    client = authenticated(site)
    client.inbox.clear()
    client.send(BIND % '<resource>r</resource>')
    site.settle()
    client.send(chat(1))
    site.settle()
    site.advance(60)
    assert [type(event) for event in client.inbox] == [Stanza] and site.sm.numbers == [1]


def test_an_sm_that_says_nothing_costs_the_stream_in_time() -> None:
    site = Site(bind_timeout=5)
    site.sm.starts = False
    client = authenticated(site)
    client.send(BIND % '')
    site.settle()
    site.advance(8)
    answer = site.run(client.stanza('iq'))
    assert answer.attrs['type'] == 'error' and b'remote-server-timeout' in answer.inner
    assert client.error == 'connection-timeout' and client.closed


def test_a_session_that_comes_too_late_is_ended() -> None:
    site = Site(bind_timeout=5)
    site.sm.starts = False
    client = authenticated(site)
    client.send(BIND % '')
    site.settle()
    client.drop()
    site.settle()
    assert len(site.c2s.sessions) == 1
    site.sm.take(site.sm.said[0])
    site.settle()
    assert site.sm.kinds() == ['start', 'end'] and site.sm.said[1].dest == 'sm-1'
    assert not site.c2s.sessions and not site.sm.sessions


def test_stanzas_that_follow_the_wish_wait_for_the_session() -> None:
    site = Site()
    site.sm.starts = False
    client = authenticated(site)
    client.send(BIND % '' + chat(1) + chat(2))
    site.settle()
    assert not site.sm.frames
    site.sm.take(site.sm.said[0])
    site.settle()
    assert site.sm.numbers == [1, 2]


@pytest.mark.parametrize(
    'words, condition',
    [
        (chat(1), 'not-authorized'),
        ("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>", 'not-authorized'),
        ('<presence/>', 'not-authorized'),
        ("<active xmlns='urn:xmpp:csi:0'/>", 'unsupported-stanza-type'),
        (AUTH % ('PLAIN', ''), 'unsupported-stanza-type'),
    ],
)
def test_what_may_not_come_before_binding_ends_the_stream(words: str, condition: str) -> None:
    site = Site()
    client = authenticated(site)
    client.send(words)
    site.settle()
    assert client.error == condition and not site.sm.said and not site.sm.frames


def test_starttls_after_login_is_a_failure() -> None:
    site = Site()
    client = authenticated(site)
    client.send(f"<starttls xmlns='{ns.TLS}'/>")
    failure = site.run(client.nonza('failure'))
    assert failure.ns == ns.TLS
    site.settle()
    assert client.closed


@pytest.mark.parametrize('words, condition', [('enable', 'unexpected-request'), ('resume', 'item-not-found')])
def test_acks_before_binding_are_refused_and_do_no_harm(words: str, condition: str) -> None:
    site = Site()
    client = authenticated(site)
    client.send(f"<{words} xmlns='{ns.ACKS}' h='0' previd='x'/>")
    failed = site.run(client.nonza('failed'))
    assert failed.children[0].name == condition
    assert site.run(client.bind('r'))
