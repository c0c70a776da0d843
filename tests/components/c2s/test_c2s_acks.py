"""XEP-0198's acks, both ways, and what becomes of messages that are not acked."""

from __future__ import annotations

import pytest

from jabberd_tx.link import session as vocabulary
from jabberd_tx.link.frames import OLDER, REPEAT, RETURNED, Fanout, confirmation, make_uid, mark_of
from jabberd_tx.testing.client import Refused, XmppClient
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.stanza import Stanza
from tests.components.c2s.c2s_support import Site, chat, message

ROSTER = f"<query xmlns='{ns.ROSTER}'/>"


def said(client: XmppClient) -> list[str]:
    """The bodies of the messages that a client got, out of its inbox."""
    return [stanza.inner.decode()[6:-7] for stanza in client.take_stanzas('message')]


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


def test_the_server_asks_after_a_quiet_second_and_after_so_many_stanzas_or_bytes() -> None:
    """And for what came meanwhile when the next second begins."""
    site = Site(ack_every_stanzas=5, ack_every_bytes=2000)
    client = site.login(acks=True)
    client.inbox.clear()

    def asked() -> int:
        found = sum(1 for event in client.inbox if getattr(event, 'name', '') == 'r')
        client.inbox.clear()
        return found

    site.advance(2)
    asked()
    site.deliver(client, message(0))
    assert asked() == 1
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
    assert site.sm.said[1].payload == vocabulary.end(returns=True)
    assert {frame.epoch for frame in site.sm.frames} == {mark_of(stream)}
    assert len(site.c2s.returned) == 2 and len(site.c2s.sessions) == 1
    for frame in site.sm.withheld[:2]:
        assert site.sm.kinds() == ['start', 'end'], 'not before all of them are taken back'
        site.sm.confirm(frame)
        site.settle()
    assert site.sm.kinds() == ['start', 'end', 'returned'] and site.sm.said[2].uid == make_uid(stream, 2)
    site.sm.confirm()
    site.settle()
    assert not len(site.c2s.returned) and not site.c2s.sessions


def test_a_stream_that_ends_with_nothing_to_give_back_says_so() -> None:
    site = Site()
    client = site.login(acks=True)
    site.deliver(client, message(1))
    client.drop()
    site.settle()
    assert site.sm.kinds() == ['start', 'end'] and site.sm.said[1].payload == vocabulary.end()
    assert not site.c2s.sessions


def test_what_confirms_a_message_to_its_sender_does_not_release_the_copy_that_was_given_back() -> None:
    """Sender and recipient are at one c2s, and the message is confirmed twice, for it was repeated."""
    site = Site()
    romeo, juliet = site.login('romeo'), site.login('juliet', 'j', acks=True)
    juliet.answers = False
    site.sm.confirms = False
    romeo.send(chat(1, juliet.jid))
    site.settle()
    (sent,) = site.sm.frames
    stream = site.session(juliet).stream
    site.sm.send('c2s-1', stream, message(1, romeo.jid, juliet.jid), uid=sent.uid)
    site.settle()
    juliet.drop()
    site.settle()
    copy = next(frame for frame in site.sm.frames if frame.flags & RETURNED)
    assert copy.uid == sent.uid
    for _ in range(2):
        site.sm.links.confirm('c2s-1', sent.uid)
        site.settle()
    assert not site.session(romeo).unconfirmed and len(site.c2s.returned) == 1
    site.sm.links.confirm('c2s-1', confirmation(copy))
    site.settle()
    assert not len(site.c2s.returned)


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


def test_what_is_repeated_of_before_something_that_had_come_back_came_before_that() -> None:
    """To the user's client before: the sender's c2s has not heard of it, for the sm that knew is gone."""
    site = Site()
    client = site.login(acks=True)
    sender = b's' * 16

    def give(number: int, flags: int, stanza: Stanza | None = None) -> None:
        site.deliver(client, stanza or message(number), uid=make_uid(sender, number), flags=flags)

    give(18, REPEAT | OLDER)
    give(17, REPEAT | OLDER)
    for number in (1, 17, 18):
        give(number, REPEAT)
    assert said(client) == ['18', '17']
    give(19, 0)
    give(16, 0)
    give(20, REPEAT)
    give(5, REPEAT, Stanza('presence', {'from': 'juliet@example.net/j'}))
    assert said(client) == ['19', '16', '20'] and len(client.take_stanzas('presence')) == 1
    site.deliver(client, message(1), uid=make_uid(b't' * 16, 1), flags=REPEAT)
    assert said(client) == ['1'], 'of another stream nothing is said'
    assert len(site.sm.confirmed) == len(set(site.sm.confirmed)) + 2, 'all are confirmed, each as often as it came'
