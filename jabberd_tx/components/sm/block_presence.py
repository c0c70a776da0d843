"""What a change of a block list does to presence (XEP-0191 §3.3, §3.4).

Whoever may see the user's presence sees all clients go when they are blocked, and sees them again when they no longer
are.  Directed presence ends with a block, and does not come back.  After the end of a block the user sees what the
contact's presence is now, since its changes were kept back.  Subscriptions stay as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from jabberd_tx.components.sm.block_lists import Blocked, Change
from jabberd_tx.components.sm.handshake import SEEN_BY, SEES
from jabberd_tx.components.sm.presence_stanzas import probe, unavailable
from jabberd_tx.storage.rosters import Item
from jabberd_tx.storage.sessions.interface import Session, StaleEpoch
from jabberd_tx.xmpp.jid import Jid, parse
from jabberd_tx.xmpp.payloads.blocking import is_blocked
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.sm.service import SessionManager


class BlockPresence:
    """See the module's text."""

    def __init__(self, sm: SessionManager) -> None:
        self._sm = sm
        # By id() of the last stanza that the blocked get: the list from before the block, which does not stop it.
        self._farewells: dict[int, Blocked] = {}

    def before_farewell(self, stanza: Stanza) -> Blocked | None:
        """The list from before the block, for the very stanza that tells who is blocked that the user is gone."""
        return self._farewells.get(id(stanza))

    async def hide(self, owner: str, changed: Change) -> None:
        """Whom the list has now and had not before is told that the user is gone; StorageError."""
        roster = await self._sm.rosters.get(owner)
        gone = affected(roster, SEEN_BY, changed.after, changed.before)
        for session in await self._sm.sessions.fetch(owner):
            directed = between([parse(written) for written in session.directed], changed.after, changed.before)
            seers = {*gone, *directed} if session.presence is not None else directed
            for jid in seers:
                await self._bid_farewell(owner, unavailable(session.jid, jid.full), jid, changed.before)
            if directed:
                await self._forget_directed(session, directed)

    async def _bid_farewell(self, owner: str, stanza: Stanza, to: Jid, before: Blocked) -> None:
        self._farewells[id(stanza)] = before
        try:
            await self._sm.presence.deliver(owner, stanza, to)
        finally:
            del self._farewells[id(stanza)]

    async def _forget_directed(self, session: Session, gone: Collection[Jid]) -> None:
        drop = [jid.full for jid in gone]
        try:
            await self._sm.sessions.direct(session.stream, session.bare, session.epoch, drop=drop)
        except StaleEpoch:
            pass  # it is over, or moves: one more 'unavailable' at its end is stopped by the block

    async def show(self, owner: str, changed: Change) -> None:
        """Whom the list had before and has no more is shown the user's presence, and the user theirs; StorageError."""
        roster = await self._sm.rosters.get(owner)
        for jid in affected(roster, SEEN_BY, changed.before, changed.after):
            await self._sm.presence.show(owner, jid.full)
        if not any(session.presence is not None for session in await self._sm.sessions.fetch(owner)):
            return
        contacts = {jid.bare for jid in affected(roster, SEES, changed.before, changed.after)}
        for contact in sorted(contacts):
            if parse(contact).domain in self._sm.domains:
                await self._sm.presence.show(contact, owner)
            else:
                await self._sm.presence.deliver(owner, probe(owner, contact), parse(contact))


def affected(roster: Mapping[str, Item], kinds: tuple[str, ...], more: Blocked, less: Blocked) -> list[Jid]:
    """Contacts with such a subscription, or single resources of theirs, that one list is about and the other is not."""
    contacts = {contact for contact, item in roster.items() if item.subscription in kinds}
    resources = [jid for jid in map(parse, sorted(more - less)) if jid.resource and jid.bare in contacts]
    return between([*map(parse, sorted(contacts)), *resources], more, less)


def between(jids: Collection[Jid], more: Blocked, less: Blocked) -> list[Jid]:
    """Those of the JIDs that one list is about and the other is not."""
    return [jid for jid in jids if is_blocked(more, jid) and not is_blocked(less, jid)]
