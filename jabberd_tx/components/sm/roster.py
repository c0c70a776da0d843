"""The roster as clients see it (RFC 6121 §2): get, set, remove, pushes, and versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from jabberd_tx.components.sm.iq import ANSWERED, Answered, IqRequest
from jabberd_tx.components.sm.module import OWN_ACCOUNT, IqUse
from jabberd_tx.components.sm.rosters import Changed, Update
from jabberd_tx.components.sm.subscriptions import is_listed
from jabberd_tx.storage.rosters import Item
from jabberd_tx.storage.sessions.interface import Session
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.payloads.roster import RosterSet, item_xml, parse_set, query_xml, version_asked
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.sm.service import SessionManager


class RosterAnswers:
    """See the module's text."""

    def __init__(self, sm: SessionManager) -> None:
        self._sm = sm
        places = frozenset((OWN_ACCOUNT,))
        sm.iqs.add(IqUse('get', ns.ROSTER, 'query', places), self.get, 'roster')
        sm.iqs.add(IqUse('set', ns.ROSTER, 'query', places), self.set, 'roster')
        self._pushes = 0

    # ---- get

    async def get(self, request: IqRequest) -> Answered:
        """All that is listed; or what has changed since the version that the client has, as pushes after an empty
        result (§2.6.3).  From now on the client gets pushes (§2.1.3)."""
        owner, version = request.sender.bare, version_asked(request.stanza)
        for session in await self._sm.sessions.fetch(owner):
            if session.stream == request.stream:
                if not session.interested:
                    await self._sm.sessions.update(session.stream, owner, session.epoch, interested=True)
                await self._sm.rosters.update(owner, version, partial(self._answer, request, session))
        return ANSWERED

    def _answer(self, request: IqRequest, session: Session, update: Update) -> None:
        """In one go, so that no push of a later change comes between."""
        if update.changes is None:
            items = [_xml(item) for item in update.items.values() if is_listed(item)]
            self._sm.posts.to_session(session, request.result(ns.ROSTER, 'query', query_xml(items, update.version)))
            return
        self._sm.posts.to_session(session, request.result())
        for change in update.changes:
            self._sm.posts.to_session(session, self._push(_shown(change.jid, change.item), change.version))

    # ---- set

    async def set(self, request: IqRequest) -> Stanza | None:
        """Add or change one contact's name and groups, or remove it (§2.3–§2.5)."""
        wanted = parse_set(request.stanza)
        owner, contact = request.sender.bare, wanted.jid.bare
        if contact == owner:
            raise StanzaError('not-allowed', 'no roster has its owner')
        if wanted.remove:
            await self._remove(owner, contact)
            return None
        if len(wanted.groups) > self._sm.options.roster_groups:
            self._sm.measures.limited.groups += 1
            raise StanzaError('not-acceptable', 'in too many groups')

        def decide(old: Item | None, roster: Mapping[str, Item]) -> Item:
            if not is_listed(old):
                self._check_room(roster)
            return _changed(old, contact, wanted)

        await self._sm.rosters.change(owner, contact, decide, lambda changed: self.push(owner, changed), always=True)
        return None

    def _check_room(self, roster: Mapping[str, Item]) -> None:
        most = self._sm.options.roster_items
        if len(roster) >= most and sum([is_listed(item) for item in roster.values()]) >= most:
            self._sm.measures.limited.roster += 1
            raise StanzaError('resource-constraint', 'the roster is full')

    async def _remove(self, owner: str, contact: str) -> None:
        """Take it out; subscriptions either way end, and the contact is told (§2.5.2)."""

        def decide(old: Item | None, roster: Mapping[str, Item]) -> None:
            if not is_listed(old):
                raise StanzaError('item-not-found')

        changed = await self._sm.rosters.change(owner, contact, decide, lambda changed: self.push(owner, changed))
        assert changed.old is not None
        await self._sm.handshake.part(owner, changed.old)

    # ---- pushes

    def push(self, owner: str, changed: Changed) -> None:
        """Tell the owner's clients that have asked for the roster of a change that they see (§2.1.6)."""
        known = changed.new or changed.old
        if known is None:
            return
        stanza = self._push(_shown(known.jid, changed.new), changed.version)

        def send(sessions: Sequence[Session]) -> None:
            self._sm.posts.fan_out(owner, [session for session in sessions if session.interested], stanza)

        self._sm.with_sessions(owner, send)

    def _push(self, xml: bytes, version: str) -> Stanza:
        self._pushes += 1
        attrs = {'type': 'set', 'id': f'push-{self._pushes}'}
        return Stanza.build('iq', attrs, (ns.ROSTER, 'query', query_xml([xml], version)))


def _shown(contact: str, item: Item | None) -> bytes:
    return _xml(item) if item is not None and is_listed(item) else item_xml(contact, subscription='remove')


def _xml(item: Item) -> bytes:
    return item_xml(item.jid, item.name, item.subscription, item.ask, item.approved, item.groups)


def _changed(old: Item | None, contact: str, wanted: RosterSet) -> Item:
    item = old if old is not None else Item(contact)
    return item._replace(name=wanted.name, groups=wanted.groups, subscription=item.subscription or 'none')
