"""A stream from its header to its end."""

from __future__ import annotations

import gc
import weakref
from xml.parsers import expat

import pytest

from jabberd_tx.testing import wire
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.parser import Nonza, StreamClose, StreamOpen, StreamParser
from jabberd_tx.xmpp.stanza import Stanza


def test_the_header() -> None:
    """Attributes by name as written; the content namespace; the language, kept."""
    parser = StreamParser()
    header = wire.HEADER[:-1] + b" from='a&amp;b' stream:x='1' xmlns:u='u' u:y='2' >"
    attrs = {'to': 'example.net', 'version': '1.0', 'xml:lang': 'en', 'from': 'a&b'}
    attrs |= {f'{{{ns.STREAM}}}x': '1', '{u}y': '2'}
    assert parser.feed(header) == [StreamOpen(attrs, ns.CLIENT)]
    assert parser.lang == 'en'


def test_no_language() -> None:
    """None where the header has none, also after one that had."""
    parser = StreamParser()
    parser.feed(wire.HEADER)
    parser.reset()
    parser.feed(wire.HEADER.replace(b"xml:lang='en'", b''))
    assert parser.lang is None


@pytest.mark.parametrize(
    ('declared', 'content'),
    [
        (b"xmlns='jabber:client'", ns.CLIENT), (b"xmlns='jabber:server' xmlns:db='jabber:server:dialback'", ns.SERVER),
        (b"xmlns='jabber:component:accept'", ns.COMPONENT), (b"xmlns:c='jabber:client'", ns.CLIENT), (b'', ''),
    ],
)  # fmt: skip
def test_the_content_namespace(declared: bytes, content: str) -> None:
    """The default one, or the one that has a prefix, or none."""
    (event,) = StreamParser().feed(b"<s:stream xmlns:s='http://etherx.jabber.org/streams' %b>" % declared)
    assert isinstance(event, StreamOpen) and event.ns == content


def test_what_comes_on_a_stream() -> None:
    """Stanzas and other elements in their order, then its end; nothing after that."""
    events = wire.parse(
        b"<iq/><r xmlns='urn:xmpp:sm:3'/><message/><stream:error><conflict xmlns='u'/></stream:error>"
        b'</stream:stream><presence/>'
    )
    assert [getattr(event, 'name', type(event)) for event in events] == ['iq', 'r', 'message', 'error', StreamClose]
    assert isinstance(events[1], Nonza) and events[1].ns == ns.ACKS
    assert isinstance(events[3], Nonza) and events[3].ns == ns.STREAM


@pytest.mark.parametrize('alone', [b'yes', b'no'])
def test_a_standalone_declaration_is_ignored(alone: bytes) -> None:
    """RFC 6120 §11.5."""
    parser = StreamParser()
    (event,) = parser.feed(b"<?xml version='1.0' encoding='utf-8' standalone='%b'?>" % alone + wire.HEADER[21:])
    assert isinstance(event, StreamOpen)
    assert isinstance(parser.feed(b'<message/>')[0], Stanza)


def test_a_byte_order_mark_within_is_a_character() -> None:
    """RFC 6120 §11.6: U+FEFF stays what it is."""
    (stanza,) = wire.parse('<message id="\ufeff"><body>\ufeffa\ufeff</body></message>'.encode())
    assert isinstance(stanza, Stanza)
    assert (stanza.attrs['id'], stanza.inner.decode()) == ('\ufeff', '<body>\ufeffa\ufeff</body>')


def test_an_end_in_the_header() -> None:
    """A stream that opens and closes in one tag is two events."""
    header = wire.HEADER[:-1] + b'/>'
    assert [type(event) for event in StreamParser().feed(header)] == [StreamOpen, StreamClose]


def test_text_of_a_nonza() -> None:
    """Its own text, decoded; not that of its children; not in its repr."""
    for inner, text in ((b'abc=', 'abc='), (b'a&lt;<b>c</b><![CDATA[>]]>\r\n', 'a<>\n'), (b'', ''), (b'<x:y/>', '')):
        assert Nonza('u', 'auth', {}, inner).text == text
    assert 'abc' not in repr(Nonza('u', 'auth', {}, b'abc'))


def test_reset_takes_a_new_header() -> None:
    """After TLS or SASL; what was held from before is gone; an XML declaration may come again."""
    parser = StreamParser()
    parser.feed(wire.HEADER)
    parser.feed(b"<message><body>half of a <b a='")
    parser.reset()
    assert [type(event) for event in parser.feed(b' \n' + wire.HEADER + b'<presence/>')] == [StreamOpen, Stanza]


def test_release_lets_go_of_expat_between_stanzas() -> None:
    """What is idle keeps no expat parser; inside a stanza release does nothing."""
    parser = StreamParser()
    parser.release()
    parser.feed(wire.HEADER)
    parser.feed(b'<presence/>\n')
    parser.release()
    assert not [thing for thing in gc.get_referents(parser) if isinstance(thing, expat.XMLParserType)]
    assert parser.feed(b'  \n') == []
    assert not [thing for thing in gc.get_referents(parser) if isinstance(thing, expat.XMLParserType)]
    parser.feed(b'<message><body>')
    parser.release()
    assert [thing for thing in gc.get_referents(parser) if isinstance(thing, expat.XMLParserType)]
    assert len(parser.feed(b'</body></message>')) == 1


def test_a_parser_made_anew_knows_what_the_header_declared() -> None:
    """Prefixes of the client's own header go on to hold."""
    parser = StreamParser()
    parser.feed(wire.HEADER[:-1] + b" xmlns:a='u'>")
    for _ in range(3):
        parser.release()
        (stanza,) = parser.feed(b'<message><a:b/><stream:c/></message>')
        assert isinstance(stanza, Stanza)
        assert [child[:2] for child in stanza.children] == [('u', 'b'), (ns.STREAM, 'c')]


def test_close_leaves_nothing_to_the_garbage_collector() -> None:
    """The connection is gone: parser and expat are freed at once; a late feed does nothing."""

    class Watched(StreamParser):
        __slots__ = ('__weakref__',)

    gc.collect()
    gc.disable()
    try:
        parser = Watched()
        parser.feed(wire.HEADER)
        parser.feed(b'<message><body>')
        parser.close()
        assert parser.feed(b'</body></message>') == []
        watch = weakref.ref(parser)
        del parser
        assert watch() is None
    finally:
        gc.enable()


def test_events_do_not_share_what_may_change() -> None:
    """Each stanza has attributes and children of its own."""
    first, second = wire.parse(b"<message to='a'><x/></message><message to='b'/>")
    assert isinstance(first, Stanza) and isinstance(second, Stanza)
    assert (first.attrs, second.attrs) == ({'to': 'a'}, {'to': 'b'})
    assert len(first.children) == 1 and second.children == ()
