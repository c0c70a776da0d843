"""XEP-0280: a user's other clients get copies of what one of them sends and gets.

A copy is posted right after its original, over the link that its sender's messages take, so that copies keep the order
of the originals.  Its uid is made of the original's, and of the stream that it is for: if the original is repeated,
the copy is the same again, and the c2s knows it.  A copy goes to its client or nowhere: one that comes back unacked is
dropped here, for its user has the original elsewhere.  It is sent once, when its original goes somewhere for the first
time; a client that has a copy may still get the original, if those that it was sent to turn out to be gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jabberd_tx.components.sm.hooks import STOP, Stop
from jabberd_tx.components.sm.iq import IqRequest
from jabberd_tx.components.sm.lanes import Item
from jabberd_tx.components.sm.module import OTHER_ACCOUNT, OWN_ACCOUNT, Module, answers, hook
from jabberd_tx.link.frames import CLIENT, REPEAT
from jabberd_tx.storage.sessions.interface import Session
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.payloads.carbons import RECEIVED, SENT, copy, is_eligible, wrap
from jabberd_tx.xmpp.payloads.stanza_id import strip
from jabberd_tx.xmpp.stanza import Stanza


class Carbons(Module):
    """Copies messages to all clients of a user that want them."""

    name = 'carbons'
    xeps = ('XEP-0280',)
    server_features = account_features = (ns.CARBONS,)

    _heed_hints: bool

    def start(self) -> None:
        """no-copy means something only while the server says that it knows hints."""
        self._heed_hints = 'hints' in self.sm.modules

    # ---- on and off

    @answers('set', ns.CARBONS, 'enable', OWN_ACCOUNT)
    async def enable(self, request: IqRequest) -> None:
        """This client gets copies from now on (§4)."""
        await self._switch(request, True)

    @answers('set', ns.CARBONS, 'disable', OWN_ACCOUNT)
    async def disable(self, request: IqRequest) -> None:
        """It gets none any more (§5)."""
        await self._switch(request, False)

    @answers('set', ns.CARBONS, 'enable', OTHER_ACCOUNT)
    def enable_for_other(self, request: IqRequest) -> None:
        """Nobody switches it for somebody else."""
        raise StanzaError('not-allowed')

    @answers('set', ns.CARBONS, 'disable', OTHER_ACCOUNT)
    def disable_for_other(self, request: IqRequest) -> None:
        """The same."""
        raise StanzaError('not-allowed')

    async def _switch(self, request: IqRequest, on: bool) -> None:
        owner = request.sender.bare
        for session in await self.sm.sessions.fetch(owner):
            if session.stream == request.stream:
                if session.carbons != on:
                    changed = await self.sm.sessions.update(session.stream, owner, session.epoch, carbons=on)
                    self.sm.records.keep(changed)
                return
        raise StanzaError('not-allowed', 'not a client of this server')

    # ---- copies

    @hook('message_concerns')
    def concerns(self, stanza: Stanza, own: Sequence[Session] | None, others: Sequence[Session] | None) -> bool:
        """Whether its sender or its recipient has another client that wants copies."""
        if own is None or others is None:
            return True
        if len(own) > 1:
            for session in own:
                if session.carbons:
                    return True
        for session in others:
            if session.carbons and (len(others) > 1 or session.priority is None or session.priority < 0):
                return True
        return False

    @hook('message_placed')
    def copy(self, message: Item, takers: Sequence[Session]) -> None:
        """To the other clients of the sender, if that is a user of ours, and to those of the recipient."""
        stanza, owner, got = message.stanza, '', {session.stream for session in takers}
        if message.arrived.flags & CLIENT:
            owner = self.sm.bare_of(message.sender)
            got.add(message.uid[:16])
            if is_eligible(stanza, SENT, self._heed_hints):
                self._send(message, owner, SENT, got)
        to = message.to
        if to.bare != owner and to.domain in self.sm.domains and is_eligible(stanza, RECEIVED, self._heed_hints):
            self._send(message, to.bare, RECEIVED, got)

    @hook('message_refused')
    def copy_error(self, message: Item, error: Stanza) -> None:
        """Who has a copy of what was sent hears of the error as well (§6.1)."""
        if message.arrived.flags & CLIENT and is_eligible(message.stanza, SENT, self._heed_hints):
            owner = self.sm.bare_of(message.sender)
            self.sm.with_sessions(owner, lambda sessions: self._copy_error(message, error, owner, sessions))

    @hook('message_returned')
    def drop(self, message: Item) -> Stop | None:
        """A copy that its client never acked; from outside no such message comes back (§11)."""
        stanza, to = message.stanza, message.to
        if not any([child.ns == ns.CARBONS and child.name in (SENT, RECEIVED) for child in stanza.children]):
            return None
        return STOP if message.sender == to.bare else None

    def _send(self, message: Item, owner: str, direction: str, got: set[bytes]) -> None:
        sessions = self.sm.sessions.peek(owner)
        if sessions is None:
            self.sm.with_sessions(owner, lambda sessions: self._copy_to(message, owner, direction, got, sessions))
        else:
            self._copy_to(message, owner, direction, got, sessions)

    def _copy_to(self, message: Item, owner: str, direction: str, got: set[bytes], sessions: Sequence[Session]) -> None:
        wanting = [session for session in sessions if session.carbons and session.stream not in got]
        if not wanting:
            return
        # An ID that the recipient's account has given to the message is nothing to its sender (XEP-0359).
        stanza = strip(message.stanza, (message.to.bare,)) if direction == SENT else message.stanza
        content = wrap(stanza, direction)
        flags = REPEAT if message.arrived.flags & REPEAT else 0
        for session in wanting:
            uid = copy_uid(message.uid, session.stream)
            if uid not in self.sm.posts.kept:
                self._post(message.lane.owner, session, copy(owner, session.jid, message.stanza, *content), uid, flags)

    def _copy_error(self, message: Item, error: Stanza, owner: str, sessions: Sequence[Session]) -> None:
        content = wrap(error, RECEIVED)
        for session in sessions:
            if session.carbons and session.stream != message.uid[:16]:
                self._post(message.lane.owner, session, copy(owner, session.jid, error, *content), None, 0)

    def _post(self, way: str, session: Session, stanza: Stanza, uid: bytes | None, flags: int) -> None:
        posts: Any = self.sm.posts
        posts.to_stream(way, session.node, session.stream, session.epoch, stanza, uid=uid, flags=flags)


def copy_uid(uid: bytes, stream: bytes) -> bytes:
    """The uid of the copy of a message that is for this stream: always the same, and of nothing else.

    Of two clients' messages of the same number the copies for the other one are two, so the halves change places.
    """
    mixed = int.from_bytes(uid[:16], 'big') ^ int.from_bytes(stream[8:] + stream[:8], 'big')
    return mixed.to_bytes(16, 'big') + uid[16:]
