"""Bound sessions: what clients may send and how it leaves, the window, deliveries, XEP-0198's acks, slow clients."""

from __future__ import annotations

import pytest

from jabberd_tx.link import session as vocabulary
from jabberd_tx.link.frames import BUSY, CLIENT, NO_SESSION, REPEAT, RETURNED, Fanout, make_uid
from jabberd_tx.testing.client import Refused, XmppClient
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.stanza import Stanza
from tests.components.c2s.c2s_support import Site, chat, message

ROSTER = f"<query xmlns='{ns.ROSTER}'/>"


def said(client: XmppClient) -> list[str]:
    """The bodies of the messages that a client got, out of its inbox."""
    return [stanza.inner.decode()[6:-7] for stanza in client.take_stanzas('message')]


# ---- from the client


def test_a_stanza_is_numbered_stamped_and_sent_to_the_pinned_node() -> None:
    site = Site()
    client = site.login()
    client.send(chat(1, 'Juliet@EXAMPLE.net/Balcony') + '<presence/>')
    site.settle()
    first, second = site.sm.frames
    stream = site.session(client).stream
    assert (first.uid, second.uid) == (make_uid(stream, 1), make_uid(stream, 2))
    assert (first.dest, first.key, first.source, first.flags) == ('sm-1', 'romeo@example.net', 'c2s-1', CLIENT)
    stanza = first.payload
    assert isinstance(stanza, Stanza)
    assert stanza.attrs['from'] == 'romeo@example.net/r' and stanza.attrs['to'] == 'juliet@example.net/Balcony'
    assert 'xml:lang' not in stanza.attrs
    assert 'to' not in second.payload.attrs  # type: ignore[union-attr]
    assert not site.session(client).unconfirmed


def test_the_language_of_the_stream_is_stamped_where_a_stanza_has_none() -> None:
    site = Site()
    client = site.connect()
    site.run(client.login('r', **{'xml:lang': 'de'}))
    client.send(chat(1) + chat(2).replace("type='chat'", "xml:lang='it'"))
    site.settle()
    assert [stanza.attrs['xml:lang'] for stanza in site.sm.stanzas] == ['de', 'it']


@pytest.mark.parametrize('sender', ['romeo@example.net', 'romeo@example.net/r', 'ROMEO@example.net/r'])
def test_a_client_may_name_itself_as_sender(sender: str) -> None:
    site = Site()
    client = site.login()
    client.send(f"<message from='{sender}' to='juliet@example.net'/>")
    site.settle()
    assert site.sm.stanzas[0].attrs['from'] == 'romeo@example.net/r'


@pytest.mark.parametrize('sender', ['juliet@example.net', 'romeo@example.net/other', 'example.net', 'a@b@c', ''])
def test_a_client_may_not_name_another_sender(sender: str) -> None:
    site = Site()
    client = site.login()
    client.send(f"<message from='{sender}' to='juliet@example.net'/>")
    site.settle()
    assert client.error == 'invalid-from' and not site.sm.frames


def test_an_address_that_is_none_is_answered_here_and_counts() -> None:
    site = Site()
    client = site.login(acks=True)
    client.send("<message id='1' to='a@b@c'><body>x</body></message><presence to='@' type='error'/>" + chat(3))
    client.ask()
    site.settle()
    (answer,) = client.take_stanzas()
    assert (answer.attrs['type'], answer.attrs['from'], answer.attrs['to'], answer.attrs['id']) == (
        'error', 'a@b@c', 'romeo@example.net/r', '1',
    )  # fmt: skip
    assert b'jid-malformed' in answer.inner and b'<body>x</body>' in answer.inner
    assert site.sm.numbers == [3] and client.acked == 3


@pytest.mark.parametrize('iq', ["<iq type='get'><q xmlns='x'/></iq>", "<iq id='1'/>", "<iq id='1' type='put'/>"])
def test_an_iq_without_id_or_type_is_answered_here(iq: str) -> None:
    site = Site()
    client = site.login()
    client.send(iq)
    answer = site.run(client.stanza('iq'))
    assert answer.attrs['type'] == 'error' and b'bad-request' in answer.inner and not site.sm.frames


def test_a_second_binding_is_not_allowed() -> None:
    site = Site()
    client = site.login()
    with pytest.raises(Refused, match='not-allowed'):
        site.run(client.bind('other'))
    assert site.c2s.streams == 1 and not client.error


def test_the_session_of_old_clients_is_granted_here() -> None:
    site = Site()
    client = site.login()
    answer = site.run(client.iq('set', 's', f"<session xmlns='{ns.SESSION}'/>"))
    assert answer.attrs['type'] == 'result' and not site.sm.frames


@pytest.mark.parametrize(
    'words, condition',
    [
        ("<active xmlns='urn:xmpp:csi:0'/>", 'unsupported-stanza-type'),
        ("<thing xmlns='urn:xmpp:sm:3'/>", 'unsupported-stanza-type'),
        ('<message>', ''),
        ('<message></iq>', 'not-well-formed'),
        ('<!-- x -->', 'restricted-xml'),
        ("<stream:stream to='x'/>", 'unsupported-stanza-type'),
        ('<message to="x"><body>' + 'x' * 300000, 'policy-violation'),
        ('<presence>' + '<a>' * 100, 'policy-violation'),
        ("<message xmlns='jabber:server'/>", 'invalid-namespace'),
    ],
)
def test_each_violation_of_a_session_has_its_error(words: str, condition: str) -> None:
    site = Site()
    client = site.login()
    client.send(words)
    site.settle()
    site.advance(5)
    assert client.error == condition
    assert client.closed == bool(condition)
    assert ('end' in site.sm.kinds()) == bool(condition)


def test_what_follows_a_violation_in_the_same_read_is_not_taken() -> None:
    site = Site()
    client = site.login()
    client.send(chat(1) + "<message from='x'/>" + chat(2))
    site.settle()
    assert client.error == 'invalid-from' and site.sm.numbers == [1]


# ---- the window


def test_a_client_has_at_most_63_stanzas_unconfirmed_and_goes_on_as_they_are_confirmed() -> None:
    site = Site()
    site.sm.confirms = False
    client = site.login()
    for n in range(1, 201):
        client.send(chat(n))
    site.settle()
    assert site.sm.numbers == list(range(1, 64))
    client.send(chat(201))
    site.settle()
    assert not client.transport.other.reading, 'nothing more is read'  # type: ignore[union-attr]
    site.sm.confirm(site.sm.withheld[1])
    site.settle()
    assert len(site.sm.frames) == 63, 'the span counts, not how many'
    site.sm.confirm(site.sm.withheld[0])
    site.settle()
    assert site.sm.numbers == list(range(1, 66))
    for _ in range(10):
        site.sm.confirm()
        site.settle()
    assert site.sm.numbers == list(range(1, 202)) and client.transport.other.reading  # type: ignore[union-attr]


def test_a_window_of_one_is_one_at_a_time() -> None:
    site = Site(window_stanzas=1)
    site.sm.confirms = False
    client = site.login()
    client.send(chat(1) + chat(2) + chat(3))
    site.settle()
    for n in (1, 2, 3):
        assert site.sm.numbers[-1] == n and len(site.sm.withheld) == 1
        site.sm.confirm()
        site.settle()


def test_large_stanzas_are_bounded_by_their_bytes() -> None:
    site = Site(window_bytes=262144)
    site.sm.confirms = False
    client = site.login()
    for _ in range(20):
        client.send("<message to='juliet@example.net'><body>" + 'x' * 50000 + '</body></message>')
    site.settle()
    assert len(site.sm.frames) == 5
    site.sm.confirm(site.sm.withheld[0])
    site.settle()
    assert len(site.sm.frames) == 6
    for _ in range(20):
        site.sm.confirm()
        site.settle()
    assert len(site.sm.frames) == 20


def test_attributes_count_too() -> None:
    site = Site(window_bytes=262144)
    site.sm.confirms = False
    client = site.login()
    for _ in range(10):
        client.send(f"<message to='juliet@example.net' id='{'x' * 100000}'/>")
    site.settle()
    assert len(site.sm.frames) == 3


def test_a_flood_of_stanzas_that_are_answered_here_keeps_to_the_window() -> None:
    site = Site()
    site.sm.confirms = False
    client = site.login()
    client.send(chat(1) + "<message to='@'/>" * 100 + chat(102))
    site.settle()
    assert site.sm.numbers == [1] and len(client.take_stanzas()) == 62
    site.sm.confirm()
    site.settle()
    assert site.sm.numbers == [1, 102] and len(client.take_stanzas()) == 38


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


# ---- acks


def test_h_counts_confirmed_stanzas_since_enable_and_is_told_at_once() -> None:
    site = Site()
    client = site.login()
    client.send(chat(1))
    site.settle()
    site.run(client.enable_acks())
    client.ask()
    site.settle()
    assert client.acked == 0
    client.send(chat(2) + chat(3))
    site.settle()
    client.ask()
    site.settle()
    assert client.acked == 2


def test_an_answer_that_fell_short_is_made_good_once_when_the_rest_is_confirmed() -> None:
    site = Site()
    site.sm.confirms = False
    client = site.login(acks=True)
    client.send(chat(1) + chat(2) + chat(3))
    client.ask()
    site.settle()
    assert client.acked == 0
    first, second, third = site.sm.withheld
    client.inbox.clear()
    site.sm.confirm(second)
    site.settle()
    assert client.inbox == []
    site.sm.confirm(first)
    site.settle()
    assert client.inbox == [], 'nothing is volunteered before the whole question is answered'
    site.sm.confirm(third)
    site.settle()
    (ack,) = client.inbox
    assert client.acked == 3
    client.send(chat(4))
    site.settle()
    site.sm.confirm()
    site.settle()
    assert client.acked == 3, 'nor without a question'


def test_h_is_contiguous() -> None:
    site = Site()
    site.sm.confirms = False
    client = site.login(acks=True)
    client.send(chat(1) + chat(2) + chat(3))
    site.settle()
    site.sm.confirm(site.sm.withheld[1])
    site.sm.confirm(site.sm.withheld[1])
    client.ask()
    site.settle()
    assert client.acked == 0


def test_acks_are_enabled_once() -> None:
    site = Site()
    client = site.login(acks=True)
    with pytest.raises(Refused, match='unexpected-request'):
        site.run(client.enable_acks())
    client.send(chat(1))
    client.ask()
    site.settle()
    assert client.acked == 1 and not client.error


@pytest.mark.parametrize('words', ['<r/>', "<a h='0'/>"])
def test_acks_that_were_not_enabled_are_refused(words: str) -> None:
    site = Site()
    client = site.login()
    client.send(words.replace('/>', f" xmlns='{ns.ACKS}'/>"))
    assert site.run(client.nonza('failed')).children[0].name == 'unexpected-request'


def test_resumption_is_not_implemented() -> None:
    site = Site()
    client = site.login()
    client.send(f"<enable xmlns='{ns.ACKS}' resume='true'/>")
    assert 'resume' not in site.run(client.nonza('enabled')).attrs
    client.send(f"<resume xmlns='{ns.ACKS}' h='1' previd='x'/>")
    assert site.run(client.nonza('failed')).children[0].name == 'feature-not-implemented'


def test_a_client_that_acks_too_much_is_told_so() -> None:
    site = Site()
    client = site.login(acks=True)
    site.deliver(client, message(1))
    client.send(f"<a xmlns='{ns.ACKS}' h='5'/>")
    site.settle()
    assert client.error == 'undefined-condition'
    assert b"<handled-count-too-high xmlns='urn:xmpp:sm:3' h='5' send-count='1'/>" in client.error_xml


def test_an_ack_without_a_number_ends_the_stream() -> None:
    site = Site()
    client = site.login(acks=True)
    client.send(f"<a xmlns='{ns.ACKS}'/>")
    site.settle()
    assert client.error == 'invalid-xml'


def test_the_server_asks_after_so_many_stanzas_or_bytes_and_when_it_is_quiet() -> None:
    site = Site(ack_every_stanzas=5, ack_every_bytes=2000)
    client = site.login(acks=True)
    client.inbox.clear()

    def asked() -> int:
        found = sum(1 for event in client.inbox if getattr(event, 'name', '') == 'r')
        client.inbox.clear()
        return found

    for n in range(4):
        site.deliver(client, message(n))
    assert asked() == 0
    site.deliver(client, message(4))
    assert asked() == 1
    site.deliver(client, Stanza('message', {'type': 'chat'}, b'<body>' + b'x' * 3000 + b'</body>'))
    assert asked() == 1
    site.deliver(client, message(5))
    assert asked() == 0
    site.advance(2)
    assert asked() == 1
    site.advance(10)
    assert asked() == 0
    assert not site.session(client).acks.unacked


def test_with_acks_a_delivery_is_confirmed_when_it_is_queued() -> None:
    site = Site()
    client = site.login(acks=True)
    client.transport.pauseProducing()  # type: ignore[union-attr]
    uid = site.deliver(client, message(1))
    assert uid in site.sm.confirmed


def test_messages_without_ack_go_back_when_the_stream_ends() -> None:
    site = Site()
    client = site.login(acks=True)
    client.answers = False
    uids = [site.deliver(client, message(n)) for n in range(1, 5)]
    site.deliver(client, Stanza('presence', {'from': 'juliet@example.net/j'}))
    client.send(f"<a xmlns='{ns.ACKS}' h='2'/>")
    site.settle()
    stream = site.session(client).stream
    site.sm.confirms = False
    client.drop()
    site.settle()
    assert [frame.uid for frame in site.sm.frames] == uids[2:]
    for frame, n in zip(site.sm.frames, (3, 4), strict=True):
        assert (frame.dest, frame.key, frame.flags) == ('example.net', 'romeo@example.net', RETURNED | REPEAT)
        assert frame.payload == message(n)
    assert site.sm.kinds() == ['start', 'end'] and site.sm.said[1].uid == make_uid(stream, 1)
    assert len(site.c2s.returned) == 2 and len(site.c2s.sessions) == 1
    site.sm.confirm()
    site.settle()
    assert not len(site.c2s.returned) and not site.c2s.sessions


def test_a_message_that_a_fan_out_brought_goes_back_with_its_address() -> None:
    site = Site()
    client = site.login(acks=True)
    client.answers = False
    link = site.sm.links.pick('')
    assert link is not None
    frame = Fanout(
        'c2s-1', 'sm-1', make_uid(b'u' * 16, 7), [(site.session(client).stream, client.jid)],
        message(1).with_attrs(to=None),
    )  # fmt: skip
    link.fanout(frame)
    site.settle()
    client.drop()
    site.settle()
    assert site.sm.stanzas == [message(1)]


def test_returned_messages_are_sent_again_until_an_sm_takes_them() -> None:
    site = Site()
    client = site.login(acks=True)
    client.answers = False
    site.deliver(client, message(1))
    site.sm.links.stop()
    site.settle()
    client.drop()
    site.settle()
    site.advance(20)
    assert len(site.c2s.returned) == 1
    other = site.add_sm('sm-9')
    site.settle()
    assert [frame.payload for frame in other.frames] == [message(1)]
    assert not len(site.c2s.returned)


def test_a_client_that_never_acks_is_closed_at_the_bound() -> None:
    site = Site(unacked_stanzas=20)
    client = site.login(acks=True)
    client.answers = False
    for n in range(21):
        site.deliver(client, message(n))
    assert client.error == 'resource-constraint'
    assert len(site.sm.frames) == 21, 'and everything goes back'


def test_a_client_that_does_not_answer_is_given_up() -> None:
    site = Site(ack_timeout=30)
    client = site.login(acks=True)
    client.answers = False
    site.deliver(client, message(1))
    site.advance(20)
    assert not client.error
    site.advance(40)
    assert client.error == 'connection-timeout' and site.sm.stanzas == [message(1)]


def test_a_closed_stream_is_acked_to_the_end() -> None:
    site = Site()
    client = site.login(acks=True)
    client.send(chat(1))
    site.settle()
    client.close()
    site.settle()
    assert client.acked == 1 and client.closed and not client.error
    assert site.sm.kinds() == ['start', 'end'] and not site.c2s.sessions and site.c2s.streams == 0


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
