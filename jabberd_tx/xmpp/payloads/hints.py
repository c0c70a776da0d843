"""Message processing hints (XEP-0334): what a sender would like to be done with a message."""

from __future__ import annotations

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.stanza import Stanza

NO_COPY, NO_STORE, NO_PERMANENT_STORE, STORE = 'no-copy', 'no-store', 'no-permanent-store', 'store'


def has_hint(stanza: Stanza, hint: str) -> bool:
    """Whether the message has the hint.  In an error they are of the message that it answers, and mean nothing (§5)."""
    return stanza.child(ns.HINTS, hint) is not None and stanza.attrs.get('type') != 'error'
