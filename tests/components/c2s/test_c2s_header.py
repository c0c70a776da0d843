"""Stream headers and features, and the error for each violation before anybody has logged in."""

from __future__ import annotations

import base64

import pytest

from jabberd_tx.storage import accounts
from jabberd_tx.testing.client import Refused, XmppClient
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.events import Nonza
from jabberd_tx.xmpp.writer import stream_header
from tests.components.c2s.c2s_support import CREDENTIALS, DOMAIN, Site, chat

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


# ---- headers


def test_the_answer_names_the_domain_a_fresh_id_the_version_and_a_language() -> None:
    site = Site()
    first, second = say(site, header()), say(site, header())
    assert first.header is not None and second.header is not None
    attrs = first.header.attrs
    assert (attrs['from'], attrs['version'], attrs['xml:lang']) == (DOMAIN, '1.0', 'en')
    assert len(attrs['id']) >= 16 and attrs['id'] != second.header.attrs['id']
    assert 'to' not in attrs


def test_an_id_in_the_clients_header_is_ignored() -> None:
    """RFC 6120 §4.7.3."""
    client = say(Site(), header(id='of my own'))
    assert client.features is not None and client.header is not None and client.header.attrs['id'] != 'of my own'


def test_the_sender_in_the_header_comes_back_as_bare_jid() -> None:
    client = say(Site(), header(**{'from': 'Romeo@example.net/x'}))
    assert client.header is not None and client.header.attrs['to'] == 'romeo@example.net'


@pytest.mark.parametrize('version', ['1.0', '1.1', '2.0', '1.99999', '10.0', '01.0', '1.00'])
def test_version_one_and_higher_are_answered_as_one(version: str) -> None:
    client = say(Site(), header(version=version))
    assert client.features is not None and client.header is not None and client.header.attrs['version'] == '1.0'


@pytest.mark.parametrize(
    'first_words, condition',
    [
        (header(version='0.9'), 'unsupported-version'),
        (header(version='1'), 'unsupported-version'),
        (header(version='one.zero'), 'unsupported-version'),
        (stream_header(ns.CLIENT, {'to': DOMAIN}), 'unsupported-version'),
        (stream_header(ns.CLIENT, {'version': '1.0'}), 'improper-addressing'),
        (header(to='a@@b'), 'improper-addressing'),
        (header(to=''), 'improper-addressing'),
        (header(to='elsewhere.example'), 'host-unknown'),
        (header(to='romeo@example.net'), 'host-unknown'),
        (header(**{'from': 'a@b@c'}), 'invalid-from'),
        (stream_header(ns.SERVER, {'to': DOMAIN, 'version': '1.0'}), 'invalid-namespace'),
        (stream_header('urn:no-such', {'to': DOMAIN, 'version': '1.0'}), 'invalid-namespace'),
        (b"<stream:stream xmlns='jabber:client' xmlns:stream='urn:x' to='example.net' version='1.0'>",
         'invalid-namespace'),
        (b"<stream:stream xmlns='jabber:client' to='example.net' version='1.0'>", 'bad-namespace-prefix'),
        (b'<html><body>', 'invalid-namespace'),
        (b'GET / HTTP/1.1\r\nHost: example.net\r\n\r\n', 'not-well-formed'),
        (b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 'not-well-formed'),
        (b'<<<>', 'not-well-formed'),
        (b"<?xml version='1.0' encoding='latin-1'?>" + header()[21:], 'unsupported-encoding'),
        (header().decode().encode('utf-16'), 'unsupported-encoding'),
        (b'<!DOCTYPE x>' + header(), 'restricted-xml'),
        (header() + b'<!-- hello -->', 'restricted-xml'),
        (header() + b'<?php?>', 'restricted-xml'),
        (header() + b'hello', 'bad-format'),
        (header() + b"<a xmlns='urn:x'></b>", 'not-well-formed'),
        (header() + b"<message to='a'></iq>", 'not-well-formed'),
        (header() + chat(1).encode(), 'not-authorized'),
        (header() + b'<presence/>', 'not-authorized'),
        (header() + BIND.encode() % b'', 'not-authorized'),
        (header() + b"<r xmlns='urn:xmpp:sm:3'/>", 'not-authorized'),
        (header() + b"<thing xmlns='urn:x'/>", 'not-authorized'),
        (header() + b'<thing/>', 'unsupported-stanza-type'),
        (header() + b"<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>eA==</response>", 'not-authorized'),
        (header() + b'<message ' + b"a='" + b'x' * 70000, 'policy-violation'),
        (header() + b' ' * 70000, 'policy-violation'),
    ],
)  # fmt: skip
def test_each_violation_before_login_gets_a_header_then_its_error_then_the_end(
    first_words: bytes, condition: str
) -> None:
    site = Site()
    client = say(site, first_words)
    assert client.header is not None and client.header.attrs['from'] == DOMAIN
    assert client.error == condition
    assert client.inbox[-1] == (), 'the end tag comes last'
    site.advance(10)
    assert client.closed and not site.c2s.logins and not site.c2s.closing
    # And the server serves others.
    assert site.login().jid == 'romeo@example.net/r'


def test_a_language_that_is_none_is_not_put_on_stanzas() -> None:
    """Every stanza of the stream gets it, so that its length is not the client's to choose."""
    for given, kept in (('de-AT', 'de-AT'), ('x' * 64, 'x' * 64), ('x' * 65, None)):
        site = Site()
        client = site.connect()
        site.run(client.login('r', **{'xml:lang': given}))
        client.send(chat(1))
        site.settle()
        (stanza,) = site.sm.stanzas
        assert stanza.attrs.get('xml:lang') == kept


def test_a_client_may_leave_before_it_has_said_anything() -> None:
    site = Site()
    client = site.connect()
    assert len(site.c2s.logins) == 1
    client.drop()
    site.settle()
    assert not site.c2s.logins


def test_a_closed_stream_is_closed_by_the_server_too() -> None:
    site = Site()
    client = say(site, header() + b'</stream:stream>')
    assert client.error == '' and client.inbox[-1] == () and client.closed
    assert not site.c2s.logins


def test_whitespace_between_elements_is_nothing() -> None:
    site = Site()
    client = say(site, header() + b' \n \n')
    client.send(b'\n')
    site.settle()
    assert not client.error and client.features is not None


def test_a_client_that_does_not_log_in_is_thrown_out_in_time() -> None:
    site = Site(login_timeout=10)
    client = say(site, header())
    site.advance(9)
    assert not client.error
    site.advance(3)
    assert client.error == 'connection-timeout' and client.closed


def test_a_client_that_does_not_close_is_aborted_in_time() -> None:
    site = Site(close_timeout=3)
    client = say(site, header())
    client.transport.pauseProducing()  # type: ignore[union-attr]
    client.send(b'<x/>')
    site.settle()
    assert not client.closed and len(site.c2s.closing) == 1
    site.advance(5)
    assert client.closed and not site.c2s.closing


def test_an_attacker_can_not_keep_a_closed_stream_busy() -> None:
    site = Site()
    client = say(site, header() + b'<x/>')
    server = client.transport.other  # type: ignore[union-attr]
    server.connected = True  # the client ignores that it is closed
    for _ in range(20):
        server.protocol.dataReceived(b'x' * (1 << 20))
    assert server.aborted


def test_several_domains_each_with_its_own_accounts() -> None:
    site = Site(domains=(DOMAIN, 'bücher.example'))
    site.storage.run(accounts.put, 'faust@bücher.example', CREDENTIALS)
    client = site.connect('faust', domain='xn--bcher-kva.example')
    site.run(client.open())
    assert client.header is not None and client.header.attrs['from'] == 'bücher.example'
    site.run(client.authenticate())
    site.run(client.open())
    client.send(BIND % '')
    site.settle()
    assert site.sm.said == []  # the scripted sm serves the other domain only
    wrong = site.connect('romeo', domain='bücher.example')
    site.run(wrong.open())
    with pytest.raises(Refused, match='not-authorized'):
        site.run(wrong.authenticate())


def test_more_connections_than_may_log_in_at_once_are_turned_away() -> None:
    site = Site(most_logins=10)
    clients = [site.connect() for _ in range(12)]
    site.settle()
    assert [client.closed for client in clients] == [False] * 10 + [True] * 2


def test_see_other_host_sends_clients_away_before_they_log_in() -> None:
    site = Site(see_other_host='[2001:db8::1]:5222')
    client = say(site, header())
    assert client.error == 'see-other-host'
    assert b'>[2001:db8::1]:5222</see-other-host>' in client.error_xml


# ---- features


def names(features: Nonza | None) -> list[str]:
    assert features is not None
    return [child.name for child in features.children]


def test_features_before_login_are_mechanisms_alone_where_there_is_no_tls() -> None:
    client = say(Site(), header())
    assert names(client.features) == ['mechanisms', 'authentication', 'limits']
    assert client.mechanisms == ['SCRAM-SHA-512', 'SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN']


def test_plain_without_tls_is_for_this_machine_only() -> None:
    site = Site(require_tls=False)
    assert 'PLAIN' not in say(site, header(), host='192.0.2.1').mechanisms
    for local in ('127.0.0.1', '127.1.2.3', '::1', '::ffff:127.0.0.1'):
        assert 'PLAIN' in say(site, header(), host=local).mechanisms
    site = Site(plain_without_tls=False)
    assert 'PLAIN' not in say(site, header()).mechanisms


def test_login_without_tls_is_for_this_machine_only() -> None:
    site = Site()
    assert say(site, header(), host='192.0.2.1').mechanisms == []
    client = say(site, header() + (AUTH % ('SCRAM-SHA-1', 'biwsbj1hLHI9Yg==')).encode(), host='192.0.2.1')
    failure = site.run(client.nonza('failure'))
    assert failure.children[0].name == 'encryption-required'


def test_a_site_where_nobody_could_log_in_does_not_start() -> None:
    with pytest.raises(ValueError, match='require_tls'):
        Site(plaintext_on_loopback=False)


def test_what_the_domain_can_do_is_offered_by_its_hash_once_an_sm_has_told_it() -> None:
    """With the sessions that have been started since; as long as sms tell of it, whatever options change."""
    site = Site()
    site.sm.caps = "v+'/="
    site.login(resource='first')
    site.c2s.options_changed()
    client = authenticated(site)
    assert client.features is not None
    assert (
        b"<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:x-jabberd-tx:server' ver='v+&apos;/='/>"
    ) in client.features.inner
    site.sm.caps = ''
    site.login(resource='second')
    assert 'c' not in names(authenticated(site).features)


def test_features_after_login_are_bind_the_old_session_acks_what_rosters_can_and_client_state() -> None:
    site = Site()
    client = authenticated(site)
    assert names(client.features) == ['bind', 'session', 'sm', 'ver', 'sub', 'limits', 'csi']
    assert client.features is not None and b'<optional/>' in client.features.inner
