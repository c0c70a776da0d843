"""Asking for, granting, refusing and ending presence subscriptions (RFC 6121 §3), by the table of subscriptions.py.

What a user sends changes the user's own roster here, and goes on to the contact's sm, which changes the contact's: by
the domain name and the contact's bare JID, also when that is this very sm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from twisted.logger import Logger

from jabberd_tx.base.backoff import Backoff
from jabberd_tx.components.sm.presence_stanzas import subscription
from jabberd_tx.components.sm.rosters import Changed
from jabberd_tx.components.sm.subscriptions import (
    GRANTED,
    HIDE,
    NONE,
    SUBSCRIBE,
    SUBSCRIBED,
    TABLE,
    UNSUBSCRIBE,
    UNSUBSCRIBED,
    Cell,
    is_listed,
    shown,
    state_of,
    with_state,
)
from jabberd_tx.link.frames import Route
from jabberd_tx.storage.operations import StorageError
from jabberd_tx.storage.rosters import Item
from jabberd_tx.storage.sessions.interface import Session
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.sm.service import SessionManager

SEEN_BY = ('from', 'both')
SEES = ('to', 'both')
# How often a change that comes from a contact is tried while storage fails.
TRIES = 5


class Handshake:
    """See the module's text."""

    log = Logger()

    def __init__(self, sm: SessionManager) -> None:
        self._sm = sm
        self._backoff = Backoff(0.5, 10.0)

    # ---- what a user sends

    async def outbound(self, frame: Route, stanza: Stanza, contact: str) -> None:
        """subscribe, subscribed, unsubscribe or unsubscribed; StanzaError, StorageError."""
        owner = str(frame.key)
        if contact == owner:
            return  # one sees oneself anyway
        if contact.rpartition('@')[2] not in self._sm.domains:
            if not self._sm.links.reachable(contact.rpartition('@')[2]):
                raise StanzaError('remote-server-not-found')
        elif '@' not in contact:
            raise StanzaError('service-unavailable')
        await self.ask(owner, contact, stanza.with_attrs(from_=owner, to=contact))

    async def ask(self, owner: str, contact: str, stanza: Stanza) -> None:
        """Change the owner's roster and tell the contact's server, as the stanza's type says."""
        kind = stanza.attrs['type']
        route = False

        def decide(old: Item | None, roster: Mapping[str, Item]) -> Item | None:
            nonlocal route
            before = state_of(old)
            route, after = TABLE[kind][before][:2]
            item = old or Item(contact, subscription='')
            if kind == SUBSCRIBED and not route and item.subscription not in SEEN_BY:
                self._check_room(old, roster)
                return item._replace(approved=True, subscription=item.subscription or NONE)  # §3.4.1
            if kind in (SUBSCRIBED, UNSUBSCRIBED) and item.approved:
                item = item._replace(approved=False)
            if after != before:
                self._check_room(old, roster)
                return with_state(item, after)
            return item if old is not None else None

        hide = kind == UNSUBSCRIBED and await self._is_seen(owner, contact)
        changed = await self._sm.rosters.change(owner, contact, decide, lambda changed: self._push(owner, changed))
        if hide:
            await self._sm.presence.hide(owner, contact)
        if route:
            self._route(owner, contact, stanza)
        if self._gained(changed, SEEN_BY) and not self._is_local(contact):
            await self._sm.presence.show(owner, contact)

    async def part(self, owner: str, item: Item, online: Sequence[str] | None = None) -> None:
        """An item has been taken out of the owner's roster: subscriptions either way end, and the contact is told
        (§2.5.2).  `online`: the full JIDs of the owner's clients that the contact could see, where that is known."""
        contact = item.jid
        seen = item.subscription in SEEN_BY
        if seen:
            await self._sm.presence.hide(owner, contact, online)
        name = contact.rpartition('@')[2]
        if not self._sm.links.reachable(name) or (name in self._sm.domains and '@' not in contact):
            return
        if item.subscription in SEES or item.ask:
            self._route(owner, contact, subscription(UNSUBSCRIBE, owner, contact))
        if seen or item.pending_in:
            self._route(owner, contact, subscription(UNSUBSCRIBED, owner, contact))

    def _check_room(self, old: Item | None, roster: Mapping[str, Item]) -> None:
        if not is_listed(old) and len(roster) >= self._sm.options.roster_items:
            if sum([is_listed(item) for item in roster.values()]) >= self._sm.options.roster_items:
                self._sm.measures.limited.roster += 1
                raise StanzaError('resource-constraint', 'the roster is full')

    async def _is_seen(self, owner: str, contact: str) -> bool:
        item = (await self._sm.rosters.get(owner)).get(contact)
        return item is not None and item.subscription in SEEN_BY

    def _route(self, owner: str, contact: str, stanza: Stanza) -> None:
        name = contact.rpartition('@')[2]
        self._sm.posts.to_name(owner, name, contact if name in self._sm.domains else None, stanza)

    def _is_local(self, contact: str) -> bool:
        return contact.rpartition('@')[2] in self._sm.domains

    def _push(self, owner: str, changed: Changed) -> None:
        if shown(changed.old) != shown(changed.new):
            self._sm.roster.push(owner, changed)

    @staticmethod
    def _gained(changed: Changed, kinds: tuple[str, ...]) -> bool:
        before = changed.old is not None and changed.old.subscription in kinds
        return not before and changed.new is not None and changed.new.subscription in kinds

    # ---- what comes from a contact

    async def inbound(self, stanza: Stanza, owner: str, unseen: bool = False) -> None:
        """The same from a contact; tried again for a while when storage fails.  unseen: the roster is changed so that
        it agrees with the contact's, but the user is not shown what the contact says, nor is anything answered."""
        contact = self._sm.bare_of(stanza.attrs['from'])
        for attempt in range(TRIES):
            try:
                if contact != owner and await self._sm.accounts.exist(owner):
                    await self._take(stanza.with_attrs(from_=contact, to=owner), owner, contact, unseen)
                return
            except StorageError as error:
                self.log.warn(
                    'presence of type {kind} waits for the roster of {owner}: {error}',
                    kind=stanza.attrs['type'], owner=owner, error=str(error),
                )  # fmt: skip
                if attempt + 1 < TRIES:
                    await self._sm.sleep(self._backoff.delay(attempt))
        self.log.error('the roster of {owner} lacks what {contact} has said', owner=owner, contact=contact)

    async def _take(self, stanza: Stanza, owner: str, contact: str, unseen: bool) -> None:
        kind = stanza.attrs['type']
        cell: Cell

        def decide(old: Item | None, roster: Mapping[str, Item]) -> Item | None:
            nonlocal cell
            before = state_of(old)
            cell = TABLE[kind][before]
            if unseen:
                cell = cell._replace(deliver=HIDE, answer='')
            item = old or Item(contact, subscription='')
            if kind == SUBSCRIBE and item.approved and before in GRANTED:
                cell = cell._replace(deliver=HIDE, come=GRANTED[before], answer=SUBSCRIBED)
                return with_state(item._replace(approved=False), cell.come)
            if kind == SUBSCRIBE and cell.deliver:
                if sum([one.pending_in for one in roster.values()]) >= self._sm.options.roster_requests:
                    self._sm.measures.limited.requests += 1
                    cell = cell._replace(deliver=HIDE)
                    return old
                return with_state(item._replace(request=stanza.pack()), cell.come)
            return with_state(item, cell.come) if old is not None else None

        def then(changed: Changed) -> None:
            if cell.deliver:
                self._show_to_clients(owner, stanza, everybody=kind == SUBSCRIBE)
            self._push(owner, changed)

        changed = await self._sm.rosters.change(owner, contact, decide, then)
        elsewhere = not self._is_local(contact)
        if cell.answer == SUBSCRIBED or (cell.answer and elsewhere):
            # A contact of ours has changed its own side before it said 'unsubscribe', and may ask anew by now.
            self._route(owner, contact, subscription(cell.answer, owner, contact))
        if cell.answer == SUBSCRIBED and elsewhere:
            await self._sm.presence.show(owner, contact)
        elif kind == UNSUBSCRIBE and changed.old is not None and changed.old.subscription in SEEN_BY:
            await self._sm.presence.hide(owner, contact)
        if self._gained(changed, SEES) and not elsewhere:
            # The contact's sm would send it, but could be faster than the push.
            await self._sm.presence.show(contact, owner)

    def _show_to_clients(self, owner: str, stanza: Stanza, everybody: bool) -> None:
        """A request to all available clients, what has been decided to those that asked for the roster."""

        def show(sessions: Sequence[Session]) -> None:
            some = [one for one in sessions if (one.presence is not None if everybody else one.interested)]
            if some:
                self._sm.posts.fan_out(owner, some, stanza.with_attrs(to=None), to=owner)

        self._sm.with_sessions(owner, show)
