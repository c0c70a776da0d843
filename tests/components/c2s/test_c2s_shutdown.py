"""Clean shutdown: what was accepted is settled, what clients did not ack goes back, and everybody is told."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from jabberd_tx.link.frames import RETURNED
from jabberd_tx.xmpp import ns
from tests.components.c2s.c2s_support import Site, chat, message


def stop(site: Site, seconds: float = 60) -> float:
    """Stop the c2s; how many seconds that took."""
    stopped = Deferred.fromCoroutine(site.c2s.stop())
    begun = site.clock.seconds()
    while not stopped.called and site.clock.seconds() < begun + seconds:
        site.advance(0.02)
    assert stopped.called
    return float(site.clock.seconds() - begun)


def test_idle_clients_are_told_and_leave_at_once() -> None:
    site = Site()
    clients = [site.login('romeo', f'r{n}', acks=n % 2 == 0) for n in range(6)]
    early = site.connect()
    site.settle()
    assert stop(site) < 0.5
    assert {client.error for client in [*clients, early]} == {'system-shutdown'}
    assert all(client.closed for client in clients)
    assert site.sm.drained == ['c2s-1'] and not site.sm.sessions
    assert not site.c2s.sessions and not [call for call in site.clock.getDelayedCalls() if call.active()]


def test_a_new_client_is_not_let_in() -> None:
    site = Site()
    site.login()
    site.sm.confirms = False
    stopped = Deferred.fromCoroutine(site.c2s.stop())
    site.advance(0.1)
    late = site.connect()
    site.settle()
    assert late.closed and not stopped.called


def test_what_was_taken_is_confirmed_before_clients_hear_the_last_h() -> None:
    site = Site()
    client = site.login(acks=True)
    site.sm.confirms = False
    client.send(chat(1) + chat(2))
    site.settle()
    stopped = Deferred.fromCoroutine(site.c2s.stop())
    site.advance(1)
    client.send(chat(3))
    site.advance(1)
    assert not client.error and not stopped.called
    site.sm.confirms = True
    site.sm.confirm()
    site.advance(1)
    assert site.sm.numbers == [1, 2], "what came later is still the client's"
    assert client.acked == 2 and client.error == 'system-shutdown' and stopped.called


def test_what_is_never_confirmed_is_not_waited_for_longer_than_drain_timeout() -> None:
    site = Site(drain_timeout=3)
    client = site.login(acks=True)
    site.sm.confirms = False
    client.send(chat(1))
    site.settle()
    assert 6 <= stop(site) < 8
    assert client.acked == 0 and client.error == 'system-shutdown'


def test_clients_are_asked_for_their_acks_and_only_the_rest_goes_back() -> None:
    site = Site()
    answers, silent = site.login('romeo', 'a', acks=True), site.login('juliet', 'b', acks=True)
    silent.answers = False
    for client in (answers, silent):
        site.deliver(client, message(1, to=client.jid))
        site.deliver(client, message(2, to=client.jid))
    silent.send(f"<a xmlns='{ns.ACKS}' h='1'/>")
    site.settle()
    took = stop(site)
    assert 1.0 <= took < 1.5
    (frame,) = site.sm.frames
    assert frame.flags & RETURNED and frame.key == 'juliet@example.net'
    assert frame.payload == message(2, to=silent.jid)


def test_an_ack_that_was_sent_while_the_client_was_held_counts() -> None:
    site = Site()
    client = site.login(acks=True)
    client.answers = False
    site.sm.confirms = False
    site.deliver(client, message(1))
    client.send(chat(1))
    site.settle()
    stopped = Deferred.fromCoroutine(site.c2s.stop())
    site.advance(0.1)
    client.send(chat(2) + f"<a xmlns='{ns.ACKS}' h='1'/>")
    site.advance(0.1)
    site.sm.confirms = True
    site.sm.confirm()
    site.advance(1)
    assert stopped.called and site.sm.numbers == [1] and client.acked == 1


def test_a_delivery_in_the_last_moment_reaches_the_client_or_bounces_or_comes_back() -> None:
    site = Site()
    client = site.login(acks=True)
    client.answers = False
    site.deliver(client, message(1))
    stopped = Deferred.fromCoroutine(site.c2s.stop())
    site.advance(0.5)
    stream = site.session(client).stream
    early = site.sm.send('c2s-1', stream, message(2))
    site.advance(0.7)
    late = site.sm.send('c2s-1', stream, message(3))
    site.advance(1)
    assert stopped.called
    assert [frame.payload for frame in site.sm.frames] == [message(1), message(2)]
    assert early in site.sm.confirmed
    assert [bounce.uid for bounce in site.sm.bounced] == [late]


def test_a_client_that_reads_nothing_does_not_hold_up_the_others() -> None:
    site = Site(close_timeout=2)
    stuck, fine = site.login('romeo', 'a'), site.login('juliet', 'b')
    stuck.transport.pauseProducing()  # type: ignore[union-attr]
    assert stop(site) < 5
    assert fine.error == 'system-shutdown' and stuck.closed


def test_with_another_host_clients_are_sent_there() -> None:
    site = Site()
    client = site.login()
    site.c2s.options.see_other_host = 'chat2.example.net'
    stop(site)
    assert client.error == 'see-other-host' and b'>chat2.example.net<' in client.error_xml


def test_a_login_under_way_ends_and_its_session_with_it() -> None:
    site = Site()
    site.sm.starts = False
    client = site.connect()
    site.run(client.open())
    site.run(client.authenticate())
    site.run(client.open())
    client.send(f"<iq type='set' id='b'><bind xmlns='{ns.BIND}'/></iq>")
    site.settle()
    stopped = Deferred.fromCoroutine(site.c2s.stop())
    site.advance(0.1)
    assert client.error == 'system-shutdown'
    site.sm.take(site.sm.said[0])
    site.advance(0.1)
    assert stopped.called and not site.sm.sessions


def test_an_sm_that_dies_meanwhile_is_replaced_as_ever() -> None:
    site = Site(sms=2)
    client = site.login(acks=True)
    for sm in site.sms:
        sm.confirms = False
    client.send(chat(1))
    site.settle()
    first = next(sm for sm in site.sms if sm.frames)
    second = next(sm for sm in site.sms if not sm.frames)
    stopped = Deferred.fromCoroutine(site.c2s.stop())
    site.advance(0.5)
    second.confirms = True
    first.links.stop()
    site.advance(1)
    assert stopped.called and second.numbers == [1] and client.acked == 1
    assert second.kinds() == ['attach', 'end']


def test_a_client_that_leaves_meanwhile_is_not_waited_for() -> None:
    site = Site(close_timeout=30)
    client, other = site.login(acks=True), site.login('juliet', 'j', acks=True)
    other.answers = False
    site.deliver(other, message(1))
    site.sm.confirms = False
    stopped = Deferred.fromCoroutine(site.c2s.stop())
    site.advance(1.5)
    client.drop()
    site.advance(0.5)
    site.sm.confirms = True
    site.sm.confirm()
    site.advance(0.5)
    assert stopped.called and other.error == 'system-shutdown'


def test_a_message_for_a_stream_that_has_ended_bounces() -> None:
    """Also while what went back before it is not confirmed: the sm waits for the one and decides about the other."""
    site = Site()
    client = site.login(acks=True)
    client.answers = False
    site.sm.confirms = False
    site.deliver(client, message(1))
    stream = site.session(client).stream
    client.drop()
    site.settle()
    late = site.sm.send('c2s-1', stream, message(2))
    site.settle()
    assert late not in site.sm.confirmed
    assert [bounce.uid for bounce in site.sm.bounced] == [late]
    assert [stanza for stanza in site.sm.stanzas if stanza.name == 'message'] == [message(1)]
