"""Bound sessions: what clients may send, how it leaves, and how much of it at a time."""

from __future__ import annotations

import pytest

from jabberd_tx.link.frames import CLIENT, make_uid
from jabberd_tx.testing.client import Refused, XmppClient
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import to_xml
from tests.components.c2s.c2s_support import Site, chat

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
        ("<active xmlns='urn:other'/>", 'unsupported-stanza-type'),
        ("<thing xmlns='urn:xmpp:sm:3'/>", 'unsupported-stanza-type'),
        ('<message>', ''),
        ('<message></iq>', 'not-well-formed'),
        ('<!-- x -->', 'restricted-xml'),
        ("<stream:stream to='x'/>", 'bad-format'),
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


def test_nothing_that_leaves_a_c2s_tells_where_a_client_is() -> None:
    """RFC 6120 §13.10.1: no other process, and so no other user, learns the address."""
    site = Site(require_tls=False)
    client = site.connect(host='192.0.2.77')
    site.run(client.login('r', acks=True))
    client.send('<presence/>' + chat(1) + "<iq type='get' id='i' to='example.net'><x xmlns='y'/></iq></stream:stream>")
    site.settle()
    site.advance(10)
    left = [*site.sm.said, *site.sm.frames]
    assert len(left) == 5
    for frame in left:
        assert isinstance(frame.payload, Stanza)
        assert b'192.0.2' not in to_xml(frame.payload) and '192.0.2' not in f'{frame}'


# ---- the window


def test_a_client_has_at_most_62_stanzas_unconfirmed_and_goes_on_as_they_are_confirmed() -> None:
    site = Site()
    site.sm.confirms = False
    client = site.login()
    for n in range(1, 201):
        client.send(chat(n))
    site.settle()
    assert site.sm.numbers == list(range(1, 63))
    client.send(chat(201))
    site.settle()
    assert not client.transport.other.reading, 'nothing more is read'  # type: ignore[union-attr]
    site.sm.confirm(site.sm.withheld[1])
    site.settle()
    assert len(site.sm.frames) == 62, 'the span counts, not how many'
    site.sm.confirm(site.sm.withheld[0])
    site.settle()
    assert site.sm.numbers == list(range(1, 65))
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
    assert site.sm.numbers == [1] and len(client.take_stanzas()) == 61
    site.sm.confirm()
    site.settle()
    assert site.sm.numbers == [1, 102] and len(client.take_stanzas()) == 39
