"""A user's other clients get copies of messages (XEP-0280)."""

from __future__ import annotations

import pytest

from jabberd_tx.components.sm.modules.carbons import copy_uid
from jabberd_tx.link.frames import CLIENT, REPEAT
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.payloads.carbons import RECEIVED, SENT, is_eligible
from jabberd_tx.xmpp.stanza import Stanza
from tests.components.sm.sm_support import DOMAIN, Client, Site, parse_stanza

JULIET, ROMEO = f'juliet@{DOMAIN}', f'romeo@{DOMAIN}'
ENABLE, DISABLE = (f"<iq type='set' id='c'><{what} xmlns='urn:xmpp:carbons:2'/></iq>" for what in ('enable', 'disable'))


class Couple:
    """Romeo with two clients, Juliet with three; all but the last of hers want copies."""

    def __init__(self, **options: object) -> None:
        self.site = Site(**options)  # type: ignore[arg-type]
        self.c2s = self.site.c2s()
        self.desk = enabled(self.c2s.client('romeo', 'desk'))
        self.walk = enabled(self.c2s.client('romeo', 'walk'))
        there = self.site.c2s('c2s-2')
        self.phone = enabled(there.client('juliet', 'phone'))
        self.tablet = enabled(there.client('juliet', 'tablet'))
        self.old = there.client('juliet', 'old')
        for client in self.all:
            client.take()

    @property
    def all(self) -> list[Client]:
        return [self.desk, self.walk, self.phone, self.tablet, self.old]

    def what_came(self) -> list[str]:
        """Of each in order: '', the ids of messages, 'sent:id' and 'received:id' of copies."""
        self.site.quiet()
        return [' '.join([note(stanza) for stanza in client.take() if stanza.name == 'message']) for client in self.all]


def enabled(client: Client) -> Client:
    client.send(ENABLE)
    client.node.site.settle()
    assert [stanza.attrs['type'] for stanza in client.take() if stanza.name == 'iq'] == ['result']
    return client


def note(stanza: Stanza) -> str:
    """What a message is, for people."""
    for direction in (SENT, RECEIVED):
        if stanza.child(ns.CARBONS, direction) is not None:
            return f'{direction}:{forwarded(stanza).attrs.get("id", "")}'
    error = 'error:' if stanza.attrs.get('type') == 'error' else ''
    return error + stanza.attrs.get('id', '')


def forwarded(copy: Stanza) -> Stanza:
    """The message in a copy, as a client would read it."""
    (wrapper,) = copy.element.elements()
    (holder,) = wrapper.elements(ns.FORWARD, 'forwarded')
    (message,) = holder.elements(ns.CLIENT, 'message')
    return parse_stanza(message.toXml())


def test_a_message_to_one_client_is_copied_to_the_others_that_want_it() -> None:
    couple = Couple()
    couple.desk.chat(couple.phone.jid, 'hi')
    assert couple.what_came() == ['', 'sent:hi', 'hi', 'received:hi', '']


def test_a_message_to_the_bare_jid_is_not_copied_to_those_who_get_it_anyway() -> None:
    couple = Couple()
    couple.desk.chat(JULIET, 'hi')
    assert couple.what_came() == ['', 'sent:hi', 'hi', 'hi', 'hi']


def test_a_copy_is_from_the_bare_jid_to_the_full_one_of_the_same_type_around_the_whole_original() -> None:
    couple = Couple()
    couple.desk.send(
        f"<message to='{couple.phone.jid}' type='chat' id='m'><body>a &lt; b</body><x xmlns='u:x'/></message>"
    )
    couple.site.quiet()
    (copy,) = [stanza for stanza in couple.tablet.take() if stanza.name == 'message']
    assert copy.attrs == {'from': JULIET, 'to': couple.tablet.jid, 'type': 'chat'}
    original = forwarded(copy)
    assert original.attrs == {'from': couple.desk.jid, 'to': couple.phone.jid, 'type': 'chat', 'id': 'm'}
    assert original.inner == b"<body>a &lt; b</body><x xmlns='u:x'/>"
    (copy,) = [stanza for stanza in couple.walk.take() if stanza.name == 'message']
    assert copy.attrs == {'from': ROMEO, 'to': couple.walk.jid, 'type': 'chat'}


def test_who_is_not_online_gets_none_and_the_senders_clients_do() -> None:
    couple = Couple()
    couple.desk.chat(f'nurse@{DOMAIN}', 'hi')
    assert couple.what_came() == ['', 'sent:hi', '', '', '']


def test_a_client_of_negative_priority_gets_copies_of_what_the_others_get_or_nobody_gets() -> None:
    couple = Couple()
    couple.tablet.come(-1)
    couple.site.quiet()
    for client in couple.all:
        client.take()
    couple.desk.chat(JULIET, 'hi')
    assert couple.what_came() == ['', 'sent:hi', 'hi', 'received:hi', 'hi']
    for client in (couple.phone, couple.old):
        client.leave()
    couple.site.quiet()
    couple.tablet.take()
    couple.desk.chat(JULIET, 'ho')
    assert couple.what_came()[3] == 'received:ho'


def test_messages_to_oneself_are_copied_once() -> None:
    couple = Couple()
    third = enabled(couple.c2s.client('romeo', 'third'))
    for client in couple.all:
        client.take()
    couple.desk.chat(couple.walk.jid, 'memo')
    assert couple.what_came() == ['', 'memo', '', '', '']
    assert [note(stanza) for stanza in third.take()] == ['sent:memo']


def test_it_is_switched_off_again_and_both_any_number_of_times() -> None:
    couple = Couple()
    for what in (ENABLE, DISABLE, DISABLE):
        couple.tablet.send(what)
        couple.site.settle()
        assert [stanza.attrs['type'] for stanza in couple.tablet.take()] == ['result']
    couple.desk.chat(couple.phone.jid, 'hi')
    assert couple.what_came() == ['', 'sent:hi', 'hi', '', '']


def test_nobody_switches_it_for_somebody_else() -> None:
    couple = Couple()
    for what in ('enable', 'disable'):
        couple.desk.send(f"<iq type='set' id='x' to='{JULIET}'><{what} xmlns='urn:xmpp:carbons:2'/></iq>")
    couple.site.quiet()
    for answer in couple.desk.take():
        assert answer.attrs['type'] == 'error'
        assert next(answer.element.elements(ns.CLIENT, 'error')).firstChildElement().name == 'not-allowed'


BODY = '<body>b</body>'
INVITATION = "<x xmlns='http://jabber.org/protocol/muc#user'><invite to='juliet@example.net'/></x>"
IN_ROOM = "<x xmlns='http://jabber.org/protocol/muc#user'/>"


@pytest.mark.parametrize(
    ('kind', 'sender', 'content', 'sent', 'received'),
    [
        ('chat', 'a@x/r', BODY, True, True),
        ('chat', 'a@x/r', "<x xmlns='u:any'/>", True, True),
        ('normal', 'a@x/r', BODY, True, True),
        (None, 'a@x/r', BODY, True, True),
        (None, 'a@x/r', "<x xmlns='u:any'/>", False, False),
        (None, 'a@x/r', '<subject>s</subject>', False, False),
        (None, 'a@x/r', "<received xmlns='urn:xmpp:receipts' id='m'/>", True, True),
        (None, 'a@x/r', "<active xmlns='http://jabber.org/protocol/chatstates'/>", True, True),
        (None, 'a@x/r', "<displayed xmlns='urn:xmpp:chat-markers:0' id='m'/>", True, True),
        (None, 'a@x/r', "<x xmlns='jabber:x:conference' jid='room@muc.x'/>", True, True),
        (None, 'room@muc.x', INVITATION, True, True),
        ('chat', 'room@muc.x/nick', BODY + IN_ROOM, True, False),
        ('groupchat', 'room@muc.x/nick', BODY, False, False),
        ('headline', 'a@x/r', BODY, False, False),
        ('error', 'a@x/r', BODY + "<error type='cancel'/>", True, True),
        ('error', 'a@x/r', "<error type='cancel'/>", False, False),
        ('chat', 'a@x/r', BODY + "<private xmlns='urn:xmpp:carbons:2'/>", False, False),
        ('chat', 'a@x/r', BODY + "<no-copy xmlns='urn:xmpp:hints'/>", False, False),
        ('chat', 'a@x', "<received xmlns='urn:xmpp:carbons:2'/>", False, False),
    ],
)
def test_which_messages_are_copied(kind: str | None, sender: str, content: str, sent: bool, received: bool) -> None:
    """The rules of §6.1, and the exceptions of §9 and §6.1.1."""
    stanza = parse_stanza(f'<message>{content}</message>').with_attrs(type=kind, from_=sender)
    assert (is_eligible(stanza, SENT), is_eligible(stanza, RECEIVED)) == (sent, received)


def test_a_private_message_goes_to_its_recipient_alone_and_keeps_its_mark() -> None:
    couple = Couple()
    couple.desk.send(
        f"<message to='{couple.phone.jid}' type='chat' id='p'>{BODY}<private xmlns='urn:xmpp:carbons:2'/></message>"
    )
    assert couple.what_came() == ['', '', 'p', '', '']


def test_no_copy_means_nothing_while_the_server_knows_no_hints() -> None:
    off = {'modules.hints': _off('hints')}
    couple = Couple(modules=off)
    couple.desk.send(
        f"<message to='{couple.phone.jid}' type='chat' id='p'>{BODY}<no-copy xmlns='urn:xmpp:hints'/></message>"
    )
    assert couple.what_came() == ['', 'sent:p', 'p', 'received:p', '']


def _off(name: str) -> object:
    from jabberd_tx.components.sm.finding import found

    values = found()[name].section().defaults()
    values.enabled = False
    return values


def test_it_is_advertised_while_it_is_on() -> None:
    for modules, there in (({}, True), ({'modules.carbons': _off('carbons')}, False)):
        site = Site(modules=modules)
        client = site.c2s().client('romeo')
        for to in (DOMAIN, ROMEO):
            client.send(f"<iq type='get' id='d' to='{to}'><query xmlns='{ns.DISCO_INFO}'/></iq>")
        client.send(ENABLE)
        site.quiet()
        answers = client.xml()
        assert [ns.CARBONS in answer for answer in answers[:2]] == [there, there]
        assert ("type='result'" in answers[2]) is there


# ---- order, repeats, losses


def test_copies_and_originals_for_one_client_keep_their_order() -> None:
    couple = Couple()
    for number in range(40):
        to = (couple.phone.jid, couple.tablet.jid, JULIET)[number % 3]
        couple.desk.chat(to, str(number))
    came = couple.what_came()
    assert [word.split(':')[-1] for word in came[3].split()] == [str(number) for number in range(40)]
    assert [word.split(':')[-1] for word in came[1].split()] == [str(number) for number in range(40)]


def test_a_repeat_makes_no_second_copy() -> None:
    """Whether the sm has settled the original already, or is a new one that has never seen it."""
    couple = Couple()
    number = couple.desk.chat(couple.phone.jid, 'hi')
    couple.desk.sent[number] = frame = couple.desk.sent[number]
    assert couple.what_came() == ['', 'sent:hi', 'hi', 'received:hi', '']
    couple.desk.say(frame.payload, number, CLIENT | REPEAT)  # type: ignore[arg-type]
    assert couple.what_came() == [''] * 5
    couple.site.sm.delivery.settled.forget(couple.desk.stream)
    couple.desk.say(frame.payload, number, CLIENT | REPEAT)  # type: ignore[arg-type]
    assert couple.what_came() == [''] * 5


def test_what_two_clients_send_at_once_is_copied_to_each_other() -> None:
    """Also when it is the same number on both streams."""
    couple = Couple()
    number = max(couple.desk.number, couple.walk.number)
    couple.desk.number = couple.walk.number = number
    couple.c2s.holding = True
    couple.desk.chat(couple.phone.jid, 'by desk')
    couple.walk.chat(couple.phone.jid, 'by walk')
    couple.site.settle()
    couple.c2s.release()
    came = couple.what_came()
    assert came[:3] == ['sent:by walk', 'sent:by desk', 'by desk by walk']


def test_a_copy_for_a_client_that_is_gone_is_lost_and_nobody_hears_of_it() -> None:
    couple = Couple()
    couple.tablet.live = False
    couple.desk.chat(couple.phone.jid, 'hi')
    assert couple.what_came() == ['', 'sent:hi', 'hi', '', '']


def test_a_copy_that_comes_back_unacked_is_dropped() -> None:
    couple = Couple()
    couple.desk.chat(couple.phone.jid, 'hi')
    couple.site.quiet()
    index = next(i for i, one in enumerate(couple.tablet.stanzas) if one.name == 'message')
    uid = couple.tablet.give_back(index)
    for client in couple.all:
        client.take()
    assert couple.what_came() == [''] * 5
    assert couple.tablet.node.returned == [uid]


def test_a_message_that_comes_back_unacked_makes_no_more_copies() -> None:
    couple = Couple()
    couple.desk.chat(couple.phone.jid, 'hi')
    couple.site.quiet()
    index = next(i for i, one in enumerate(couple.phone.stanzas) if one.name == 'message')
    couple.phone.give_back(index)
    couple.phone.leave()
    for client in couple.all:
        client.take()
    came = couple.what_came()
    assert (came[0], came[1], came[3], came[4]) == ('', '', 'hi', 'hi')


def test_an_error_that_the_server_gives_is_copied_to_who_has_a_copy_of_the_message() -> None:
    couple = Couple()
    couple.desk.chat(f'nobody@{DOMAIN}', 'hi')
    assert couple.what_came() == ['error:hi', 'sent:hi received:hi', '', '', '']


def test_each_copy_has_a_uid_of_its_own() -> None:
    uid = bytes(range(24))
    uids = {copy_uid(uid, bytes([n]) * 16) for n in range(50)} | {copy_uid(uid[:23] + b'\xff', bytes(16))}
    assert len(uids) == 51
    assert all(len(one) == 24 for one in uids)
    assert copy_uid(uid, b's' * 16) == copy_uid(uid, b's' * 16)
