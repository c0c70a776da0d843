"""XEP-0359: accounts give their messages IDs, and nobody else does so in their name.

An ID that a message brings is dropped if it claims to be by the account of its sender or of its recipient, or by a
domain of ours.  What is kept for somebody who is not online gets an ID, or with `assign = 'all'` everything that is
delivered to users of ours.  The ID is a digest of the message's uid: a message that is repeated, comes back unacked or
is stored after all keeps it.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from jabberd_tx.base.options import Option
from jabberd_tx.components.sm.lanes import Item
from jabberd_tx.components.sm.module import Module, hook
from jabberd_tx.storage.sessions.interface import Session
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.payloads.stanza_id import NAME, assign, strip
from jabberd_tx.xmpp.stanza import Stanza

ALL, STORED = 'all', 'stored'


class StanzaIds(Module):
    """Gives messages IDs that can be trusted."""

    name = 'stanza_ids'
    xeps = ('XEP-0359',)
    server_features = account_features = (ns.SID,)
    options = (
        Option(
            'assign',
            str,
            STORED,
            'Which messages get an ID: those that are kept for later, or all that are delivered; the latter makes '
            'each of them longer, and its way through the server.',
            choices=(STORED, ALL),
            reload=True,
        ),
    )

    @hook('message_concerns')
    def concerns(self, stanza: Stanza, own: Sequence[Session] | None, others: Sequence[Session] | None) -> bool:
        """Whether it may bring an ID, or gets one."""
        for child in stanza.children:
            if child[1] == NAME:
                return True
        return bool(self.values.assign == ALL)

    # Set on the message, not answered with: others are to see it as well.

    @hook('message_sent', order=20)
    def take_from_sender(self, message: Item) -> None:
        """None of its sender's account, or of the server."""
        message.stanza = strip(message.stanza, {self.sm.bare_of(message.sender), *self.sm.domains})

    @hook('message_to', order=20)
    def deliver(self, message: Item) -> None:
        """None of its recipient's account, but the right one."""
        by, stanza = message.to.bare, strip(message.stanza, {message.to.bare, *self.sm.domains})
        if self.values.assign == ALL and stanza.attrs.get('type') not in ('error', 'headline'):
            stanza = assign(stanza, by, identifier(message.uid))
        message.stanza = stanza

    @hook('message_unreachable', order=40)
    def keep(self, message: Item) -> None:
        """What is stored after this gets its ID now."""
        message.stanza = assign(message.stanza, message.to.bare, identifier(message.uid))


def identifier(uid: bytes) -> str:
    """32 hexadecimal digits: always the same for a uid, and nothing can be told from them."""
    return blake2b(uid, digest_size=16).hexdigest()
