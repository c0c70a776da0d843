"""Directed presence (RFC 6121 §4.6): sent to somebody in particular, who is told when the client goes.

A session remembers whom it has gone to, but for those who hear of its going anyway: contacts that see the user's
presence, as long as the client is available.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from jabberd_tx.components.sm.handshake import SEEN_BY
from jabberd_tx.link.frames import Route
from jabberd_tx.storage.rosters import Item
from jabberd_tx.storage.sessions.interface import Session, StaleEpoch
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.jid import Jid, parse
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.sm.presence import Presence
    from jabberd_tx.components.sm.service import SessionManager


def has_seen(session: Session, asker: Jid) -> bool:
    """Whether the session's directed presence has gone to that address, or to the account that it belongs to."""
    return asker.full in session.directed or asker.bare in session.directed


def may_see(roster: Mapping[str, Item], owner: str, other: str) -> bool:
    """Whether the owner of the roster shows presence to another bare JID, or to another client of the same user."""
    if owner == other:
        return True
    item = roster.get(other)
    return item is not None and item.subscription in SEEN_BY


class DirectedPresence:
    """See the module's text."""

    def __init__(self, sm: SessionManager, presence: Presence) -> None:
        self._sm, self._sessions, self._presence = sm, sm.sessions, presence

    async def send(self, frame: Route, stanza: Stanza, to: Jid) -> None:
        """Available or unavailable presence of a client, to somebody (§4.6.3); StanzaError, StorageError."""
        session, _ = await self._presence.own(frame)
        if session is None:
            return
        if stanza.attrs.get('type') == 'unavailable':
            if to.full in session.directed:
                self._kept(await self._sessions.direct(session.stream, session.bare, session.epoch, drop=(to.full,)))
        elif to.full not in session.directed and not await self._will_hear(session, to.bare):
            await self._remember(session, to.full)
        await self._presence.pass_on(frame, stanza, to)

    async def _will_hear(self, session: Session, other: str) -> bool:
        """Whether the broadcast tells them when the client goes: it does of one that is available (rule 3)."""
        if session.presence is None:
            return False
        return may_see(await self._sm.rosters.get(session.bare), session.bare, other)

    async def _remember(self, session: Session, jid: str) -> None:
        gone: list[str] = []
        if len(session.directed) >= self._sm.options.directed:
            gone = await self._gone(session)
            if not gone:
                self._sm.measures.limited.directed += 1
                raise StanzaError('policy-violation', 'directed presence to too many')
        self._kept(await self._sessions.direct(session.stream, session.bare, session.epoch, add=(jid,), drop=gone))

    def _kept(self, session: Session) -> None:
        self._sm.records.keep(session)

    async def _gone(self, session: Session) -> list[str]:
        """Those of its addresses that are clients of ours, and are there no more: they need no goodbye."""
        clients = [to for to in map(parse, session.directed) if to.resource and to.domain in self._sm.domains]
        there = await self._sessions.fetch_many({to.bare for to in clients})
        jids = {one.jid for sessions in there.values() for one in sessions}
        return [to.full for to in clients if to.full not in jids]

    # ---- the client goes

    async def take_back(self, session: Session, roster: Mapping[str, Item], stanza: Stanza) -> None:
        """Tell those who have seen a client that is gone, and hear of it by nothing else.

        session: as it was; roster: its user's, empty where that is not known; stanza: without `to`."""
        for written in session.directed:
            to = parse(written)
            if not await self._hears(session, roster, to):
                await self._presence.deliver(session.bare, stanza.with_attrs(to=written), to)

    async def _hears(self, session: Session, roster: Mapping[str, Item], to: Jid) -> bool:
        """Whether an address is reached by the broadcast, or by what goes to its bare JID: of clients of ours those
        are that are available."""
        by_broadcast = session.presence is not None and may_see(roster, session.bare, to.bare)
        if not to.resource or to.domain not in self._sm.domains or to.full == session.jid:
            return by_broadcast
        if not by_broadcast and to.bare not in session.directed:
            return False
        return any(one.jid == to.full for one in await self._presence.available_of(to.bare))

    # ---- the others go

    async def forget(self, gone: Jid, sessions: Iterable[Session]) -> None:
        """Somebody is unavailable for these sessions: need not be told when they go (§4.6.1).

        gone: a bare JID stands for all of its resources (§4.5.4)."""
        for session in sessions:
            if not session.directed:
                continue
            if gone.resource:
                drop = [gone.full] if gone.full in session.directed else []
            else:
                drop = [one for one in session.directed if one.partition('/')[0] == gone.bare]
            if drop:
                try:
                    await self._sessions.direct(session.stream, session.bare, session.epoch, drop=drop)
                except StaleEpoch:
                    pass  # it is over, or has moved: whom it has shown itself to is told once too often
