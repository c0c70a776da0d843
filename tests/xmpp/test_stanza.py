"""The envelope and its bytes: looking in, making others, packing."""

from __future__ import annotations

import pytest
from cbor2 import dumps, loads
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.testing import strategies
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.stanza import Child, Stanza

MESSAGE = Stanza.build(
    'message', {'to': 'a@b', 'id': '1'},
    (ns.CLIENT, 'body', b'<body>x</body>'), ('u', 'x', b"<x xmlns='u'/>"), ('u', 'x', b"<x xmlns='u'>2</x>"),
)  # fmt: skip


def test_children_are_found_by_namespace_and_name() -> None:
    """The first of that name; its bytes are the whole of it; None where there is none."""
    body = MESSAGE.child(ns.CLIENT, 'body')
    assert body == Child(ns.CLIENT, 'body', 0, 14) and MESSAGE.xml_of(body) == b'<body>x</body>'
    second = MESSAGE.child('u', 'x')
    assert second is not None and MESSAGE.xml_of(second) == b"<x xmlns='u'/>"
    assert MESSAGE.child('u', 'body') is None
    assert MESSAGE.child(ns.CLIENT, 'x') is None


def test_readdressing_shares_the_bytes() -> None:
    """Attributes are set and removed on a new stanza; the old one stays as it was."""
    other = MESSAGE.with_attrs(to='c@d', id=None, from_='e@f')
    assert other.attrs == {'to': 'c@d', 'from': 'e@f'}
    assert other.inner is MESSAGE.inner and other.children is MESSAGE.children
    assert MESSAGE.attrs == {'to': 'a@b', 'id': '1'}


def test_children_are_dropped_and_added() -> None:
    """All of one name go; what is added comes last; the notes go along."""
    less = MESSAGE.without('u', 'x')
    assert (less.inner, less.children) == (b'<body>x</body>', (Child(ns.CLIENT, 'body', 0, 14),))
    assert MESSAGE.without('u', 'y') is MESSAGE
    more = less.plus('v', 'y', b"<y xmlns='v'/>")
    assert more.inner == b"<body>x</body><y xmlns='v'/>"
    assert more.children[-1] == Child('v', 'y', 14, 28)


def test_a_message_is_not_shown() -> None:
    """What goes to a log has the envelope only."""
    assert 'body' not in repr(MESSAGE) and 'a@b' in repr(MESSAGE)


def test_packed_is_what_the_link_protocol_says() -> None:
    """A CBOR array [name, attrs, inner, [[ns, name, start, end] …]], made once."""
    packed = MESSAGE.pack()
    assert loads(packed) == [
        'message', {'to': 'a@b', 'id': '1'}, MESSAGE.inner,
        [[ns.CLIENT, 'body', 0, 14], ['u', 'x', 14, 28], ['u', 'x', 28, 46]],
    ]  # fmt: skip
    assert MESSAGE.pack() is packed
    assert Stanza.unpack(packed).pack() is packed


@pytest.mark.fuzz
@given(strategies.stanzas)
def test_unpack_gives_what_was_packed(stanza: Stanza) -> None:
    """Any stanza, whatever is in it."""
    again = Stanza.unpack(stanza.pack())
    assert again == stanza
    assert [type(child) for child in again.children] == [Child] * len(stanza.children)


@pytest.mark.parametrize(
    'value',
    [
        None, 5, [], 'message', ['message', {}, b''], ['message', {}, b'', [], 1],
        [b'message', {}, b'', []], [5, {}, b'', []], ['', {}, b'', []], ['message to="x"', {}, b'', []],
        ['message', [], b'', []], ['message', {'to': 5}, b'', []], ['message', {5: 'a'}, b'', []],
        ['message', {'to': b'a'}, b'', []], ['message', {'to': None}, b'', []], ['message', 'to', b'', []],
        ['message', {}, '', []], ['message', {}, None, []], ['message', {}, b'', None], ['message', {}, b'', 5],
        ['message', {}, b'abc', [['u', 'a', 0, 4]]], ['message', {}, b'abc', [['u', 'a', -1, 2]]],
        ['message', {}, b'abc', [['u', 'a', 2, 1]]], ['message', {}, b'abc', [['u', 'a', 0, 2], ['u', 'a', 1, 3]]],
        ['message', {}, b'abc', [['u', 'a', 0.0, 2.0]]], ['message', {}, b'abc', [['u', 'a', False, True]]],
        ['message', {}, b'abc', [['u', 'a', 0]]], ['message', {}, b'abc', [['u', 'a', 0, 1, 2]]],
        ['message', {}, b'abc', [[b'u', b'a', 0, 1]]], ['message', {}, b'abc', [[1, 2, 0, 1]]],
        ['message', {}, b'abc', [[[], [], 0, 1]]], ['message', {}, b'abc', [['u', 'a', '0', '1']]],
        ['message', {}, b'abc', ['uv01']],
    ],
)  # fmt: skip
def test_what_is_no_stanza_is_not_unpacked(value: object) -> None:
    """Each type is looked at, and that children lie in order inside `inner`."""
    with pytest.raises(ValueError, match='not a packed stanza'):
        Stanza.unpack(dumps(value))


def _consistent(packed: bytes) -> None:
    try:
        stanza = Stanza.unpack(packed)
    except ValueError:
        return
    assert type(stanza.name) is str and type(stanza.inner) is bytes and type(stanza.attrs) is dict
    assert all(type(part) is str for item in stanza.attrs.items() for part in item)
    position = 0
    for child in stanza.children:
        assert type(child.ns) is type(child.name) is str and type(child.start) is type(child.end) is int
        assert position <= child.start < child.end <= len(stanza.inner)
        position = child.end


@pytest.mark.fuzz
@given(st.binary(max_size=200))
def test_any_bytes_unpack_to_a_consistent_stanza_or_value_error(packed: bytes) -> None:
    """Nothing else is raised, nothing else comes out."""
    _consistent(packed)


@pytest.mark.fuzz
@given(strategies.stanzas, st.lists(st.tuples(st.integers(0, 500), st.binary(min_size=1, max_size=2)), max_size=4))
def test_damaged_stanzas_unpack_likewise(stanza: Stanza, damage: list[tuple[int, bytes]]) -> None:
    """The same for what looks almost right."""
    packed = stanza.pack()
    for position, piece in damage:
        position %= len(packed)
        packed = packed[:position] + piece + packed[position + len(piece) :]
    _consistent(packed)
