"""What a stream says does not depend on how its bytes come."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given

from jabberd_tx.testing import strategies, wire
from jabberd_tx.xmpp.events import StreamClose, Violation
from jabberd_tx.xmpp.parser import StreamParser

STREAMS = {
    'chat': b"<message to='user1@bench.test/r' type='chat' id='m1'><body>#1 hello</body></message>",
    'double quotes': b'<message to="a@b" id="m1"><body xml:lang="en">x</body></message><r xmlns="urn:xmpp:sm:3"/>',
    'empty elements': b"<presence/><presence /><iq type='get'><ping xmlns='urn:xmpp:ping'/></iq><message></message>",
    'empty in empty': b'<message><a><a/></a><a></a><a ><a><a/></a></a ></message >',
    'greater-than in attributes': b"<message id='a>b' to=\">'\"><x y='/>' z='>'>/></x><x y='>'/></message>",
    'both kinds of quotes': b"<message id=\"it's\" to='\"'><body a='\">'>\"'s\"</body></message><presence id=\"'>\"/>",
    'CDATA like a comment': b'<message><body><![CDATA[<!-- </a> <? ]]></body><![CDATA[ <!-- > ]]></message>',
    'CDATA like a tag': b"<message><![CDATA[<']]></message ><message><![CDATA[<a b='>]]></message>",
    'CDATA': b"<message><body><![CDATA[<x a='>]]</body>]]></body><![CDATA[]]></message><presence/>",
    'text like markup': b"<message><body>a > b' /> ]] \" c</body> /> </message><presence id='2'/>",
    'references': b'<message id="&amp;&#62;&gt;"><body>&lt;x&#x3e;</body></message>',
    'whitespace between': b" \n<presence/>\r\n\t <message \n id='1'\n><body >\n</body\n></message\n> ",
    'UTF-8': '<message id="é漢😀"><body>é漢😀</body></message>'.encode(),
    'namespaces': b"<iq><query xmlns='jabber:iq:roster'><item/></query></iq><iq xmlns='jabber:client'><x/></iq>",
    'slow way': b"<message xmlns:x='urn:x' x:a='>'><x:y/><body xmlns='jabber:client'>'</body></message>",
    'end': b"<presence type='unavailable'/></stream:stream>",
    'comment': b"<message><body>a<!-- ' > --></body></message>",
    'comment with tags': b'<message><a/><!-- aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa </b> --></message>',
    'comment between': b'<message/><!-- aaaaaaaaaaaaaaaa </b> --><message/>',
    'instruction': b"<message><?x a='>' ?></message>",
    'between': b'<presence/> > <presence/>',
    'entity': b"<message id='&x;'/>",
    'mismatch': b'<message><body></message></body>',
    'not UTF-8': b'<message><body>\xc3\x28</body></message>',
    'prefix': b'<message><a:b/></message>',
}


@pytest.mark.parametrize('name', STREAMS)
def test_split_at_every_byte(name: str) -> None:
    """Two pieces, whatever the first one's length; and each byte by itself."""
    data = STREAMS[name]
    whole = wire.parse(data)
    assert whole
    for cut in range(1, len(data)):
        assert wire.parse(data, [cut]) == whole, cut
    assert wire.parse(data, range(len(data))) == whole


@pytest.mark.parametrize('name', STREAMS)
def test_split_at_every_pair_of_bytes(name: str) -> None:
    """Three pieces, whatever their lengths."""
    data = STREAMS[name]
    whole = wire.parse(data)
    for first in range(1, len(data)):
        for second in range(first + 1, len(data)):
            assert wire.parse(data, [first, second]) == whole, (first, second)


@pytest.mark.parametrize('name', STREAMS)
def test_an_event_does_not_wait_for_more(name: str) -> None:
    """Byte by byte, each stanza is there when its last '>' is: none is stuck in a parser."""
    data = STREAMS[name]
    seen = 0
    for end in range(1, len(data) + 1):
        now = [event for event in wire.parse(data[:end]) if not isinstance(event, Violation)]
        bytewise = [event for event in wire.parse(data[:end], range(end)) if not isinstance(event, Violation)]
        assert now == bytewise
        assert data[end - 1 : end] == b'>' or len(now) == seen
        seen = len(now)


@pytest.mark.parametrize('name', STREAMS)
def test_release_between_any_two_pieces(name: str) -> None:
    """Letting go of expat whenever that may be changes nothing."""
    data = STREAMS[name]
    whole = wire.parse(data)
    parser = StreamParser()
    parser.feed(wire.HEADER)
    events = []
    for piece in wire.pieces(data, range(len(data))):
        parser.release()
        events += parser.feed(piece)
    assert events == whole


def expat_is_up_to_date(data: bytes, cuts: Iterable[int]) -> bool:
    """Whether, after each piece, expat has been through all that it was given."""
    parser = StreamParser()
    parser.feed(wire.HEADER)
    for piece in wire.pieces(data, cuts):
        parser.feed(piece)
        if parser._expat is not None and parser._expat.CurrentByteIndex != parser._base:
            return False
    return True


@pytest.mark.parametrize('name', STREAMS)
def test_expat_never_has_part_of_a_token(name: str) -> None:
    """So it makes no difference whether it puts off tokens that come in parts, as its newer releases do."""
    data = STREAMS[name]
    assert expat_is_up_to_date(data, range(len(data)))
    for cut in range(len(data)):
        assert expat_is_up_to_date(data, [cut])


def test_header_split_at_every_byte() -> None:
    """XML declaration, header and the first stanza come in any pieces."""
    data = b"\n<?xml version='1.0' encoding='UTF-8'?>\n" + wire.HEADER[21:].replace(b"'en'", b"'>'") + b'<presence/>'
    whole = StreamParser().feed(data)
    assert [type(event).__name__ for event in whole] == ['StreamOpen', 'Stanza']
    for first in range(1, len(data)):
        parser = StreamParser()
        assert parser.feed(data[:first]) + parser.feed(data[first:]) == whole
    parser = StreamParser()
    assert [event for piece in wire.pieces(data, range(len(data))) for event in parser.feed(piece)] == whole


def test_an_end_tag_that_comes_alone_is_no_empty_element() -> None:
    """Between start and end tag there is nothing but the cut; what follows in the same piece ends in '/>'."""
    data = b"<a:message xmlns:a='jabber:client'></a:message><r xmlns='urn:xmpp:sm:3'/>"
    assert wire.parse(data, [data.index(b'</')]) == wire.parse(data)


@pytest.mark.fuzz
@given(strategies.streams, strategies.cuts)
def test_good_streams_in_any_pieces(data: bytes, cuts: list[int]) -> None:
    """Well-formed stanzas, written in any way, are the same events in any pieces, and no violation."""
    whole = wire.parse(data)
    assert not [event for event in whole if isinstance(event, Violation)]
    assert wire.parse(data, cuts) == whole
    assert wire.parse(data, range(len(data))) == whole
    assert expat_is_up_to_date(data, cuts)


@pytest.mark.fuzz
@given(strategies.dense_streams, strategies.cuts)
def test_what_looks_like_markup_in_any_pieces(data: bytes, cuts: list[int]) -> None:
    """Values, text and CDATA full of quotes, slashes and greater-than hold nothing up."""
    whole = wire.parse(data)
    assert whole and not [event for event in whole if isinstance(event, Violation)]
    for pieces in (cuts, [cut % len(data) for cut in cuts], range(len(data))):
        assert wire.parse(data, pieces) == whole
        assert expat_is_up_to_date(data, pieces)


@pytest.mark.fuzz
@given(strategies.broken_streams, strategies.cuts)
def test_bad_streams_in_any_pieces(data: bytes, cuts: list[int]) -> None:
    """Broken streams give the same stanzas in any pieces, up to a violation that is the last event."""
    whole = wire.parse(data)
    split = wire.parse(data, cuts)
    for events in (whole, split):
        assert not [event for event in events[:-1] if isinstance(event, Violation | StreamClose)]
    good = [event for event in whole if not isinstance(event, Violation)]
    assert [event for event in split if not isinstance(event, Violation)] == good
