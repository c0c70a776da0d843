"""Stanzas as trees of domish elements, for modules that look inside.  Not for the stanza path."""

from __future__ import annotations

from typing import Any
from xml.parsers import expat

from twisted.words.xish.domish import Element

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.names import SEPARATOR, split
from jabberd_tx.xmpp.rewrite import SelfContained
from jabberd_tx.xmpp.stanza import Stanza


def to_element(stanza: Stanza) -> Element:
    """The stanza as a tree in jabber:client; ValueError when `inner` is not well-formed."""
    root = Element((ns.CLIENT, stanza.name))
    for key, value in stanza.attrs.items():
        root.attributes[_key(key)] = value
    parse_into(root, stanza.inner)
    return root


def parse_into(root: Element, inner: bytes) -> None:
    """Add what `inner` holds, read with the root's namespace as the default, to a tree; ValueError."""
    current = root
    depth = 0
    parser = expat.ParserCreate('UTF-8', SEPARATOR)

    def on_start(name: str, attrs: dict[str, str]) -> None:
        nonlocal current, depth
        depth += 1
        if depth > 1:
            element = Element(split(name), attribs=None)
            for key, value in attrs.items():
                uri, local = split(key)
                element.attributes[(uri, local) if uri else local] = value
            current.addChild(element)
            current = element

    def on_end(name: str) -> None:
        nonlocal current, depth
        depth -= 1
        if depth:
            parent = current.parent
            assert parent is not None  # the root is
            current = parent

    def on_text(text: str) -> None:
        current.addContent(text)

    def on_restricted(*_: Any) -> None:
        raise ValueError('restricted XML')

    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = on_start, on_end
    parser.CharacterDataHandler = on_text
    parser.StartDoctypeDeclHandler = on_restricted
    try:
        parser.Parse(f"<x xmlns='{root.uri}'>".encode() + inner + b'</x>', True)
    except expat.ExpatError as error:
        raise ValueError(f'broken XML: {error}') from None


def from_element(element: Element) -> Stanza:
    """The inverse of `to_element`, of any tree whose root is a stanza in one of the content namespaces."""
    attrs = {}
    for key, value in element.attributes.items():
        if isinstance(key, tuple):
            uri, local = key
            key = f'xml:{local}' if uri == ns.XML else f'{{{uri}}}{local}' if uri else local
        attrs[key] = value
    out = SelfContained(ns.CONTENT)
    for child in element.children:
        _write(out, child)
    return Stanza(element.name, attrs, out.inner, out.children)


def _write(out: SelfContained, node: Any) -> None:
    if not isinstance(node, Element):
        out.text(str(node))
        return
    attrs = {}
    for key, value in node.attributes.items():
        attrs[key if isinstance(key, tuple) else _split_key(key)] = value
    out.start(node.uri or '', node.name, attrs)
    for child in node.children:
        _write(out, child)
    out.end()


def _split_key(key: str) -> tuple[str, str]:
    return (ns.XML, key[4:]) if key.startswith('xml:') else ('', key)


def _key(key: str) -> Any:
    """domish's key for an attribute named as in Stanza.attrs."""
    if key.startswith('xml:'):
        return (ns.XML, key[4:])
    if key.startswith('{'):
        uri, _, local = key[1:].rpartition('}')
        return (uri, local)
    return key
