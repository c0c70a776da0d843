"""A client that loses its connection, comes back and goes on where it was (XEP-0198 §5)."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from jabberd_tx.link import session as vocabulary
from jabberd_tx.link.frames import REPEAT, RETURNED
from jabberd_tx.testing.client import Refused, XmppClient
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.stanza import Stanza
from tests.components.c2s.c2s_support import Site, chat, message
from tests.components.c2s.test_c2s_acks import said


def resumable(site: Site, user: str = 'romeo', **attrs: str) -> XmppClient:
    """A client that may resume its stream."""
    client = site.login(user)
    site.run(client.enable_acks(resume=True, **attrs))
    return client


def back(site: Site, client: XmppClient, user: str = 'romeo', h: int | None = None, previd: str = '') -> XmppClient:
    """The client once more, on a new connection, after its wish to resume, granted or not yet; Refused."""
    again = site.connect(user)
    wish = Deferred.fromCoroutine(again.login_to_resume(client, h=h, previd=previd))
    failures: list[Failure] = []
    wish.addErrback(failures.append)
    site.settle()
    if failures:
        failures[0].raiseException()
    return again


def test_a_stream_that_may_be_resumed_has_an_id_and_says_for_how_long() -> None:
    site = Site(resume_timeout=100, resume_location='c1.example.net:5222')
    ids = set()
    for wanted, seconds in (('', '100'), ('20', '20'), ('5000', '100'), ('x', '100')):
        client = resumable(site, max=wanted)
        assert client.enabled is not None
        assert client.enabled.attrs['max'] == seconds and client.enabled.attrs['resume'] == 'true'
        assert client.enabled.attrs['location'] == 'c1.example.net:5222'
        ids.add(client.resume_id)
    assert len(ids) == 4 and all(len(id) == 32 for id in ids)


@pytest.mark.parametrize(('resume', 'timeout'), [('false', 300), ('true', 0)])
def test_without_the_wish_or_the_option_there_is_no_id(resume: str, timeout: int) -> None:
    site = Site(resume_timeout=timeout)
    client = site.login()
    client.send(f"<enable xmlns='{ns.ACKS}' resume='{resume}'/>")
    assert site.run(client.nonza('enabled')).attrs == {}
    client.drop()
    site.settle()
    assert not site.c2s.sessions


def test_what_came_while_the_client_was_away_follows_the_resumption_in_order() -> None:
    site = Site()
    client = resumable(site)
    client.answers = False
    site.deliver(client, message(1))
    client.drop()
    site.settle()
    assert site.c2s.status()['away'] == 1 and site.sm.kinds() == ['start']
    stream = site.session(client).stream
    uid = site.deliver(client, message(2))
    site.deliver(client, Stanza('presence', {'from': 'juliet@example.net/j'}))
    assert uid in site.sm.confirmed
    again = back(site, client, h=0)
    assert again.resumed is not None and again.resumed.attrs == {'previd': client.resume_id, 'h': '0'}
    assert [stanza.name for stanza in again.stanzas] == ['message', 'message', 'presence']
    assert said(again) == ['1', '2']
    assert site.session(again).stream == stream and site.c2s.streams == 1
    site.deliver(again, message(3))
    assert said(again) == ['3']
    site.advance(2)
    assert not site.session(again).acks.unacked and site.c2s.status()['away'] == 0
    assert site.sm.kinds() == ['start'], 'the sm has noticed nothing'
    assert site.c2s.measures.resumptions.here == 1


def test_what_the_client_has_is_not_sent_again() -> None:
    site = Site()
    client = resumable(site)
    client.answers = False
    for n in range(1, 5):
        site.deliver(client, message(n))
    client.drop()
    site.settle()
    again = back(site, client, h=3)
    assert said(again) == ['4']


def test_the_count_of_what_the_client_sent_goes_on() -> None:
    site = Site()
    client = site.login()
    client.send(chat(0))
    site.settle()
    site.run(client.enable_acks(resume=True))
    client.send(chat(1) + chat(2))
    site.settle()
    client.drop()
    site.settle()
    again = back(site, client)
    assert again.resumed is not None and again.resumed.attrs['h'] == '2'
    again.send(chat(3))
    again.ask()
    site.settle()
    assert again.acked == 3
    assert site.sm.numbers == [1, 2, 3, 4]


def test_a_resumption_waits_until_what_was_taken_is_confirmed() -> None:
    """Else the client would send it again, as something new."""
    site = Site()
    client = resumable(site)
    site.sm.confirms = False
    client.send(chat(1) + chat(2))
    site.settle()
    client.drop()
    site.settle()
    again = back(site, client, h=0)
    assert again.resumed is None
    site.sm.confirm()
    site.settle()
    assert again.resumed is not None and again.resumed.attrs['h'] == '2'


def test_but_not_for_long_and_then_counts_it() -> None:
    """And h never falls behind what was said once."""
    site = Site()
    client = resumable(site)
    site.sm.confirms = False
    client.send(chat(1) + chat(2))
    site.settle()
    client.drop()
    site.settle()
    again = back(site, client, h=0)
    site.advance(6)
    assert again.resumed is not None and again.resumed.attrs['h'] == '2'
    again.ask()
    site.settle()
    assert again.acked == 2
    site.sm.confirm()
    again.send(chat(3))
    site.settle()
    site.sm.confirm()
    again.ask()
    site.settle()
    assert again.acked == 3 and site.sm.numbers == [1, 2, 3]


def test_a_second_connection_takes_the_wait_over() -> None:
    site = Site()
    client = resumable(site)
    site.sm.confirms = False
    client.send(chat(1))
    site.settle()
    first = back(site, client, h=0)
    second = back(site, client, h=0)
    assert client.error == 'conflict'
    site.sm.confirm()
    site.settle()
    assert first.resumed is None and first.refusal == 'conflict'
    assert second.resumed is not None


def test_a_live_connection_is_taken_over() -> None:
    site = Site()
    client = resumable(site)
    client.answers = False
    site.deliver(client, message(1))
    again = back(site, client, h=0)
    assert client.error == 'conflict' and said(again) == ['1']
    client.drop()
    site.settle()
    site.deliver(again, message(2))
    assert said(again) == ['2'] and site.sm.kinds() == ['start']


def test_a_client_that_does_not_answer_may_come_back() -> None:
    site = Site(ack_timeout=30)
    client = resumable(site)
    client.answers = False
    site.deliver(client, message(1))
    site.advance(60)
    assert client.error == 'connection-timeout' and site.sm.stanzas == []
    again = back(site, client, h=0)
    assert said(again) == ['1']


def test_a_client_that_does_not_read_may_come_back() -> None:
    site = Site(write_timeout=30)
    client = resumable(site)
    client.transport.pauseProducing()  # type: ignore[union-attr]
    big = Stanza.build('message', {'type': 'chat'}, ('jabber:client', 'body', b'<body>%b</body>' % (b'x' * 100_000)))
    for _ in range(5):
        site.deliver(client, big)
    site.advance(60)
    assert client.closed and site.c2s.status()['away'] == 1
    again = back(site, client, h=0)
    assert len(again.take_stanzas('message')) == 5


def test_a_client_that_does_not_come_back_in_time_is_gone_and_its_messages_return_once() -> None:
    site = Site()
    client = resumable(site, max='60')
    client.answers = False
    uids = [site.deliver(client, message(1))]
    client.drop()
    site.settle()
    uids.append(site.deliver(client, message(2)))
    site.deliver(client, Stanza('presence', {'from': 'juliet@example.net/j'}))
    site.advance(55)
    assert site.sm.frames == []
    site.advance(10)
    assert [frame.uid for frame in site.sm.frames] == uids
    assert all(frame.flags == RETURNED | REPEAT for frame in site.sm.frames)
    assert site.sm.kinds() == ['start', 'end', 'returned'] and not site.c2s.sessions and site.c2s.streams == 0
    with pytest.raises(Refused, match='item-not-found'):
        back(site, client, h=1)
    assert site.c2s.measures.resumptions.failed == 1


def test_a_stream_that_is_over_is_remembered_with_its_h() -> None:
    site = Site()
    client = resumable(site, max='10')
    client.send(chat(1) + chat(2))
    client.drop()
    site.advance(20)
    again = site.connect()
    with pytest.raises(Refused, match='item-not-found'):
        site.run(again.login_to_resume(client))
    assert again.failed is not None and again.failed.attrs['h'] == '2'
    assert site.run(again.bind('new')) == 'romeo@example.net/new', 'and a resource may be bound'


def test_requests_to_a_client_that_does_not_come_back_are_answered_with_errors() -> None:
    site = Site()
    client = resumable(site, max='10')
    client.drop()
    site.settle()
    asked = Stanza.build(
        'iq', {'type': 'get', 'id': 'q', 'from': 'juliet@example.net/j', 'to': client.jid},
        (ns.PING, 'ping', b"<ping xmlns='urn:xmpp:ping'/>"),
    )  # fmt: skip
    site.deliver(client, asked)
    push = Stanza('iq', {'type': 'set', 'id': 'p', 'to': client.jid})
    site.deliver(client, push)
    site.deliver(client, Stanza('iq', {'type': 'result', 'id': 'r', 'from': 'juliet@example.net/j', 'to': client.jid}))
    site.advance(20)
    (error,) = site.sm.stanzas
    assert error.attrs == {'type': 'error', 'id': 'q', 'to': 'juliet@example.net/j', 'from': client.jid}
    assert b'service-unavailable' in error.inner


def test_a_stream_that_was_closed_is_not_resumed() -> None:
    site = Site()
    client = resumable(site)
    client.close()
    site.settle()
    assert site.sm.kinds() == ['start', 'end'] and not site.c2s.sessions
    with pytest.raises(Refused, match='item-not-found'):
        back(site, client)


def test_only_its_own_user_resumes_a_stream_and_only_with_the_whole_id() -> None:
    site = Site()
    client = resumable(site)
    for user, previd in (
        ('juliet', client.resume_id),
        ('romeo', client.resume_id[:-4] + 'AAAA'),
        ('romeo', 'x'),
        ('romeo', 'A' * 32),
    ):
        again = site.connect(user)
        with pytest.raises(Refused, match='item-not-found'):
            site.run(again.login_to_resume(client, previd=previd))
        assert again.failed is not None and 'h' not in again.failed.attrs
    site.deliver(client, message(1))
    assert said(client) == ['1'], 'which goes on'


@pytest.mark.parametrize('h', ['', 'x', '-1', '4294967296'])
def test_a_resumption_needs_a_count(h: str) -> None:
    site = Site()
    client = resumable(site)
    again = site.connect()
    with pytest.raises(Refused, match='bad-request'):
        site.run(again.login_to_resume(client, attrs=f"previd='{client.resume_id}' h='{h}'"))


def test_a_client_that_claims_more_than_it_was_sent_is_told_so_and_its_session_waits() -> None:
    site = Site()
    client = resumable(site)
    site.deliver(client, message(1))
    client.drop()
    site.settle()
    again = site.connect()
    with pytest.raises(Refused):
        site.run(again.login_to_resume(client, h=7))
    assert again.error == 'undefined-condition'
    assert b"<handled-count-too-high xmlns='urn:xmpp:sm:3' h='7' send-count='1'/>" in again.error_xml
    assert back(site, client, h=1).resumed is not None


def test_a_client_that_has_forgotten_what_it_acked_is_refused() -> None:
    site = Site()
    client = resumable(site)
    site.deliver(client, message(1))
    client.drop()
    site.settle()
    with pytest.raises(Refused, match='bad-request'):
        back(site, client, h=0)


def test_a_bound_stream_resumes_nothing() -> None:
    site = Site()
    client = resumable(site)
    other = site.login(resource='s')
    other.send(f"<resume xmlns='{ns.ACKS}' h='0' previd='{client.resume_id}'/>")
    assert site.run(other.nonza('failed')).children[0].name == 'unexpected-request'


def test_what_waits_for_a_client_that_is_away_is_bounded() -> None:
    site = Site(unacked_stanzas=20)
    client = resumable(site)
    client.drop()
    site.settle()
    stream = site.session(client).stream
    for n in range(21):
        site.sm.send('c2s-1', stream, message(n))
    site.settle()
    assert len(site.sm.frames) == 21 and site.sm.kinds() == ['start', 'end', 'returned']


def test_the_one_that_was_away_longest_goes_first() -> None:
    site = Site(away_sessions=2)
    clients = []
    for n in range(3):
        client = site.login(resource=f'r{n}')
        site.run(client.enable_acks(resume=True))
        clients.append(client)
    for client in clients:
        client.drop()
        site.settle()
    assert [session.jid for session in site.c2s.resumable.away] == [clients[1].jid, clients[2].jid]
    assert len(site.c2s.sessions) == 2


def test_the_sm_may_end_a_session_whose_client_is_away() -> None:
    site = Site()
    client = resumable(site)
    client.drop()
    site.settle()
    site.deliver(client, message(1))
    site.deliver(client, vocabulary.close('conflict'))
    assert site.sm.stanzas == [message(1)] and site.sm.kinds() == ['start', 'end', 'returned']
    assert not site.c2s.resumable.by_key


def test_a_resumption_under_way_ends_with_its_connection() -> None:
    site = Site()
    client = resumable(site)
    site.sm.confirms = False
    client.send(chat(1))
    site.settle()
    first = back(site, client, h=0)
    first.drop()
    site.settle()
    site.sm.confirm()
    site.settle()
    assert back(site, client, h=0).resumed is not None


def test_a_session_that_is_away_follows_when_its_sm_goes() -> None:
    """It is attached to another one, and what was not confirmed is sent again."""
    site = Site(sms=2)
    client = resumable(site)
    first = next(sm for sm in site.sms if sm.sessions)
    other = next(sm for sm in site.sms if sm is not first)
    first.confirms = False
    client.send(chat(1))
    site.settle()
    client.drop()
    site.settle()
    first.links.stop()
    site.settle()
    assert other.numbers == [1]
    again = back(site, client)
    site.deliver(again, message(5), other)
    assert said(again) == ['5']


def test_a_full_window_holds_the_new_connection() -> None:
    site = Site(window_stanzas=4)
    client = resumable(site)
    site.sm.confirms = False
    client.send(''.join(chat(n) for n in range(9)))
    site.settle()
    taken = len(site.sm.frames)
    client.drop()
    site.settle()
    again = back(site, client, h=0)
    site.advance(6)
    assert again.resumed is not None and again.resumed.attrs['h'] == str(taken)
    again.send(chat(50))
    site.settle()
    assert len(site.sm.frames) == taken
    site.sm.confirm()
    site.settle()
    assert len(site.sm.frames) == taken + 1


def test_at_shutdown_messages_of_clients_that_are_away_return_too() -> None:
    site = Site()
    client = resumable(site)
    client.drop()
    site.settle()
    site.deliver(client, message(1))
    done = Deferred.fromCoroutine(site.c2s.stop())
    site.advance(1)
    assert done.called and site.sm.stanzas == [message(1)] and site.sm.kinds() == ['start', 'end', 'returned']


def away_bytes(site: Site) -> int:
    return site.c2s.resumable.away_bytes


def test_what_waits_for_all_that_are_away_is_bounded_and_who_was_away_longest_goes() -> None:
    site = Site(away_bytes=1 << 20)
    clients = [site.login(resource=f'r{n}') for n in range(3)]
    for client in clients:
        site.run(client.enable_acks(resume=True))
    streams = [site.session(client).stream for client in clients]
    for client in clients:
        client.drop()
        site.settle()
    attrs = {'from': 'juliet@example.net/j', 'to': 'romeo@example.net/r', 'id': 'long'}
    long = Stanza.build('message', attrs, (ns.CLIENT, 'body', b'<body>%b</body>' % (b'x' * 400_000)))
    for stream in streams[1:]:
        site.sm.send('c2s-1', stream, long)
    site.settle()
    assert len(site.c2s.resumable.away) == 3 and 800_000 < away_bytes(site) < 801_000
    site.sm.send('c2s-1', streams[2], long)
    site.settle()
    ended = [stream for stream in streams if stream not in site.c2s.sessions]
    assert ended == streams[:2], 'the first had nothing, so the second had to go as well'
    assert 800_000 < away_bytes(site) < 801_000
    assert site.c2s.limited.counts.away_bytes == 2


def test_who_comes_back_or_goes_takes_what_waited_for_it_along() -> None:
    site = Site()
    first, second = resumable(site), resumable(site, 'juliet')
    for client in (first, second):
        stream = site.session(client).stream
        client.drop()
        site.settle()
        site.sm.send('c2s-1', stream, message(1))
        site.settle()
    assert away_bytes(site) > 0
    back(site, first)
    site.settle()
    site.advance(301)
    assert not site.c2s.resumable.away and away_bytes(site) == 0
