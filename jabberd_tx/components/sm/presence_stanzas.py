"""Presence stanzas: what stands in them, and those that the server makes."""

from __future__ import annotations

import re

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.stanza import Stanza

# Nearly all of them; the rest is parsed.
_PLAIN = re.compile(rb'<priority[^<>]*>\s*([+-]?[0-9]{1,3})\s*</priority\s*>')
_NUMBER = re.compile(r'[+-]?[0-9]{1,3}')


def priority_of(stanza: Stanza) -> int:
    """The priority of available presence, -128 to 127; 0 when it says none (RFC 6121 §4.7.2.3).

    StanzaError (bad-request) for anything else, or more than one."""
    if not stanza.children:
        return 0
    found = [child for child in stanza.children if child.name == 'priority' and child.ns == ns.CLIENT]
    if not found:
        return 0
    plain = _PLAIN.fullmatch(stanza.xml_of(found[0]))
    if plain is not None:
        text = plain[1].decode()
    else:
        element = next(stanza.element.elements(ns.CLIENT, 'priority'))
        text = ''.join([part for part in element.children if isinstance(part, str)]).strip()
    if len(found) > 1 or not _NUMBER.fullmatch(text) or not -128 <= int(text) <= 127:
        raise StanzaError('bad-request', 'a presence has one priority, from -128 to 127')
    return int(text)


def available(jid: str, to: str, id: str | None = None) -> Stanza:
    """Says that a resource is there, and no more than that."""
    return _made(None, jid, to, id)


def unavailable(jid: str, to: str | None = None, id: str | None = None) -> Stanza:
    """What the server says for a resource that is gone, or that somebody may no longer see."""
    return _made('unavailable', jid, to, id)


def probe(bare: str, to: str) -> Stanza:
    """Asks another server for a contact's presence (§4.3.1)."""
    return _made('probe', bare, to)


def subscription(kind: str, bare: str, to: str, id: str | None = None) -> Stanza:
    """Presence of type subscribed, unsubscribed, … that the server sends on a user's behalf."""
    return _made(kind, bare, to, id)


def _made(kind: str | None, jid: str, to: str | None, id: str | None = None) -> Stanza:
    attrs = {'from': jid}
    for name, value in (('to', to), ('type', kind), ('id', id)):
        if value is not None:
            attrs[name] = value
    return Stanza('presence', attrs)
