"""Deliveries, idle and slow clients, and what the sm says about a session."""

from __future__ import annotations

from jabberd_tx.link import session as vocabulary
from jabberd_tx.link.frames import BUSY, NO_SESSION, REPEAT, Fanout, make_uid
from jabberd_tx.testing.client import XmppClient
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.stanza import Stanza
from tests.components.c2s.c2s_support import Site, chat, message

ROSTER = f"<query xmlns='{ns.ROSTER}'/>"


def said(client: XmppClient) -> list[str]:
    """The bodies of the messages that a client got, out of its inbox."""
    return [stanza.inner.decode()[6:-7] for stanza in client.take_stanzas('message')]


# ---- deliveries


def test_a_delivery_is_written_and_confirmed() -> None:
    site = Site()
    client = site.login()
    uid = site.deliver(client, message(1))
    assert uid in site.sm.confirmed
    (stanza,) = client.take_stanzas()
    assert stanza == message(1)
    assert site.network.metrics.value('jabberd_c2s_stanzas_sent', 'message') == 1


def test_the_same_over_real_encoding() -> None:
    site = Site(coded=True)
    client = site.login()
    site.deliver(client, message(1))
    client.send(chat(1))
    site.settle()
    assert said(client) == ['1'] and site.sm.numbers == [1]


def test_a_delivery_for_nobody_is_bounced() -> None:
    site = Site()
    uid = site.sm.send('c2s-1', b'x' * 16, message(1))
    site.settle()
    (bounce,) = site.sm.bounced
    assert (bounce.reason, bounce.uid, bounce.key) == (NO_SESSION, uid, b'x' * 16) and uid not in site.sm.confirmed


def test_a_delivery_that_comes_before_the_session_is_told_to_come_later() -> None:
    site = Site()
    site.sm.starts = False
    client = site.connect()
    site.run(client.open())
    site.run(client.authenticate())
    site.run(client.open())
    client.send(f"<iq type='set' id='b'><bind xmlns='{ns.BIND}'/></iq>")
    site.settle()
    stream = site.sm.said[0].uid[:16]
    site.sm.send('c2s-1', stream, message(1))
    site.settle()
    assert [bounce.reason for bounce in site.sm.bounced] == [BUSY]


def test_a_repeat_of_what_was_passed_on_is_confirmed_and_not_passed_on_again() -> None:
    site = Site()
    client = site.login()
    uid = site.deliver(client, message(1))
    site.sm.confirmed.clear()
    site.deliver(client, message(1), uid=uid, flags=REPEAT)
    assert site.sm.confirmed == [uid] and said(client) == ['1']
    site.deliver(client, message(2), flags=REPEAT)
    assert said(client) == ['2'], 'a repeat that never came is passed on'


def test_what_was_passed_on_is_remembered_for_minutes_and_then_let_go() -> None:
    site = Site(idle_timeout=0)
    client = site.login()
    uid = site.deliver(client, message(1))
    site.advance(290)
    site.deliver(client, message(1), uid=uid, flags=REPEAT)
    assert said(client) == ['1']
    site.advance(1000)
    session = site.session(client)
    assert session._passed_on is None and session._passed_on_before is None


def test_a_fan_out_reaches_each_and_names_the_sessions_that_are_not_here() -> None:
    site = Site()
    clients = [site.login('romeo', 'a'), site.login('romeo', 'b'), site.login('juliet', 'c')]
    targets = [(site.session(client).stream, client.jid) for client in clients]
    gone = b'g' * 16
    frame = Fanout(
        'c2s-1', 'sm-1', make_uid(b'u' * 16, 7), [*targets, (gone, 'x@y')],
        Stanza('presence', {'from': 'nurse@example.net/n'}, b'<show>away</show>'),
    )  # fmt: skip
    link = site.sm.links.pick('')
    assert link is not None
    for _ in range(2):  # a fan-out has no flag for a repeat
        link.fanout(frame)
        site.settle()
    assert site.sm.failed == [(frame.uid, gone)] * 2 and site.sm.confirmed.count(frame.uid) == 2
    for client in clients:
        (stanza,) = client.take_stanzas('presence')
        assert stanza.attrs == {'from': 'nurse@example.net/n', 'to': client.jid}
        assert stanza.inner == b'<show>away</show>'
    assert site.network.metrics.value('jabberd_c2s_stanzas_sent', 'presence') == 6


# ---- idle and slow clients


def test_an_idle_client_with_acks_is_probed_and_given_up() -> None:
    site = Site(idle_timeout=60, ack_timeout=30)
    client = site.login(acks=True)
    client.inbox.clear()
    site.advance(75)
    assert [getattr(event, 'name', '') for event in client.inbox] == ['r'], 'it answers, and stays'
    client.answers = False
    site.advance(150)
    assert client.error == 'connection-timeout'


def test_an_idle_client_without_acks_gets_a_space_now_and_then() -> None:
    site = Site(idle_timeout=60)
    client = site.login()
    got: list[bytes] = []
    client.dataReceived = got.append  # type: ignore[method-assign]
    site.advance(75)
    assert b''.join(got).strip() == b'' and got
    assert not client.error and not client.closed


def test_what_a_slow_client_does_not_read_is_confirmed_when_it_is_written() -> None:
    site = Site()
    client = site.login()
    client.transport.pauseProducing()  # type: ignore[union-attr]
    big = Stanza('message', {'type': 'chat'}, b'<body>' + b'x' * 40000 + b'</body>')
    uids = [site.deliver(client, big) for _ in range(4)]
    assert uids[1] in site.sm.confirmed and uids[2] not in site.sm.confirmed
    client.transport.resumeProducing()  # type: ignore[union-attr]
    site.settle()
    assert all(uid in site.sm.confirmed for uid in uids) and len(client.take_stanzas()) == 4


def test_a_slow_client_is_closed_at_the_bound_and_what_was_not_written_bounces() -> None:
    site = Site(outgoing_bytes=200000)
    client = site.login()
    other = site.login('juliet', 'j')
    client.transport.pauseProducing()  # type: ignore[union-attr]
    big = Stanza('message', {'type': 'chat'}, b'<body>' + b'x' * 40000 + b'</body>')
    stream = site.session(client).stream
    uids = [site.sm.send('c2s-1', stream, big) for _ in range(8)]
    site.settle()
    assert len(site.c2s.closing) == 1 and site.c2s.streams == 1
    confirmed = [uid for uid in uids if uid in site.sm.confirmed]
    assert confirmed == uids[:2]
    assert [bounce.uid for bounce in site.sm.bounced] == uids[2:]
    assert {bounce.reason for bounce in site.sm.bounced} == {NO_SESSION}
    site.advance(5)
    assert client.closed and not site.c2s.closing and not other.closed


def test_a_client_that_reads_nothing_for_long_is_given_up() -> None:
    site = Site(write_timeout=10)
    client = site.login()
    client.transport.pauseProducing()  # type: ignore[union-attr]
    for _ in range(3):
        site.deliver(client, Stanza('message', {'type': 'chat'}, b'<body>' + b'x' * 40000 + b'</body>'))
    site.advance(30)
    assert client.closed and not site.c2s.sessions


def test_the_parser_of_a_quiet_stream_is_dropped_and_of_a_busy_one_kept() -> None:
    site = Site()
    client = site.login()
    conn = site.session(client).conn
    client.send(chat(1))
    site.settle()
    assert conn.parser._expat is None
    for n in range(10):
        client.send(chat(n))
        site.settle()
    assert conn.parser._expat is not None
    site.advance(3)
    assert conn.parser._expat is None and site.c2s.hot == []
    client.send(chat(1))
    site.settle()
    assert site.sm.numbers == list(range(1, 13))


# ---- what the sm says


def test_the_sm_may_end_a_stream() -> None:
    site = Site()
    client = site.login()
    site.deliver(client, vocabulary.close('conflict', 'another one took the resource'))
    assert client.error == 'conflict' and b'another one took the resource' in client.error_xml
    assert site.sm.kinds() == ['start', 'end']


def test_a_condition_that_the_rfc_does_not_have_is_an_internal_error() -> None:
    site = Site()
    client = site.login()
    site.deliver(client, vocabulary.close('tired'))
    assert client.error == 'internal-server-error'


def test_status_tells_an_operator_where_sessions_are() -> None:
    site = Site()
    site.sm.confirms = False
    client = site.login()
    client.send(chat(1))
    site.settle()
    status = site.c2s.status()
    assert (status['streams'], status['pins'], status['unconfirmed']) == (1, {'sm-1': 1}, 1)
    client.drop()
    site.settle()
    status = site.c2s.status()
    assert (status['streams'], status['sessions_over'], status['unconfirmed']) == (0, 1, 2)


def test_counts_and_gauges() -> None:
    site = Site()
    site.sm.confirms = False
    client = site.login()
    client.send(chat(1) + '<presence/>' + f"<iq type='get' id='1'>{ROSTER}</iq>")
    site.settle()
    value = site.network.metrics.value
    assert [value('jabberd_c2s_stanzas_received', kind) for kind in ('message', 'presence', 'iq')] == [1, 1, 1]
    assert (value('jabberd_c2s_streams'), value('jabberd_c2s_unconfirmed')) == (1, 3)
    assert value('jabberd_c2s_login_seconds') == 1
