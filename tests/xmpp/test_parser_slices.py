"""Slices stand alone, or are written anew so that they do: either way the same XML."""

from __future__ import annotations

import pytest
from hypothesis import given

from jabberd_tx.testing import strategies, wire
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.parser import Limits, Nonza, StreamOpen, StreamParser, Violation
from jabberd_tx.xmpp.rewrite import rewrite
from jabberd_tx.xmpp.stanza import Child, Stanza
from jabberd_tx.xmpp.writer import to_xml

# Nothing but the content namespace is declared around what goes out.
BARE = b"<stream xmlns='jabber:client'>"


def one(data: bytes, header: bytes = wire.HEADER) -> Stanza:
    (event,) = wire.parse(data, header=header)
    assert isinstance(event, Stanza)
    return event


def children(stanza: Stanza | Nonza) -> list[tuple[str, str, bytes]]:
    return [(child.ns, child.name, stanza.inner[child.start : child.end]) for child in stanza.children]


def test_the_bytes_go_through_as_they_came() -> None:
    """Where a slice stands alone it is the input's own bytes, odd spelling and all."""
    inner = b"a<body >x &#62;<![CDATA[<]]></body ><x  xmlns = \"u\"\n><y:z xmlns:y='v'/></x>"
    stanza = one(b"<message id = 'a' >" + inner + b'</message >')
    assert stanza.inner == inner
    assert children(stanza) == [
        (ns.CLIENT, 'body', b'<body >x &#62;<![CDATA[<]]></body >'),
        ('u', 'x', b"<x  xmlns = \"u\"\n><y:z xmlns:y='v'/></x>"),
    ]


@pytest.mark.parametrize('header', [ns.CLIENT, ns.SERVER, ns.COMPONENT])
def test_content_namespaces_are_one(header: str) -> None:
    """What came in on any kind of stream is noted as jabber:client."""
    stanza = one(b'<message><body/></message>', wire.HEADER.replace(b'jabber:client', header.encode()))
    assert (stanza.name, stanza.inner, stanza.children) == (
        'message', b'<body/>', (Child(ns.CLIENT, 'body', 0, 7),)
    )  # fmt: skip


@pytest.mark.parametrize(
    ('data', 'inner'),
    [
        # a prefix of the stream header's
        (b'<message><stream:x stream:y="1"/></message>',
         b"<x xmlns='http://etherx.jabber.org/streams' xmlns:ns0='http://etherx.jabber.org/streams' ns0:y='1'/>"),
        (b"<message><x xmlns='u' stream:y='1'/></message>",
         b"<x xmlns='u' xmlns:ns0='http://etherx.jabber.org/streams' ns0:y='1'/>"),
        # of the stanza's own start tag
        (b"<message xmlns:a='u'><a:b><a:c/></a:b></message>", b"<b xmlns='u'><c/></b>"),
        (b"<a:message xmlns:a='jabber:client'><a:body>x</a:body></a:message>", b'<body>x</body>'),
        (b"<a:message xmlns:a='jabber:client' xmlns='u'><b/></a:message>", b"<b xmlns='u'/>"),
        # a child that names the content namespace, or another one of those that are one inside
        (b"<message><body xmlns='jabber:client'>x</body></message>", b'<body>x</body>'),
        (b"<message><a:body xmlns:a='jabber:client'>x</a:body></message>", b'<body>x</body>'),
        (b"<message><body xmlns='jabber:server'>x</body></message>", b'<body>x</body>'),
        (b"<message xmlns='jabber:client' xmlns:a='u'><a:b/></message>", b"<b xmlns='u'/>"),
        (b"<message\nxmlns = 'jabber:client' ><body/></message>", b'<body/>'),
        (b'<message xmlns="jabber:client" ><body/></message>', b'<body/>'),
        (b"<message axmlns='u' id='xmlns'><body/></message>", b'<body/>'),
        # deeper inside it is part of what others said
        (b"<message><fin xmlns='u'><message xmlns='jabber:client'/></fin></message>",
         b"<fin xmlns='u'><message xmlns='jabber:client'/></fin>"),
        (b'<message><stream:fin><message/></stream:fin></message>',
         b"<fin xmlns='http://etherx.jabber.org/streams'><message xmlns='jabber:client'/></fin>"),
        (b"<message><a xmlns=''><b/></a>\n<stream:c/></message>",
         b"<a xmlns=''><b/></a>\n<c xmlns='http://etherx.jabber.org/streams'/>"),
        # text keeps what must be escaped
        (b"<message xmlns:a='u'><body a:b='&#10;&apos;&#13;'>&#13;&lt;]]&gt;<![CDATA[<&]]></body></message>",
         b"<body xmlns:ns0='u' ns0:b='&#10;&apos;&#13;'>&#13;&lt;]]&gt;&lt;&amp;</body>"),
    ],
)  # fmt: skip
def test_the_slow_way(data: bytes, inner: bytes) -> None:
    """What leans on something outside is written so that it stands alone, with offsets to match."""
    stanza = one(data)
    assert stanza.inner == inner
    assert wire.canonical(to_xml(stanza), BARE) == wire.canonical(data)
    for child in stanza.children:
        assert stanza.inner[child.start : child.end].startswith(b'<' + child.name.encode())
        assert stanza.inner[child.end - 1 : child.end] == b'>'


def test_namespaced_attributes_of_the_start_tag() -> None:
    """xml: ones keep their name as written; others are '{namespace}name' and leave with a prefix of their own."""
    data = b"<message xmlns:a='u' xml:lang='de' a:b='1' stream:c='2' d='3'><body/></message>"
    stanza = one(data)
    assert stanza.attrs == {'xml:lang': 'de', '{u}b': '1', '{http://etherx.jabber.org/streams}c': '2', 'd': '3'}
    assert wire.canonical(to_xml(stanza), BARE) == wire.canonical(data)


@pytest.mark.parametrize(
    ('header', 'data'),
    [
        (b"<stream xmlns='http://etherx.jabber.org/streams' xmlns:c='jabber:client'>",
         b"<c:message><c:body>x</c:body><x xmlns='u'/></c:message>"),
        (b"<stream xmlns='http://etherx.jabber.org/streams'>",
         b"<message xmlns='jabber:client'><body>x</body><x xmlns='u'/></message>"),
        (b"<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns:c='jabber:client' xmlns='jabber:client'>",
         b"<c:message><body>x</body><x xmlns='u'/></c:message>"),
        (b"<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client' xmlns:u='u'>",
         b'<message><body>x</body><u:x/></message>'),
    ],
)  # fmt: skip
def test_streams_that_declare_otherwise(header: bytes, data: bytes) -> None:
    """However the content namespace is declared, the stanza comes out the same; also from a parser made anew."""
    parser = StreamParser()
    (opened,) = parser.feed(header)
    assert isinstance(opened, StreamOpen)
    for _ in range(2):
        (stanza,) = parser.feed(data)
        assert isinstance(stanza, Stanza)
        assert (stanza.name, children(stanza)) == (
            'message', [(ns.CLIENT, 'body', b'<body>x</body>'), ('u', 'x', b"<x xmlns='u'/>")]
        )  # fmt: skip
        parser.release()


@pytest.mark.parametrize(
    'data',
    [
        b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGE=<x/></auth>",
        b"<s:auth xmlns:s='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGE=<s:x/></s:auth>",
    ],
)
def test_a_nonza_stands_alone_in_its_own_namespace(data: bytes) -> None:
    """Its slice is read with its own namespace as the default."""
    (nonza,) = wire.parse(data)
    assert isinstance(nonza, Nonza)
    assert (nonza.ns, nonza.name, nonza.attrs, nonza.text) == (ns.SASL, 'auth', {'mechanism': 'PLAIN'}, 'AGE=')
    assert (nonza.inner, children(nonza)) == (b'AGE=<x/>', [(ns.SASL, 'x', b'<x/>')])


def test_one_long_namespace_written_many_times_is_refused() -> None:
    """A prefix costs a few bytes a use, its namespace hundreds: writing anew stops at twice the limit."""
    limits = Limits(stanza_bytes=20000, children=10000)
    data = b"<message xmlns:a='" + b'u' * 1000 + b"'>" + b'<a:b/>' * 3000 + b'</message>'
    (event,) = wire.parse(data, limits=limits)
    assert isinstance(event, Violation) and event.condition == 'policy-violation'


@pytest.mark.fuzz
@given(strategies.stanza_xml)
def test_a_stanza_says_what_its_bytes_said(data: bytes) -> None:
    """By a parser that is not ours, what leaves on a stream that declares nothing else says what came in."""
    stanza = one(data)
    assert wire.canonical(to_xml(stanza), BARE) == wire.canonical(data)


@pytest.mark.fuzz
@given(strategies.stanza_xml)
def test_both_ways_give_equal_xml(data: bytes) -> None:
    """The slice and what is written anew say the same, and note the same children."""
    stanza = one(data)
    header = b"<s:stream xmlns:s='u' xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:client'>"
    inner, notes = rewrite(header, data, ns.CONTENT)
    slow = Stanza(stanza.name, stanza.attrs, inner, notes)
    assert wire.canonical(to_xml(slow), BARE) == wire.canonical(to_xml(stanza), BARE)
    assert [(c.ns, c.name) for c in notes] == [(c.ns, c.name) for c in stanza.children]
    for ours, theirs in zip(stanza.children, notes, strict=True):
        assert wire.canonical(stanza.xml_of(ours), BARE) == wire.canonical(slow.xml_of(theirs), BARE)
