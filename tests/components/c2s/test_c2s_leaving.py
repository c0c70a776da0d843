"""A client that says goodbye before it has its answers still gets them."""

from __future__ import annotations

from jabberd_tx.testing.client import XmppClient
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import STREAM_END
from tests.components.c2s.c2s_support import DOMAIN, ScriptedSm, Site, chat

PING = "<iq type='get' id='p' to='example.net'><ping xmlns='urn:xmpp:ping'/></iq>"


def say(site: Site, client: XmppClient, data: str) -> None:
    client.send(data)
    site.settle()


def answer(site: Site, sm: ScriptedSm, id: str = 'p') -> None:
    (stream,) = sm.sessions
    result = Stanza('iq', {'type': 'result', 'id': id, 'from': DOMAIN, 'to': 'romeo@example.net/r'})
    sm.send('c2s-1', stream, result)
    site.settle()


def test_a_request_right_before_the_end_tag_is_answered_before_the_stream_ends() -> None:
    site = Site()
    client = site.login()
    say(site, client, PING + STREAM_END.decode())
    assert not client.closed and site.sm.kinds() == ['start']
    answer(site, site.sm)
    assert [stanza.attrs['id'] for stanza in client.take_stanzas('iq') if stanza.attrs['id'] == 'p'] == ['p']
    assert client.closed and client.error == ''
    assert site.sm.kinds() == ['start', 'end']
    assert not site.c2s.leaving.sessions and not site.c2s.sessions


def test_a_message_right_before_the_end_tag_is_settled_before_the_stream_ends() -> None:
    site = Site()
    client = site.login(acks=True)
    site.sm.confirms = False
    say(site, client, chat(1) + STREAM_END.decode())
    assert not client.closed
    error = Stanza('message', {'type': 'error', 'id': 'c1', 'from': 'juliet@example.net'})
    site.deliver(client, error)
    site.sm.confirm()
    site.settle()
    assert [stanza.attrs['type'] for stanza in client.take_stanzas('message')] == ['error']
    assert client.acked == 1, 'and the last ack counts it'
    assert client.closed


def test_with_nothing_to_wait_for_the_stream_ends_at_once() -> None:
    site = Site()
    client = site.login()
    say(site, client, STREAM_END.decode())
    assert client.closed and site.sm.kinds() == ['start', 'end']


def test_an_answer_that_does_not_come_is_not_waited_for_longer_than_close_timeout() -> None:
    site = Site(close_timeout=3.0)
    client = site.login()
    say(site, client, PING + STREAM_END.decode())
    site.advance(2)
    assert not client.closed
    for _ in range(3):
        site.advance(1)
    assert client.closed and client.error == ''
    assert not site.c2s.leaving.sessions


def test_a_client_that_is_gone_before_its_answer_leaves_nothing_behind() -> None:
    site = Site()
    client = site.login()
    say(site, client, PING + STREAM_END.decode())
    client.drop()
    site.settle()
    site.advance(1)
    assert not site.c2s.leaving.sessions and not site.c2s.sessions
    assert site.sm.kinds() == ['start', 'end']


def test_what_comes_after_the_end_tag_is_not_taken() -> None:
    site = Site()
    client = site.login()
    say(site, client, PING + STREAM_END.decode() + chat(1))
    say(site, client, chat(2))
    assert [stanza.name for stanza in site.sm.stanzas] == ['iq']


def test_a_request_for_an_ack_after_the_end_is_no_reason_to_wait() -> None:
    site = Site()
    client = site.login(acks=True)
    say(site, client, f"<r xmlns='{ns.ACKS}'/>" + STREAM_END.decode())
    assert client.closed and client.acked == 0
