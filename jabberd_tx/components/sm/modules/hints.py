"""XEP-0334: what a sender hints at.  no-store and store are heeded where messages are stored (here, and in offline.py),
no-copy where they are copied (carbons.py).  There is no archive that no-permanent-store could be about."""

from __future__ import annotations

from jabberd_tx.components.sm.hooks import STOP, Stop
from jabberd_tx.components.sm.lanes import Item
from jabberd_tx.components.sm.module import Module, hook
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.payloads.hints import NO_STORE, has_hint


class Hints(Module):
    """Heeds what senders say of storing and copying a message."""

    name = 'hints'
    xeps = ('XEP-0334',)
    server_features = account_features = (ns.HINTS,)

    @hook('message_unreachable', order=10)
    def drop(self, message: Item) -> Stop | None:
        """What is not to be stored is not worth an error either: its sender wants it to reach those who are there."""
        return STOP if has_hint(message.stanza, NO_STORE) else None
