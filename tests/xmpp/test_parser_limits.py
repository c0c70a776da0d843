"""Limits hold before memory grows, and what a client sends in small bits costs no more than in large ones."""

from __future__ import annotations

import tracemalloc
from unittest import mock

import pytest

from jabberd_tx.testing import wire
from jabberd_tx.xmpp import parser as parser_module
from jabberd_tx.xmpp import tokens
from jabberd_tx.xmpp.elements import LONGEST_NAMESPACE, RENEWAL
from jabberd_tx.xmpp.events import Event, Limits, Violation
from jabberd_tx.xmpp.parser import StreamParser
from jabberd_tx.xmpp.stanza import Stanza


def refused(events: list[Event]) -> bool:
    return bool(events) and isinstance(events[-1], Violation) and events[-1].condition == 'policy-violation'


def whole(events: list[Event]) -> bool:
    return len(events) == 1 and isinstance(events[0], Stanza)


def message(size: int) -> bytes:
    """A message of so many bytes."""
    return b'<message><body>%b</body></message>' % (b'x' * (size - 32))


SHAPES = {
    'text': message,
    'text full of greater-than': lambda size: b'<message>%b</message>' % (b'>' * (size - 19)),
    'attribute': lambda size: b"<message id='%b'/>" % (b'x' * (size - 16)),
    'attribute full of greater-than': lambda size: b"<message id='%b'/>" % (b'>' * (size - 16)),
    'name': lambda size: b'<message><%b/></message>' % (b'x' * (size - 22)),
    'siblings': lambda size: b'<message><x>%b</x></message>' % (b'<b/>' * (size // 4 - 7) + b' ' * (size % 4 + 2)),
    'CDATA': lambda size: b'<message><![CDATA[%b]]></message>' % (b'>' * (size - 31)),
}


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('step', [1, 7, 10_000])
def test_bytes_of_a_stanza(shape: str, step: int) -> None:
    """As many as the limit says, and not one more, in whatever pieces, after another stanza or not."""
    limits = Limits(stanza_bytes=1000)
    for before in (b'', b'<presence/>', b' \n'):
        expected = before.count(b'<')
        data = before + SHAPES[shape](1000)
        events = wire.parse(data, range(0, len(data), step), limits=limits)
        assert len(events) == expected + 1 and isinstance(events[-1], Stanza)
        data = before + SHAPES[shape](1001)
        events = wire.parse(data, range(0, len(data), step), limits=limits)
        assert len(events) == expected + 1 and refused(events)


def test_many_stanzas_at_once() -> None:
    """The limit is for each: more of them may come in one read than it allows for one."""
    assert len(wire.parse(message(900) * 200, limits=Limits(stanza_bytes=1000))) == 200


def test_a_stream_header_and_what_comes_before() -> None:
    """Before the header nobody is known: the same limit holds."""
    limits = Limits(stanza_bytes=1000)
    for data in (b'<stream:stream ' + b'x' * 1000, b'<?xml ' + b'>' * 1000, b"<a b='" + b'>' * 1000):
        assert refused(StreamParser(limits).feed(data))
        assert refused([event for parser in [StreamParser(limits)] for c in data for event in parser.feed(bytes([c]))])


@pytest.mark.parametrize('step', [1, 10_000])
def test_depth(step: int) -> None:
    """A stanza is at 1, its child at 2."""
    limits = Limits(depth=5)
    for depth, verdict in ((4, whole), (5, refused)):
        data = b'<message>' + b'<a>' * depth + b'</a>' * depth + b'</message>'
        assert verdict(wire.parse(data, range(0, len(data), step), limits=limits))


def test_children() -> None:
    """Direct children of one stanza; each has its own."""
    limits = Limits(children=5)
    assert len(wire.parse((b'<message>' + b'<a><b/></a>' * 5 + b'</message>') * 2, limits=limits)) == 2
    assert refused(wire.parse(b'<message>' + b'<a/>' * 6 + b'</message>', limits=limits))


@pytest.mark.parametrize(
    'data', [b'<message %b/>', b'<message><a %b/></message>', b'<message><a><b><c %b/></b></a></message>']
)
def test_attributes_of_a_tag(data: bytes) -> None:
    """At any depth."""
    limits = Limits(attributes=5)
    for count, verdict in ((5, whole), (6, refused)):
        attrs = b' '.join([b"a%d='>'" % number for number in range(count)])
        assert verdict(wire.parse(data % attrs, limits=limits))
        assert verdict(wire.parse(data % attrs, range(1000), limits=limits))


def test_attributes_of_the_header() -> None:
    """Its declarations count too."""
    header = wire.HEADER[:-1] + b" a='1' b='2'>"
    assert not refused(StreamParser(Limits(attributes=7)).feed(header))
    assert refused(StreamParser(Limits(attributes=6)).feed(header))


def test_limits_may_change_while_the_stream_runs() -> None:
    """Small before login, larger after it."""
    parser = StreamParser(Limits(stanza_bytes=300))
    parser.feed(wire.HEADER)
    parser.limits = Limits(stanza_bytes=3000)
    assert whole(parser.feed(message(2000)))
    parser.limits = Limits(stanza_bytes=300)
    assert refused(parser.feed(message(2000)))


def test_length_of_a_namespace() -> None:
    """expat copies it for each name in it."""
    for length, verdict in ((LONGEST_NAMESPACE, whole), (LONGEST_NAMESPACE + 1, refused)):
        uri = b'u' * length
        assert verdict(wire.parse(b"<message><a xmlns='%b'/></message>" % uri))
        assert verdict(wire.parse(b"<message><b:a xmlns:b='%b'/></message>" % uri))
        assert verdict(wire.parse(b"<message xmlns:b='%b'/>" % uri))
    assert refused(StreamParser().feed(wire.HEADER[:-1] + b" xmlns:b='%b'>" % (b'u' * 1025)))


@pytest.mark.parametrize('shape', SHAPES)
def test_ten_megabytes_take_no_more_memory_than_the_limit(shape: str) -> None:
    """A stanza far beyond the limit is refused early, come as it may: the process does not grow with it."""
    data = SHAPES[shape](10_000_000)
    for step in (65536, 10_000_000):
        parser = StreamParser()
        parser.feed(wire.HEADER)
        tracemalloc.start()
        try:
            events: list[Event] = []
            for start in range(0, len(data), step):
                events += parser.feed(data[start : start + step] if step < len(data) else data)
                if events:
                    break
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert refused(events)
        assert peak < 1_500_000


def test_ten_million_bytes_between_stanzas() -> None:
    """Whitespace is dropped as it comes, however much."""
    parser = StreamParser(Limits(stanza_bytes=1000))
    parser.feed(wire.HEADER)
    for _ in range(1000):
        assert parser.feed(b' \n' * 5000) == []
    assert whole(parser.feed(message(1000)))


@pytest.mark.parametrize(
    'bits',
    [
        [b"<message id='", *[b'>'] * 20000, b"'/>"],
        [b"<message id='", *[b'">'] * 10000, b"'/>"],
        [b'<message><!--', *[b'>'] * 20000, b'--></message>'],
        [b'<message>', *[b"'>"] * 10000, b'</message>'],
        [b'<message><![CDATA[<a ', *[b"'>"] * 10000, b']]></message>'],
        [b'<message ', *[b"a='>' "] * 5000, b'/>'],
        [b'<message ', *[b"a='>", b"' "] * 5000, b'/>'],
        [b'<?xml ', *[b'>'] * 20000, b'?>'],
    ],
)
def test_small_bits_are_not_looked_at_again_and_again(bits: list[bytes]) -> None:
    """The bytes scanned for the end of a tag are a small multiple of those that came, not their square."""
    parser = StreamParser()
    if not bits[0].startswith(b'<?'):
        parser.feed(wire.HEADER)
    scanned = 0

    def counted(data: bytes, start: int) -> int:
        nonlocal scanned
        scanned += len(data) - start
        return tokens.unfinished(data, start)

    def counted_end(data: bytes, start: int) -> int:
        nonlocal scanned
        scanned += len(data) - start
        return tokens.tag_end(data, start)

    size = sum(map(len, bits))
    with mock.patch.multiple(parser_module, unfinished=counted, tag_end=counted_end):
        # A tag with more attributes than it may have can wait for what comes next.
        events = [event for bit in [*bits, b'<presence/>'] for event in parser.feed(bit)]
    assert events or bits[0].startswith(b'<?')
    assert scanned < 60 * size


def test_names_that_expat_remembers_go() -> None:
    """A stream with ever new names does not grow: expat is made anew between two stanzas."""
    parser = StreamParser()
    parser.feed(wire.HEADER)
    parser.feed(b'<presence/>')
    first = parser._expat
    count = 0
    while parser._expat is first:
        assert whole(parser.feed(b"<message><name%d a%d=''/></message>" % (count, count)))
        count += 1
        assert count < RENEWAL
    assert whole(parser.feed(b'<presence/>'))
