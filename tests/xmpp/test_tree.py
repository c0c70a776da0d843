"""Stanzas as trees and back."""

from __future__ import annotations

import pytest
from hypothesis import given

from jabberd_tx.testing import strategies, wire
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.tree import from_element, to_element
from jabberd_tx.xmpp.writer import to_xml


def test_a_tree() -> None:
    """Elements in their namespaces, attributes by domish's keys, text where it was."""
    stanza = Stanza.build(
        'message', {'to': 'a@b', 'xml:lang': 'en', '{u}x': '1'},
        (ns.CLIENT, 'body', b"<body xml:lang='de'>x<![CDATA[&]]></body>"),
        ('u', 'y', b"<y xmlns='u' xmlns:v='v' v:w='2'><z/>tail</y>"),
    )  # fmt: skip
    root = stanza.element
    assert (root.uri, root.name, root['to'], root[(ns.XML, 'lang')], root[('u', 'x')]) == (
        ns.CLIENT, 'message', 'a@b', 'en', '1',
    )  # fmt: skip
    body, other = root.elements()
    assert (body.uri, body.name, str(body), body[(ns.XML, 'lang')]) == (ns.CLIENT, 'body', 'x&', 'de')
    assert (other.uri, other.name, other[('v', 'w')]) == ('u', 'y', '2')
    assert [getattr(part, 'name', part) for part in other.children] == ['z', 'tail']
    assert other.parent is root


def test_what_modules_add_comes_out() -> None:
    """A tree that was changed is a stanza again, whose children are noted."""
    root = Stanza('message', {'id': '1'}).element
    root.addElement('body', content='a<b')
    child = root.addElement(('u', 'x'))
    child['a'] = "it's"
    child.addElement('y')
    stanza = from_element(root)
    assert stanza.inner == b"<body>a&lt;b</body><x xmlns='u' a='it&apos;s'><y/></x>"
    assert [child[:2] for child in stanza.children] == [(ns.CLIENT, 'body'), ('u', 'x')]


@pytest.mark.parametrize('inner', [b'<a>', b'</a>', b'&x;', b'<a:b/>', b'\xff', b'<!DOCTYPE x>', b'</x><x>'])
def test_broken_bytes_are_a_value_error(inner: bytes) -> None:
    """Where bytes did not come through the parser."""
    with pytest.raises(ValueError, match='XML'):
        to_element(Stanza('message', {}, inner))


@pytest.mark.fuzz
@given(strategies.stanzas)
def test_there_and_back(stanza: Stanza) -> None:
    """The same XML, the same notes."""
    again = from_element(to_element(stanza))
    assert (again.name, again.attrs) == (stanza.name, stanza.attrs)
    assert wire.canonical(to_xml(again)) == wire.canonical(to_xml(stanza))
    assert [child[:2] for child in again.children] == [child[:2] for child in stanza.children]
