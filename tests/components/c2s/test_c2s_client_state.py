"""Client state (XEP-0352): what an inactive client gets, and when."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jabberd_tx.components.c2s.client_state import DROPPED, HELD, SENT, Verdict, judge
from jabberd_tx.link.frames import REPEAT, RETURNED, Fanout, make_uid
from jabberd_tx.testing.client import XmppClient
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.parser import StreamParser
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import stream_header, to_xml
from tests.components.c2s.c2s_support import Site, chat, message

PAGE = Path(__file__).parents[3] / 'docs' / 'client-state.md'
STATE = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
MUC_USER = 'http://jabber.org/protocol/muc#user'
FORWARDED = "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'>{}</message></forwarded>"


def carbon(inner: str) -> str:
    return f"<message><received xmlns='urn:xmpp:carbons:2'>{FORWARDED.format(inner)}</received></message>"


# Each row of the page's first table, with stanzas that it is about.
ROWS = {
    'presence, available or not': [
        '<presence/>',
        "<presence type='unavailable'/>",
        f"<presence><x xmlns='{MUC_USER}'><item/></x></presence>",
        f"<presence><x xmlns='{MUC_USER}'><item jid='a@b/status code=110'/></x></presence>",
    ],
    "the client's own presence in a room (status 110)": [
        f"<presence><x xmlns='{MUC_USER}'><item/><status code='110'/></x></presence>",
    ],
    'subscription requests and their answers, probes': [
        f"<presence type='{kind}'/>" for kind in ('subscribe', 'subscribed', 'unsubscribe', 'unsubscribed', 'probe')
    ],
    'IQ': ["<iq type='get' id='1'/>", "<iq type='result' id='1'/>", "<iq type='error' id='1'/>"],
    'error': ["<message type='error'><body>x</body></message>", "<presence type='error'/>"],
    'message with a body': ['<message><body>x</body></message>', f'<message>{STATE}<body>x</body></message>'],
    'carbon copy of a message with a body, something encrypted or a call': [
        carbon('<body>x</body>'),
        carbon("<encrypted xmlns='urn:xmpp:omemo:2'/>"),
        carbon("<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>"),
    ],
    'message with something encrypted': ["<message><encrypted xmlns='eu.siacs.conversations.axolotl'/></message>"],
    'call that begins or ends': ["<message><retract xmlns='urn:xmpp:jingle-message:0' id='1'/></message>"],
    "invitation to a room, news of a room's settings": [
        "<message><x xmlns='jabber:x:conference' jid='a@b'/></message>",
        f"<message><x xmlns='{MUC_USER}'><invite/></x></message>",
    ],
    'message out of the archive': [
        f"<message><result xmlns='urn:xmpp:mam:2'>{FORWARDED.format('')}</result></message>",
    ],
    'chat state, alone or with hints, ids, a thread, a delay': [
        f'<message>{STATE}</message>',
        f"<message><thread>t</thread>{STATE}<no-store xmlns='urn:xmpp:hints'/>"
        "<origin-id xmlns='urn:xmpp:sid:0' id='1'/></message>",
    ],
    'any other message: receipts, markers, PubSub events, subjects': [
        '<message/>',
        "<message><received xmlns='urn:xmpp:receipts' id='1'/></message>",
        f"<message>{STATE}<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/></message>",
        "<message type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'/></message>",
        "<message type='groupchat'><subject>s</subject></message>",
        carbon(STATE),
        "<message><body xmlns='urn:other'/></message>",
    ],
}
VERDICTS = {'sent': Verdict.SEND, 'held': Verdict.HOLD, 'dropped': Verdict.DROP}


def rows() -> dict[str, tuple[str, str]]:
    """The page's first table: stanza -> what becomes of it, reason."""
    table = PAGE.read_text().partition('## What waits')[2].partition('\n## ')[0]
    return {what: (done, reason) for what, done, reason in re.findall(r'^\| (.+) \| (.+) \| `(.+)` \|$', table, re.M)}


def parse(xml: str) -> Stanza:
    _, stanza = StreamParser().feed(stream_header(ns.CLIENT, {'to': 'example.net'}) + xml.encode())
    assert isinstance(stanza, Stanza)
    return stanza


def test_the_page_says_what_is_done() -> None:
    """Row by row, with examples of each."""
    said = rows()
    assert said.keys() == ROWS.keys()
    for what, (done, reason) in said.items():
        wanted = VERDICTS[re.split(r'\W', done)[0]], reason
        for xml in ROWS[what]:
            assert judge(parse(xml)) == wanted, xml
    assert {reason for _, reason in said.values()} <= {*HELD, *DROPPED, *SENT}


def inactive(site: Site, acks: bool = False) -> XmppClient:
    client = site.login(acks=acks)
    client.send(f"<inactive xmlns='{ns.CSI}'/>")
    site.settle()
    client.take_stanzas()
    return client


def activate(site: Site, client: XmppClient) -> list[Stanza]:
    client.send(f"<active xmlns='{ns.CSI}'/>")
    site.settle()
    return client.take_stanzas()


def presence(n: int, status: str = '') -> Stanza:
    inner = (ns.CLIENT, 'status', f'<status>{status}</status>'.encode())
    return Stanza.build('presence', {'from': f'juliet@example.net/{n}'}, *([inner] if status else []))


def receipt(n: int) -> Stanza:
    xml = f"<received xmlns='urn:xmpp:receipts' id='{n}'/>".encode()
    return Stanza.build('message', {'from': 'juliet@example.net/j'}, ('urn:xmpp:receipts', 'received', xml))


def read(site: Site, name: str, label: str = '') -> float:
    return site.network.metrics.value(f'jabberd_c2s_inactive_{name}', label)


def test_it_is_offered_unless_switched_off() -> None:
    """And then changes nothing for a client that says it all the same."""
    site = Site()
    client = site.login()
    assert client.features is not None
    assert (ns.CSI, 'csi') in [(child.ns, child.name) for child in client.features.children]
    site = Site(csi=False)
    client = inactive(site)
    assert client.features is not None and ns.CSI not in [child.ns for child in client.features.children]
    site.deliver(client, presence(1))
    assert client.take_stanzas() and not client.error


def test_presence_keeps_the_last_of_each_sender() -> None:
    """In the order of the last ones."""
    site = Site()
    client = inactive(site)
    for stanza in (presence(1, 'a'), presence(2, 'b'), presence(1, 'c'), presence(3)):
        site.deliver(client, stanza)
    assert not client.take_stanzas()
    assert activate(site, client) == [presence(2, 'b'), presence(1, 'c'), presence(3)]
    assert read(site, 'held', 'presence') == 4 and read(site, 'dropped', 'replaced') == 1
    assert read(site, 'flushed', 'active') == 1
    site.deliver(client, presence(4))
    assert client.take_stanzas() == [presence(4)], 'an active client waits for nothing'


def test_chat_states_are_dropped_and_a_body_brings_what_was_held_before_it() -> None:
    """In order; all of it is confirmed to the sm when it comes."""
    site = Site()
    client = inactive(site)
    state = Stanza.build('message', {'type': 'chat'}, (ns.CHAT_STATES, 'composing', STATE.encode()))
    uids = [site.deliver(client, stanza) for stanza in (presence(1), state, receipt(1))]
    assert not client.take_stanzas() and set(uids) <= set(site.sm.confirmed)
    site.deliver(client, message(1))
    assert client.take_stanzas() == [presence(1), receipt(1), message(1)]
    site.deliver(client, presence(2))
    assert not client.take_stanzas(), 'and it waits on'
    assert read(site, 'dropped', 'chat-state') == 1 and read(site, 'flushed', 'body') == 1


def test_an_answer_of_the_server_itself_keeps_its_place() -> None:
    """Behind what was held."""
    site = Site()
    client = inactive(site)
    site.deliver(client, presence(1))
    client.send("<iq type='what' id='x'/>")
    site.settle()
    assert [stanza.name for stanza in client.take_stanzas()] == ['presence', 'iq']


@pytest.mark.parametrize('options', [{'csi_stanzas': 5}, {'csi_bytes': len(to_xml(receipt(1))) * 5}])
def test_no_more_than_so_much_is_held(options: dict[str, int]) -> None:
    """By number, or by bytes; a presence that takes another's place is no more."""
    site = Site(**options)
    client = inactive(site)
    for n in range(4):
        site.deliver(client, receipt(n))
    assert not client.take_stanzas()
    site.deliver(client, receipt(4))
    assert client.take_stanzas() == [receipt(n) for n in range(5)]
    for n in range(4):
        site.deliver(client, presence(1, 'x' * n))
    assert not client.take_stanzas() and read(site, 'flushed', 'full') == 1
    assert site.session(client).held.size == len(to_xml(presence(1, 'xxx')))


def test_nothing_is_held_longer_than_so_long() -> None:
    """Counted from the oldest."""
    site = Site(csi_seconds=60)
    client = inactive(site)
    site.deliver(client, presence(1))
    site.advance(50)
    site.deliver(client, presence(2))
    assert not client.take_stanzas()
    site.advance(20)
    assert client.take_stanzas() == [presence(1), presence(2)] and read(site, 'flushed', 'old') == 1
    site.deliver(client, presence(3))
    site.advance(50)
    assert not client.take_stanzas()


def test_what_is_held_is_not_counted_as_sent() -> None:
    """With acks: the client's h covers what it has got."""
    site = Site()
    client = inactive(site, acks=True)
    session = site.session(client)
    for n in range(3):
        site.deliver(client, receipt(n))
    assert not session.acks.unacked
    assert activate(site, client) == [receipt(n) for n in range(3)]
    client.ack()
    site.settle()
    assert not session.acks.unacked and not client.error


@pytest.mark.parametrize('acks', [True, False])
def test_messages_that_are_held_go_back_when_the_stream_ends(acks: bool) -> None:
    """After those that were not acked; presence does not."""
    site = Site()
    client = inactive(site, acks=acks)
    client.answers = False
    sent = site.deliver(client, message(1))
    held = [site.deliver(client, receipt(n)) for n in range(2)]
    site.deliver(client, presence(1))
    client.drop()
    site.settle()
    returned = [frame for frame in site.sm.frames if frame.flags == RETURNED | REPEAT]
    assert [frame.uid for frame in returned] == ([sent, *held] if acks else held)
    assert not site.c2s.sessions and not len(site.c2s.returned)


def test_a_stream_that_ends_while_it_gets_what_was_held_loses_nothing() -> None:
    """More than it may leave without an ack: everything goes back, in order, and with it what brought it on."""
    site = Site(unacked_stanzas=16, csi_stanzas=100)
    client = inactive(site, acks=True)
    client.answers = False
    uids = [site.deliver(client, receipt(n)) for n in range(30)]
    uids.append(site.deliver(client, message(1)))
    assert client.error == 'resource-constraint'
    assert [frame.uid for frame in site.sm.frames] == uids
    assert not site.c2s.sessions


def test_a_fan_out_is_held_too() -> None:
    """With the address that it has for this client."""
    site = Site()
    client = inactive(site)
    link = site.sm.links.pick('')
    assert link is not None
    targets = [(site.session(client).stream, client.jid)]
    link.fanout(Fanout('c2s-1', 'sm-1', make_uid(b'u' * 16, 1), targets, presence(1)))
    site.settle()
    assert not client.take_stanzas()
    assert activate(site, client) == [presence(1).with_attrs(to=client.jid)]


def test_active_comes_into_effect_before_what_follows_it() -> None:
    """XEP-0352 §5.1."""
    site = Site()
    client = inactive(site)
    site.deliver(client, presence(1))
    client.send(f"<active xmlns='{ns.CSI}'/><iq type='what' id='x'/>" + chat(1))
    site.settle()
    assert [stanza.name for stanza in client.take_stanzas()] == ['presence', 'iq']
    assert read(site, 'flushed', 'active') == 1 and read(site, 'flushed', 'answer') == 0


def test_what_was_held_follows_when_the_stream_is_resumed() -> None:
    """Also what came while the client was away, and after what it had not acked; it is active then (XEP-0352 §5.2)."""
    site = Site()
    client = site.login()
    site.run(client.enable_acks(resume=True))
    client.send(f"<inactive xmlns='{ns.CSI}'/>")
    client.answers = False
    site.deliver(client, message(1))
    site.deliver(client, receipt(1))
    site.deliver(client, presence(1, 'a'))
    client.drop()
    site.settle()
    site.deliver(client, presence(1, 'b'))
    site.deliver(client, receipt(2))
    site.advance(100)
    again = site.connect()
    site.run(again.login_to_resume(client, h=0))
    site.settle()
    assert again.take_stanzas() == [message(1), receipt(1), presence(1, 'b'), receipt(2)]
    again.ack()
    site.deliver(again, presence(2))
    assert again.take_stanzas() == [presence(2)] and not again.error


def test_other_words_of_the_namespace_end_the_stream() -> None:
    """There are only two."""
    site = Site()
    client = site.login()
    client.send(f"<asleep xmlns='{ns.CSI}'/>")
    site.settle()
    assert client.error == 'unsupported-stanza-type'
