"""Unique and stable stanza IDs (XEP-0359): <stanza-id/>, which whoever is named in `by` has given to a message."""

from __future__ import annotations

from collections.abc import Collection

from twisted.words.xish.domish import Element

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.jid import InvalidJid, parse
from jabberd_tx.xmpp.stanza import Child, Stanza
from jabberd_tx.xmpp.tree import parse_into
from jabberd_tx.xmpp.writer import start_tag

NAME = 'stanza-id'


def assign(stanza: Stanza, by: str, identifier: str) -> Stanza:
    """The message with this ID, and without any other that seems to be by the same (§4): `by` is a prepared JID."""
    xml = start_tag(NAME, {'xmlns': ns.SID, 'by': by, 'id': identifier}) + '/>'
    return strip(stanza, (by,)).plus(ns.SID, NAME, xml.encode())


def strip(stanza: Stanza, bys: Collection[str]) -> Stanza:
    """The message without the IDs that claim to be by one of these prepared JIDs; what is not changed is the same."""
    if b'stanza-id' not in stanza.inner:
        return stanza
    forged = [child for child in stanza.children if _is_by(stanza, child, bys)]
    if not forged:
        return stanza
    kept = [(child.ns, child.name, stanza.xml_of(child)) for child in stanza.children if child not in forged]
    return Stanza.build(stanza.name, stanza.attrs, *kept)


def _is_by(stanza: Stanza, child: Child, bys: Collection[str]) -> bool:
    if child.name != NAME or child.ns != ns.SID:
        return False
    holder = Element((ns.CLIENT, stanza.name))
    parse_into(holder, stanza.xml_of(child))
    element = holder.firstChildElement()
    by = element.getAttribute('by', '') if element is not None else ''
    try:
        return parse(by).full in bys
    except InvalidJid:
        return False
