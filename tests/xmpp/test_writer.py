"""What leaves is well-formed and says what was meant."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.testing import strategies, wire
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.parser import StreamOpen, StreamParser
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import (
    STREAM_END,
    addressed,
    escape,
    head_and_tail,
    quote,
    start_tag,
    stream_header,
    to_xml,
)

anything = st.text(st.one_of(st.characters(), st.sampled_from('<>&\'"\r\n\t\x00\x0b\ufffe\ud800')), max_size=30)


def allowed(text: str) -> str:
    """The text, with U+FFFD for what XML 1.0 §2.2 does not have."""
    return ''.join([
        c if c in '\t\n\r' or ' ' <= c <= '\ud7ff' or '\ue000' <= c <= '\ufffd' or c >= '\U00010000' else '\ufffd'
        for c in text
    ])  # fmt: skip


def test_a_stanza() -> None:
    """A fresh start tag, the bytes as they are, an end tag; one tag where there is nothing inside."""
    stanza = Stanza.build('message', {'to': 'a@b', 'xml:lang': 'en'}, (ns.CLIENT, 'body', b'<body >x</body>'))
    assert to_xml(stanza) == b"<message to='a@b' xml:lang='en'><body >x</body></message>"
    assert to_xml(Stanza('presence', {})) == b'<presence/>'


def test_control_characters_leave_as_references() -> None:
    """CR, LF and TAB in an attribute would be spaces otherwise; CR in text a LF."""
    assert quote('a\r\n\tb') == 'a&#13;&#10;&#9;b'
    assert escape('a\r\n\tb') == 'a&#13;\n\tb'


def test_a_namespaced_attribute_gets_a_prefix() -> None:
    """It is declared on the same tag."""
    assert start_tag('x', {'a': '1', "{u'v}b": '<'}) == "<x a='1' xmlns:ns1='u&apos;v' ns1:b='&lt;'"


def test_braces_and_quotes_in_values() -> None:
    """What makes the writer look twice comes out as it went in."""
    for value in ('{a}b', "it's", '"', '<', '>', '&amp;', "''", 'é{', '\u2028', '\U000e0001'):
        (found,) = ElementTree.fromstring(f'<r>{start_tag("x", {"a": value})}/></r>')
        assert found.attrib == {'a': value}


def test_fan_out() -> None:
    """The bytes around the `to` are made once; each target's are those of the stanza with that `to`."""
    for inner in (b'', b'<show>away</show>'):
        stanza = Stanza('presence', {'to': 'old@x', 'from': 'a@b/c', 'id': "'"}, inner)
        head, tail = head_and_tail(stanza)
        for target in ('d@e/f', "o'neil@x/<&>"):
            assert wire.canonical(addressed(head, target, tail)) == wire.canonical(to_xml(stanza.with_attrs(to=target)))
        assert addressed(head, '', tail) == to_xml(stanza.with_attrs(to=None))


def test_stream_header() -> None:
    """It opens a stream of that content namespace, for our parser and for others."""
    header = stream_header(ns.SERVER, {'from': "a'b", 'xml:lang': 'en'})
    assert StreamParser().feed(header) == [StreamOpen({'from': "a'b", 'xml:lang': 'en'}, ns.SERVER)]
    assert ElementTree.fromstring(header + STREAM_END).tag == f'{{{ns.STREAM}}}stream'


@pytest.mark.fuzz
@given(anything)
def test_any_text_leaves_well_formed(text: str) -> None:
    """In content and in attributes; what XML does not have becomes U+FFFD."""
    xml = f"<x a='{quote(text)}'>{escape(text)}</x>".encode()
    element = ElementTree.fromstring(xml)
    assert element.attrib['a'] == (element.text or '') == allowed(text)


@pytest.mark.fuzz
@given(st.dictionaries(st.sampled_from(['to', 'from', 'xml:lang', '{u}a', "{u'}b"]), anything, max_size=4))
def test_any_attributes_leave_well_formed(attrs: dict[str, str]) -> None:
    """The whole start tag, checked at once or value by value."""
    (found,) = ElementTree.fromstring(b'<r>' + to_xml(Stanza('iq', attrs)) + b'</r>')
    expected = {key.replace('xml:', f'{{{ns.XML}}}'): allowed(value) for key, value in attrs.items()}
    assert found.attrib == expected


@pytest.mark.fuzz
@given(strategies.stanzas)
def test_what_is_written_is_read_back(stanza: Stanza) -> None:
    """By our own parser, to the same stanza."""
    (again,) = wire.parse(to_xml(stanza))
    assert isinstance(again, Stanza)
    assert (again.name, again.attrs) == (stanza.name, stanza.attrs)
    assert wire.canonical(to_xml(again)) == wire.canonical(to_xml(stanza))
    assert [(c.ns, c.name) for c in again.children] == [(c.ns, c.name) for c in stanza.children]
