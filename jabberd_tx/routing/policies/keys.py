"""The key of a frame: the JID to go by."""

from __future__ import annotations

from jabberd_tx.link.frames import Route
from jabberd_tx.xmpp.jid import InvalidJid, parse
from jabberd_tx.xmpp.stanza import Stanza


def key_of(frame: Route, attribute: str, whole: bool) -> str | None:
    """The frame's own key; without one, the JID in that attribute ('to' or 'from') of its stanza, prepared.

    None for an address without a localpart, for what is no JID, and for a payload that is no stanza: all
    these would be the same key for everybody, or none.
    """
    key = frame.key
    if type(key) is str:
        return key if '@' in key and '@' in key.partition('/')[0] else None
    payload = frame.payload
    try:
        stanza = payload if isinstance(payload, Stanza) else Stanza.unpack(payload)
        jid = parse(str(stanza.attrs.get(attribute, '')))
    except (InvalidJid, ValueError):
        return None
    if not jid.local:
        return None
    return jid.full if whole else jid.bare
