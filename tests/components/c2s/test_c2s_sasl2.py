"""Logging in with the Extensible SASL Profile (XEP-0388), and binding in the same round trip (XEP-0386)."""

from __future__ import annotations

from typing import Any

import pytest

from jabberd_tx.link import session as vocabulary
from jabberd_tx.testing.client import Refused, XmppClient
from jabberd_tx.testing.sasl2_client import log_in, outcome, request, respond
from jabberd_tx.xmpp import ns
from tests.components.c2s.c2s_support import DOMAIN, Site, chat, message

AGENT = 'd4565fa7-4d72-4749-b3d3-740edbf87770'
BIND = f"<bind xmlns='{ns.BIND2}'><tag>test</tag>%s</bind>"


def opened(site: Site, **attrs: str) -> XmppClient:
    """A client whose stream is open."""
    client = site.connect()
    site.run(client.open(**attrs))
    return client


def logged_in(site: Site, inline: str = BIND % '', **options: Any) -> XmppClient:
    client = opened(site)
    site.run(log_in(client, inline, **options))
    return client


@pytest.mark.parametrize('mechanism', ['PLAIN', 'SCRAM-SHA-1', 'SCRAM-SHA-256', 'SCRAM-SHA-512'])
def test_each_mechanism_logs_in_and_the_stream_goes_on(mechanism: str) -> None:
    site = Site()
    client = logged_in(site, '', mechanism=mechanism)
    assert client.jid == 'romeo@example.net'
    features = site.run(client.nonza('features'))
    assert [child.name for child in features.children][:2] == ['bind', 'session']
    assert site.run(client.bind('balcony')) == 'romeo@example.net/balcony'


def test_a_resource_is_bound_in_the_same_round_trip() -> None:
    site = Site()
    client = opened(site)
    success = site.run(log_in(client, BIND % ''))
    assert client.jid.startswith('romeo@example.net/test/')
    assert b"<bound xmlns='urn:xmpp:bind:0'></bound>" in success.inner
    features = site.run(client.nonza('features'))
    assert 'bind' not in [child.name for child in features.children]
    assert site.c2s.streams == 1 and not site.c2s.logins
    client.send(chat(1))
    site.settle()
    assert site.sm.stanzas[0].attrs['from'] == client.jid
    site.deliver(client, message(1, to=client.jid))
    assert len(client.stanzas) == 1


def test_a_session_begins_with_what_was_asked_for() -> None:
    site = Site()
    client = opened(site)
    inline = f"<enable xmlns='{ns.ACKS}'/><inactive xmlns='{ns.CSI}'/>"
    success = site.run(log_in(client, BIND % inline))
    assert f"<bound xmlns='{ns.BIND2}'><enabled xmlns='{ns.ACKS}'/></bound>".encode() in success.inner
    session = site.session(client)
    assert session.acks is not None and session.held is not None
    client.send(chat(1))
    client.ask()
    site.settle()
    assert client.acked == 1


def test_the_sm_is_told_of_carbons_where_it_has_them() -> None:
    for known in (True, False):
        site = Site()
        site.c2s.offer.carbons = known
        logged_in(site, BIND % f"<enable xmlns='{ns.CARBONS}'/>")
        assert ('carbons' in site.sm.said[0].payload.attrs) == known  # type: ignore[union-attr]
        assert site.sm.kinds() == [vocabulary.START]


def test_a_client_with_an_id_gets_the_same_resource_each_time_and_others_another() -> None:
    site = Site()
    jids = [logged_in(site, agent=agent).jid for agent in (AGENT, AGENT, AGENT[:-1] + '1', '', '')]
    assert jids[0] == jids[1] and len(set(jids)) == 4
    assert AGENT not in ''.join(jids)


def test_a_tag_that_can_not_be_in_a_resource_is_left_out() -> None:
    client = logged_in(Site(), f"<bind xmlns='{ns.BIND2}'><tag>\ufdd0{'x' * 2000}</tag></bind>")
    assert len(client.jid.partition('/')[2]) == 12


@pytest.mark.parametrize('reason', ['conflict', 'resource-constraint'])
def test_without_a_session_there_is_no_login_and_another_may_follow(reason: str) -> None:
    site = Site()
    site.sm.starts = reason
    client = opened(site)
    with pytest.raises(Refused, match='temporary-auth-failure'):
        site.run(log_in(client, BIND % '', agent=AGENT))
    assert len(site.sm.said) == (2 if reason == 'conflict' else 1), 'a taken resource is tried no second time'
    site.sm.starts = True
    site.run(log_in(client, BIND % ''))
    assert site.c2s.streams == 1


@pytest.mark.parametrize('user', ['romeo', 'nobody'])
@pytest.mark.parametrize('mechanism', ['PLAIN', 'SCRAM-SHA-1'])
def test_a_wrong_password_and_an_unknown_name_fail_alike(mechanism: str, user: str) -> None:
    site = Site()
    client = opened(site)
    client.user, client.password = user, 'wrong'
    with pytest.raises(Refused, match='not-authorized'):
        site.run(log_in(client, BIND % '', mechanism))
    assert not site.sm.said and site.network.metrics.value('jabberd_c2s_logins', 'failed') == 1
    client.user, client.password = 'romeo', 'secret'
    site.run(log_in(client, BIND % '', mechanism))


def test_too_many_failures_end_the_stream() -> None:
    site = Site(login_attempts=2)
    client = opened(site)
    client.password = 'wrong'
    for _ in range(2):
        with pytest.raises(Refused):
            site.run(log_in(client))
    site.settle()
    assert client.error == 'policy-violation'


@pytest.mark.parametrize(
    'words, condition',
    [
        (request('DIGEST-MD5', None), 'invalid-mechanism'),
        (request('SCRAM-SHA-1-PLUS', b''), 'invalid-mechanism'),
        (request('PLAIN', b'\0'), 'malformed-request'),
        (request('PLAIN', b'juliet@example.net\0romeo\0secret'), 'invalid-authzid'),
        (request('PLAIN', b'').replace('<initial-response>', '<initial-response>!'), 'incorrect-encoding'),
        (f"<abort xmlns='{ns.SASL2}'/>", 'aborted'),
    ],
)
def test_each_way_to_get_it_wrong_has_its_failure(words: str, condition: str) -> None:
    site = Site()
    client = opened(site)
    client.send(words)
    with pytest.raises(Refused, match=condition):
        site.run(outcome(client, 'success'))
    site.run(log_in(client))


def test_an_exchange_may_begin_without_initial_response_and_be_aborted() -> None:
    site = Site()
    client = opened(site)
    for end in ('abort', 'response'):
        client.send(request('PLAIN', None))
        assert site.run(outcome(client, 'challenge')).text == ''
        if end == 'abort':
            client.send(f"<abort xmlns='{ns.SASL2}'/>")
            with pytest.raises(Refused, match='aborted'):
                site.run(outcome(client, 'success'))
    respond(client, b'\0romeo\0secret')
    site.run(outcome(client, 'success'))


@pytest.mark.parametrize(
    'words', [chat(1), f"<response xmlns='{ns.SASL}'>AA==</response>", f"<authenticate xmlns='{ns.SASL2}'/>"]
)
def test_anything_else_in_the_course_of_it_ends_the_stream(words: str) -> None:
    site = Site()
    client = opened(site)
    client.send(request('PLAIN', None))
    site.run(outcome(client, 'challenge'))
    client.send(words)
    assert site.run(client.end()) == 'not-authorized'
    assert not site.c2s.logins


@pytest.mark.parametrize('inline', ['', BIND % ''])
def test_nobody_logs_in_twice(inline: str) -> None:
    site = Site()
    client = logged_in(site, inline)
    client.send(request('PLAIN', b'\0romeo\0secret'))
    assert site.run(client.end()) == 'unsupported-stanza-type'


def test_the_stream_must_be_from_who_logs_in() -> None:
    site = Site()
    site.run(log_in(opened(site, **{'from': 'Romeo@example.net'})))
    with pytest.raises(Refused, match='invalid-authzid'):
        site.run(log_in(opened(site, **{'from': f'juliet@{DOMAIN}'})))


def test_switched_off_it_is_not_there() -> None:
    site = Site(sasl2=False)
    client = opened(site)
    client.send(request('PLAIN', b'\0romeo\0secret'))
    assert site.run(client.end()) == 'not-authorized'
    site = Site(bind2=False)
    assert logged_in(site).jid == 'romeo@example.net', 'what is not offered is not heard'


@pytest.mark.parametrize('moment', ['challenge', 'session'])
def test_a_client_may_vanish_in_the_middle(moment: str) -> None:
    site = Site()
    site.sm.starts = False
    client = opened(site)
    if moment == 'challenge':
        client.send(request('PLAIN', None))
    else:
        client.send(request('PLAIN', b'\0romeo\0secret', BIND % ''))
    site.settle()
    client.drop()
    site.settle()
    assert not site.c2s.logins and not [one for one in site.c2s.sessions.values() if one.conn is not None]


def test_a_session_that_does_not_come_in_time_ends_the_stream() -> None:
    site = Site(bind_timeout=5)
    site.sm.starts = False
    client = opened(site)
    client.send(request('PLAIN', b'\0romeo\0secret', BIND % ''))
    site.settle()
    for _ in range(8):
        site.advance(1)
    assert client.error == 'connection-timeout'


def test_the_limits_after_login_are_the_larger_ones() -> None:
    site = Site(max_stanza_bytes=100_000, unauthenticated_bytes=4096)
    client = logged_in(site)
    client.send(f"<message to='juliet@example.net'><body>{'x' * 50_000}</body></message>")
    site.settle()
    assert not client.error and len(site.sm.frames) == 1


def test_a_stream_is_resumed_in_the_same_round_trip() -> None:
    site = Site()
    client = opened(site)
    success = site.run(log_in(client, BIND % f"<enable xmlns='{ns.ACKS}' resume='true'/>"))
    previous = success.inner.decode().partition("id='")[2].partition("'")[0]
    client.send(chat(1))
    site.settle()
    client.drop()
    site.settle()
    again = opened(site)
    success = site.run(log_in(again, f"<resume xmlns='{ns.ACKS}' h='0' previd='{previous}'/>" + BIND % ''))
    assert b'<resumed' in success.inner and b"h='1'" in success.inner and b'<bound' not in success.inner
    assert again.jid == client.jid and site.c2s.streams == 1
    site.deliver(again, message(1, to=again.jid))
    assert len(again.stanzas) == 1


def test_what_can_not_be_resumed_is_said_and_a_resource_bound_instead() -> None:
    site = Site()
    client = opened(site)
    success = site.run(log_in(client, f"<resume xmlns='{ns.ACKS}' h='0' previd='nonsense'/>" + BIND % ''))
    assert b'<failed' in success.inner and b'<bound' in success.inner
    assert client.jid.startswith('romeo@example.net/')
