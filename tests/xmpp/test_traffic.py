"""Recorded traffic: what a line has, what is read again, and what is made of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.events import Limits
from jabberd_tx.xmpp.parser import StreamParser
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.traffic import MOST_INNER, NotARecording, Sent, Shape, end, filled, header, line, read, sent
from jabberd_tx.xmpp.writer import stream_header

HEAD = header('2026-01-01T00:00:00Z', True, False)
NAMES = st.from_regex(r'[A-Za-z_][A-Za-z0-9_.-]{0,8}', fullmatch=True)
SHAPES = st.builds(Shape, st.text(max_size=12), NAMES, st.integers(0, 500))
STANZAS = st.builds(
    Sent, st.floats(0, 1e6).map(lambda at: round(at, 6)), st.text(), st.text(),
    st.sampled_from(['message', 'presence', 'iq']), st.text(), st.integers(0, 10000),
    st.lists(SHAPES, max_size=4).map(tuple), st.none() | st.text(),
)  # fmt: skip


def message(*children):
    """From juliet to romeo."""
    attrs = {'from': 'juliet@example.net/balcony', 'to': 'romeo@example.net', 'type': 'chat', 'id': 'secret-id'}
    return Stanza.build('message', attrs, *children)


def test_of_a_stanza_its_shape_is_kept():
    """Addresses, kind, and the sizes of its children; what is in it only when that is asked for."""
    body = b'<body>wherefore art thou</body>'
    stanza = message((ns.CLIENT, 'body', body), (ns.CHAT_STATES, 'active', b'<active xmlns="x"/>'))
    one = sent(1.5, stanza, False)
    children = (Shape(ns.CLIENT, 'body', len(body)), Shape(ns.CHAT_STATES, 'active', 19))
    expected = Sent(
        1.5, 'juliet@example.net/balcony', 'romeo@example.net', 'message', 'chat', len(stanza.inner), children
    )
    assert one == expected
    assert 'wherefore' not in line(one)
    assert sent(1.5, stanza, True).inner == stanza.inner.decode()


def test_passwords_are_never_recorded():
    """Nor what is too long."""
    query = b"<query xmlns='jabber:iq:register'><password>secret</password></query>"
    change = Stanza.build('iq', {'type': 'set', 'from': 'a@b/c'}, (ns.REGISTER, 'query', query))
    assert sent(0, change, True).inner is None and 'secret' not in line(sent(0, change, True))
    long = message((ns.CLIENT, 'body', b'<body>%b</body>' % (b'x' * MOST_INNER)))
    assert sent(0, long, True).inner is None


@pytest.mark.fuzz
@given(st.lists(STANZAS, max_size=4))
def test_what_is_written_is_read_again(stanzas):
    """Each line is one stanza, whatever its texts have."""
    lines = [HEAD, *map(line, stanzas), end(9.0, len(stanzas), 0)]
    assert all('\n' not in text for text in lines)
    assert list(read(iter(lines))) == stanzas


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
_KEYS = ('t', 'from', 'to', 'kind', 'type', 'size', 'children', 'inner')


@pytest.mark.fuzz
@given(st.text() | st.dictionaries(st.sampled_from(_KEYS), _VALUES).map(json.dumps))
def test_what_is_no_recording_is_refused(text):
    """With one exception that says where; nothing else is raised."""
    try:
        list(read(iter([HEAD, text])))
    except NotARecording as error:
        assert str(error).startswith('line 2: ')


@pytest.mark.parametrize('first', ['', '[]', '{}', '{"recording": 2}', '[' * 100_000])
def test_a_file_without_its_header_is_refused(first):
    """Another version is one."""
    with pytest.raises(NotARecording, match='line 1'):
        list(read(iter([first])))


@pytest.mark.fuzz
@given(st.lists(SHAPES, max_size=4))
def test_what_is_made_of_shapes_is_well_formed_and_of_their_size(shapes):
    """As far as there is room for the tags."""
    one = Sent(0, 'a@b/c', '', 'message', '', 0, tuple(shapes))
    xml = filled(one)
    parser = StreamParser(Limits(children=300))
    parser.feed(stream_header(ns.CLIENT, {'to': 'x'}))
    [stanza] = parser.feed(f'<message>{xml}</message>'.encode())
    if not isinstance(stanza, Stanza):
        # A namespace with characters that XML does not have, or one that is reserved.
        assert any(not shape.ns.isprintable() or not shape.ns.isascii() or 'w3.org' in shape.ns for shape in shapes)
        return
    assert [child.name for child in stanza.children] == [shape.name for shape in shapes]


def test_sizes_are_met():
    """With the tags of the child counted."""
    for size in (57, 40, 30):
        [child] = [Shape(ns.CLIENT, 'body', size)]
        assert len(filled(Sent(0, '', '', 'message', '', 0, (child,)))) == size
    assert filled(Sent(0, '', '', 'iq', '', 0, (Shape('jabber:iq:roster', 'query', 10),))) == (
        "<query xmlns='jabber:iq:roster'/>"
    )
    assert filled(Sent(0, '', '', 'iq', '', 0, (), '<as/>')) == '<as/>'
