"""What handlers send, as stanzas: domish elements, or XML as text."""

from __future__ import annotations

from typing import Any

from twisted.words.protocols.jabber.error import StanzaError as ElementError
from twisted.words.xish.domish import Element, IElement

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import CONDITIONS, TYPES, StanzaError
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.tree import from_element, parse_into

_KINDS = ('message', 'presence', 'iq')


def stanza_of(sent: Any) -> Stanza:
    """The stanza that an element is, or text or bytes of XML; ValueError for anything else.

    It goes by way of text, as over a stream: what has no namespace inherits one there, and elements may have text
    inside that is XML already.
    """
    xml = sent.toXml(defaultUri=ns.CLIENT) if IElement.providedBy(sent) else sent
    if isinstance(xml, str):
        xml = xml.encode()
    if not isinstance(xml, bytes):
        raise ValueError(f'expected an element or XML, not {type(sent).__name__}')
    around = Element((ns.CLIENT, 'stream'))
    parse_into(around, xml)
    if len(around.children) != 1 or not isinstance(root := around.children[0], Element):
        raise ValueError('expected one stanza')
    if root.uri not in ns.CONTENT or root.name not in _KINDS:
        raise ValueError(f'expected a stanza, not {root.name} in {root.uri}')
    return from_element(root)


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
