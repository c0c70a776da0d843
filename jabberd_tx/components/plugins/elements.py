"""What handlers send, as stanzas: domish elements, or XML as text."""

from __future__ import annotations

from typing import Any

from twisted.words.protocols.jabber.error import StanzaError as ElementError
from twisted.words.xish.domish import Element, IElement, SerializedXML

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import CONDITIONS, TYPES, StanzaError
from jabberd_tx.xmpp.rewrite import SelfContained
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.tree import parse_into

_KINDS = ('message', 'presence', 'iq')


def stanza_of(sent: Any) -> Stanza:
    """The stanza that an element is, or text or bytes of XML; ValueError for anything else.

    It is what a stream in jabber:client would make of it: an element without a namespace has that of its parent, and
    text may be XML already (domish's addRawXml).
    """
    root: Any = sent if IElement.providedBy(sent) else _parsed(sent)
    uri = ns.CLIENT if root.uri is None else root.uri
    if uri not in ns.CONTENT or root.name not in _KINDS:
        raise ValueError(f'expected a stanza, not {root.name} in {uri}')
    attrs = {}
    for (space, key), value in _attributes(root).items():
        attrs[f'xml:{key}' if space == ns.XML else f'{{{space}}}{key}' if space else key] = value
    out = SelfContained(ns.CONTENT)
    for child in root.children:
        _write(out, child, uri if root.defaultUri is None else root.defaultUri)
    return Stanza(root.name, attrs, out.inner, out.children)


def _parsed(xml: Any) -> Element:
    if isinstance(xml, str):
        xml = xml.encode()
    if not isinstance(xml, bytes):
        raise ValueError(f'expected an element or XML, not {type(xml).__name__}')
    around = Element((ns.CLIENT, 'stream'))
    parse_into(around, xml)
    if len(around.children) != 1 or not isinstance(root := around.children[0], Element):
        raise ValueError('expected one stanza')
    return root


def _write(out: SelfContained, node: Any, inherited: str) -> None:
    """`inherited`: the namespace of what has none itself."""
    if isinstance(node, SerializedXML):
        around = Element((inherited, 'x'))
        parse_into(around, node.encode())
        for child in around.children:
            _write(out, child, inherited)
    elif isinstance(node, str):
        out.text(node)
    else:
        inside = inherited if node.defaultUri is None else node.defaultUri
        out.start(inside if node.uri is None else node.uri, node.name, _attributes(node))
        for child in node.children:
            _write(out, child, inside)
        out.end()


def _attributes(element: Element) -> dict[tuple[str, str], str]:
    """By (namespace or '', local name)."""
    found = {}
    for key, value in element.attributes.items():
        if not isinstance(value, str):
            raise ValueError(f'expected text in the attribute {key} of {element.name}, not {type(value).__name__}')
        if isinstance(key, tuple):
            found[key[0] or '', key[1]] = value
        else:
            found[(ns.XML, key[4:]) if key.startswith('xml:') else ('', key)] = value
    return found


def error_of(raised: Exception) -> StanzaError | None:
    """The error that a handler has refused a stanza with: ours or twisted's; None for any other exception."""
    if isinstance(raised, StanzaError):
        return raised
    if not isinstance(raised, ElementError) or raised.condition not in CONDITIONS:
        return None
    kind = raised.type if raised.type in TYPES else None
    special = raised.appCondition
    xml = special.toXml().encode() if special is not None else b''
    return StanzaError(raised.condition, str(raised.text or ''), kind, application=xml)
