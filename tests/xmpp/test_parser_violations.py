"""What a client must not send, and the condition of RFC 6120 §4.9.3 that ends its stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.testing import strategies, wire
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import STREAM_CONDITIONS, stream_error
from jabberd_tx.xmpp.events import Event, Nonza, StreamClose, StreamOpen, Violation
from jabberd_tx.xmpp.parser import StreamParser
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import quote

AFTER_HEADER = [
    # §4.9.3.18
    (b'<!-- comment -->', 'restricted-xml'),
    (b'<message><!-- comment --></message>', 'restricted-xml'),
    (b'<message/><!-- a > b -->', 'restricted-xml'),
    (b'<?instruction?>', 'restricted-xml'),
    (b'<message><body><?instruction a > b?></body></message>', 'restricted-xml'),
    (b'<!DOCTYPE x>', 'restricted-xml'),
    (b"<message/><!DOCTYPE x [<!ENTITY a 'b'>]>", 'restricted-xml'),
    (b'<message><!DOCTYPE x></message>', 'restricted-xml'),
    (b'<message><body>&custom;</body></message>', 'restricted-xml'),
    (b"<message to='&custom;'/>", 'restricted-xml'),
    # §4.9.3.13
    (b'<message><body></message>', 'not-well-formed'),
    (b'</message>', 'not-well-formed'),
    (b'<message to=a/>', 'not-well-formed'),
    (b"<message to='a' to='b'/>", 'not-well-formed'),
    (b"<message xmlns:a='u' xmlns:b='u' a:c='' b:c=''/>", 'not-well-formed'),
    (b"<message to='<'/>", 'not-well-formed'),
    (b'<message><body>]]></body></message>', 'not-well-formed'),
    (b'<message><body>\x01</body></message>', 'not-well-formed'),
    (b'<message><body>&#1;</body></message>', 'not-well-formed'),
    (b'<message><body>&#xFFFE;</body></message>', 'not-well-formed'),
    (b'<message><body>& </body></message>', 'not-well-formed'),
    (b'<>', 'not-well-formed'),
    (b'< message/>', 'not-well-formed'),
    (b'<message><body>\xef\xbf\xbf</body></message>', 'not-well-formed'),
    # §4.9.3.22: the encoding, or how its rules are kept
    (b'<message><body>\xff</body></message>', 'unsupported-encoding'),
    (b'<message><body>\xc3\x28</body></message>', 'unsupported-encoding'),
    (b'<message><body>\xed\xa0\x80</body></message>', 'unsupported-encoding'),
    (b'<message><body>\xc0\xbc</body></message>', 'unsupported-encoding'),
    (b'<message><body>\xf5\x80\x80\x80</body></message>', 'unsupported-encoding'),
    (b"<message to='\xe9'/>", 'unsupported-encoding'),
    # §4.9.3.2
    (b'<a:message/>', 'bad-namespace-prefix'),
    (b'<message><a:x/></message>', 'bad-namespace-prefix'),
    (b"<message a:b='c'/>", 'bad-namespace-prefix'),
    (b"<message xmlns:a=''/>", 'bad-namespace-prefix'),
    (b"<message xmlns:xml='u'/>", 'bad-namespace-prefix'),
    # §4.9.3.10
    (b"<message xmlns='jabber:server'/>", 'invalid-namespace'),
    (b"<message xmlns=''/>", 'invalid-namespace'),
    # §4.9.3.24
    (b'<chat/>', 'unsupported-stanza-type'),
    (b'<Message></Message>', 'unsupported-stanza-type'),
    # §4.9.3.1
    (b'text<message/>', 'bad-format'),
    (b'<message/>text<message/>', 'bad-format'),
    (b'<message/> > <message/>', 'bad-format'),
    (b'<message/>&#32;<message/>', 'bad-format'),
    (b'<![CDATA[ ]]><message/>', 'bad-format'),
    (b'<message/><![CDATA[ ]]>', 'bad-format'),
    (b'<message/>text</stream:stream>', 'bad-format'),
    # a second header, whose end never comes, or does
    (b'<stream:stream>', 'bad-format'),
    (b"<s:stream xmlns:s='http://etherx.jabber.org/streams' to='example.net'>", 'bad-format'),
    (b"<stream xmlns='http://etherx.jabber.org/streams'/>", 'bad-format'),
    (b'<message/><stream:stream></stream:stream>', 'bad-format'),
]

BEFORE_HEADER = [
    (b'<stream:stream>', 'bad-namespace-prefix'),
    (b"<stream:stream xmlns:stream='http://example.net/'>", 'invalid-namespace'),
    (b"<stream xmlns='jabber:client'>", 'invalid-namespace'),
    (b'<stream>', 'invalid-namespace'),
    (b"<stream:stream xmlns='jabber:other' xmlns:stream='http://etherx.jabber.org/streams'>", 'invalid-namespace'),
    (b"<stream:features xmlns:stream='http://etherx.jabber.org/streams'>", 'bad-format'),
    (b"<?xml version='1.0' encoding='ISO-8859-1'?>" + wire.HEADER[21:], 'unsupported-encoding'),
    (b"<?xml version='1.0' encoding='UTF-16'?>" + wire.HEADER[21:], 'unsupported-encoding'),
    (wire.HEADER.decode().encode('utf-16'), 'unsupported-encoding'),
    (wire.HEADER.decode().encode('utf-16-be'), 'unsupported-encoding'),
    (wire.HEADER.decode().encode('utf-32'), 'unsupported-encoding'),
    # Not a mark but a character (§11.6), and there may be none here.
    (b'\xef\xbb\xbf' + wire.HEADER, 'not-well-formed'),
    (b'GET / HTTP/1.1\r\n\r\n', 'not-well-formed'),
    (b'\x16\x03\x01\x02\x00\x01', 'not-well-formed'),
    (b"<?xml version='1.0'?>" + wire.HEADER, 'not-well-formed'),
    (b"<?xml version='1.0'?>text" + wire.HEADER[21:], 'not-well-formed'),
    (b'<?xml?>', 'not-well-formed'),
    (b'</stream:stream>', 'not-well-formed'),
    (b'<!DOCTYPE x><x/>', 'restricted-xml'),
    (b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'a>'><!ENTITY b '&a;&a;'>]>" + wire.HEADER[21:], 'restricted-xml'),
    (b'<!-- comment -->', 'restricted-xml'),
    (b'<?instruction?>', 'restricted-xml'),
    (b"<?xml-stylesheet href='a'?>", 'restricted-xml'),
]


def last(events: list[Event]) -> tuple[str, int]:
    """The condition, and how many events came before it."""
    assert isinstance(events[-1], Violation), events
    return events[-1].condition, len(events) - 1


@pytest.mark.parametrize(('data', 'condition'), AFTER_HEADER)
def test_on_an_open_stream(data: bytes, condition: str) -> None:
    """The condition is the RFC's, whole or byte by byte; what came whole before it is not lost; nothing comes after."""
    assert condition in STREAM_CONDITIONS
    for cuts in ((), range(len(data) + 9)):
        events = wire.parse(b'<presence/>' + data + b'<presence/>', cuts)
        found, before = last(events)
        assert found == condition
        assert before >= 1
        assert all(isinstance(event, Stanza) for event in events[:-1])


@pytest.mark.parametrize(('data', 'condition'), BEFORE_HEADER)
def test_before_a_stream_is_open(data: bytes, condition: str) -> None:
    """The condition is the RFC's, whole or byte by byte."""
    for cuts in ((), range(len(data) + 9)):
        parser = StreamParser()
        events = [event for piece in wire.pieces(data + b' ><', cuts) for event in parser.feed(piece)]
        assert last(events) == (condition, 0)


def test_nothing_comes_after_a_violation() -> None:
    """The parser is dead until it is reset; then it takes a stream."""
    parser = StreamParser()
    parser.feed(wire.HEADER)
    assert last(parser.feed(b'<message/><message></x><message/>')) == ('not-well-formed', 1)
    assert parser.feed(b'<message/>') == []
    assert parser.feed(wire.HEADER) == []
    parser.reset()
    assert isinstance(parser.feed(wire.HEADER)[0], StreamOpen)


def test_a_document_type_is_refused_before_its_entities_are_read() -> None:
    """A billion laughs cost nothing: the first '<!' ends it."""
    laughs = b"<?xml version='1.0'?><!DOCTYPE l [<!ENTITY a 'ha'>"
    for count in range(30):
        laughs += b"<!ENTITY %b '%b'>" % (b'b' * count + b'a', b'&%b;' % (b'b' * (count - 1) + b'a') * 10)
    assert last(StreamParser().feed(laughs + b']>' + wire.HEADER[21:])) == ('restricted-xml', 0)


@pytest.mark.fuzz
@given(st.one_of(st.binary(max_size=300), strategies.broken_streams), strategies.cuts, st.booleans())
def test_any_bytes_give_events(data: bytes, cuts: list[int], opened: bool) -> None:
    """No bytes raise; events are of the five kinds; a violation has a condition of the RFC's and is the last."""
    parser = StreamParser()
    if opened:
        parser.feed(wire.HEADER)
    events = []
    for piece in wire.pieces(data, cuts):
        parser.release()
        events += parser.feed(piece)
    for event in events:
        assert isinstance(event, StreamOpen | Stanza | Nonza | StreamClose | Violation)
    for event in events[:-1]:
        assert not isinstance(event, StreamClose | Violation)
    if events and isinstance(events[-1], Violation):
        assert events[-1].condition in STREAM_CONDITIONS
        assert wire.canonical(stream_error(*events[-1]))


@pytest.mark.fuzz
@given(strategies.broken_streams)
def test_what_gets_through_is_well_formed(data: bytes) -> None:
    """Whatever broken stanza is let through, each slice is whole XML, and children are where the notes say."""
    for event in wire.parse(data):
        if isinstance(event, Stanza | Nonza):
            space = f"<x xmlns='{quote(ns.CLIENT if isinstance(event, Stanza) else event.ns)}'>".encode()
            wire.canonical(event.inner, space)
            for child in event.children:
                (found,) = wire.canonical(event.inner[child.start : child.end], space)
                assert found[0].endswith(child.name)
