"""Presence (RFC 6121 §4): who sees whom, and who is told.

Subscriptions stand in both rosters: whoever is in ours with 'to' or 'both' has us with 'from' or 'both'.  So for users
of ours our own roster says whose presence we may see, and the session store has it: nobody is probed.  Other domains
are sent what RFC 6121 says, if somebody serves them.  What is sent to one address is seen to in directed.py, probes
are answered in probes.py.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from jabberd_tx.components.sm.directed import DirectedPresence
from jabberd_tx.components.sm.hooks import STOP
from jabberd_tx.components.sm.presence_stanzas import priority_of, probe, unavailable
from jabberd_tx.components.sm.probes import Probes
from jabberd_tx.components.sm.subscriptions import SUBSCRIBE, TYPES
from jabberd_tx.link.frames import REPEAT, Route
from jabberd_tx.storage.operations import StorageError
from jabberd_tx.storage.rosters import Item
from jabberd_tx.storage.sessions.interface import Session, StaleEpoch
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.jid import Jid, parse
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.sm.service import SessionManager


class Presence:
    """See the module's text."""

    log = Logger()

    def __init__(self, sm: SessionManager) -> None:
        self._sm, self._sessions, self._posts, self._rosters = sm, sm.sessions, sm.posts, sm.rosters
        self._domains = sm.domains
        self._directed, self._probes = DirectedPresence(sm, self), Probes(sm, self)
        chains = sm.hooks.chains
        self._broadcast_hooks, self._behind_hooks = chains['presence_broadcast'], chains['session_behind']
        self._sent_hooks, self._to_hooks, self._shown_hooks = (
            chains['presence_sent'], chains['presence_to'], chains['presence_shown'],
        )  # fmt: skip

    # ---- from a client

    def take(self, frame: Route, stanza: Stanza) -> Coroutine[Any, Any, None] | None:
        """Presence of a user of ours; returns what is left to do.  StanzaError, InvalidJid."""
        kind, written = stanza.attrs.get('type'), stanza.attrs.get('to')
        if written is None:
            if kind is None:
                return self._guard(frame, stanza, self._available(frame, stanza, priority_of(stanza)))
            if kind == 'unavailable':
                return self._guard(frame, stanza, self._unavailable(frame, stanza))
            if kind in ('error', 'probe'):
                return None
            raise StanzaError('bad-request', 'such presence is for somebody')
        to = parse(written)
        if self._sent_hooks:
            return self._guard(frame, stanza, self._ask_and_take(frame, stanza, to))
        return self._take(frame, stanza, to)

    async def _ask_and_take(self, frame: Route, stanza: Stanza, to: Jid) -> None:
        if await self._sm.hooks.ask('presence_sent', stanza, parse(stanza.attrs['from']), to) is not STOP:
            work = self._take(frame, stanza, to)
            if work is not None:
                await work

    def _take(self, frame: Route, stanza: Stanza, to: Jid) -> Coroutine[Any, Any, None] | None:
        kind = stanza.attrs.get('type')
        if kind in TYPES:
            return self._guard(frame, stanza, self._sm.handshake.outbound(frame, stanza, to.bare))
        if kind is None or kind == 'unavailable':
            if kind is None:
                priority_of(stanza)
            return self._guard(frame, stanza, self._directed.send(frame, stanza, to))
        if kind in ('error', 'probe'):
            return self._guard(frame, stanza, self.pass_on(frame, stanza, to))
        raise StanzaError('bad-request', 'no type of presence')

    async def _guard(self, frame: Route, stanza: Stanza, work: Coroutine[Any, Any, None]) -> None:
        """Whatever goes wrong, the client is told."""
        try:
            await work
        except StanzaError as error:
            self._sm.refuse(frame, stanza, error.condition, error.text, error.type, error.application)
        except StorageError:
            self._sm.refuse(frame, stanza, 'resource-constraint', 'try again later')
        except StaleEpoch:
            pass  # the session is over, or has moved: what it said is said to somebody else

    async def own(self, frame: Route) -> tuple[Session | None, Sequence[Session]]:
        """The session that sends, and all of the user's."""
        owner = str(frame.key)
        sessions = self._sessions.peek(owner)
        if sessions is None:
            sessions = await self._sessions.fetch(owner)
        stream = frame.uid[:16]
        return next((session for session in sessions if session.stream == stream), None), sessions

    async def sessions_of(self, bare: str) -> Sequence[Session]:
        """A user's sessions."""
        sessions = self._sessions.peek(bare)
        return sessions if sessions is not None else await self._sessions.fetch(bare)

    async def available_of(self, bare: str) -> list[Session]:
        """Those of a user's sessions that are available."""
        return [session for session in await self.sessions_of(bare) if session.presence is not None]

    # ---- broadcast

    async def _available(self, frame: Route, stanza: Stanza, priority: int) -> None:
        before, _ = await self.own(frame)
        if before is None:
            return
        if self._broadcast_hooks:
            stanza = await self.as_modules_want(stanza, before)
        changes: dict[str, Any] = {'presence': stanza, 'priority': priority}
        ready = priority >= 0 and (before.priority is None or before.priority < 0)
        if ready and self._behind_hooks:
            changes['behind'] = True
        session = await self._sessions.update(before.stream, before.bare, before.epoch, **changes)
        if self._sm.feed.active:
            self._sm.feed.presence(session, stanza)
        if ready:
            # At once: what waits in storage is older than what comes from now on.
            self._sm.hooks.tell('session_ready', session)
        roster = self._rosters.peek(session.bare)
        if roster is None:
            roster = await self._roster_of(session.bare)
        _, own = await self.own(frame)
        await self._broadcast(session, own, roster, stanza)
        if before.presence is None:
            await self._introduce(session, own, roster)

    async def _roster_of(self, bare: str) -> Mapping[str, Item]:
        """For a broadcast: the user's own clients are told without it, too."""
        try:
            return await self._rosters.get(bare)
        except StorageError:
            self.log.warn('without the roster of {bare} its contacts are not told', bare=bare)
            return {}

    async def _unavailable(self, frame: Route, stanza: Stanza) -> None:
        session, _ = await self.own(frame)
        if session is None or (session.presence is None and not session.directed):
            return
        if self._broadcast_hooks:
            stanza = await self.as_modules_want(stanza, session)
        await self._sessions.update(
            session.stream, session.bare, session.epoch, presence=None, priority=None, directed=frozenset()
        )
        if self._sm.feed.active and session.presence is not None:
            self._sm.feed.presence(session, None)
        await self._withdraw(session, stanza, here=True)

    async def as_modules_want(self, stanza: Stanza, session: Session) -> Stanza:
        """A broadcast, or what is known of one, as it goes to others.  `session` is as it was before."""
        answer = await self._sm.hooks.ask('presence_broadcast', stanza, session)
        return answer if isinstance(answer, Stanza) else stanza

    async def announce(self, session: Session) -> None:
        """It is there after all: its presence once more to those who were told that it was gone."""
        if session.presence is not None:
            roster = await self._rosters.get(session.bare)
            await self._broadcast(session, await self._sessions.fetch(session.bare), roster, session.presence)

    async def leave(self, session: Session) -> None:
        """The session was closed: say so to whoever saw it (§4.5.2, §4.6)."""
        if session.presence is not None or session.directed:
            await self._withdraw(session, unavailable(session.jid), here=False)

    async def _withdraw(self, session: Session, stanza: Stanza, here: bool) -> None:
        """session: as it was; here: its client is still there, and gets what it has said as well (§4.5.2)."""
        roster: Mapping[str, Item] = {}
        if session.presence is not None:
            own = await self.available_of(session.bare)
            roster = await self._roster_of(session.bare)
            await self._broadcast(session, [*own, session] if here else own, roster, stanza)
        if session.directed:
            await self._directed.take_back(session, roster, stanza)

    async def _broadcast(
        self, session: Session, own: Iterable[Session], roster: Mapping[str, Item], stanza: Stanza
    ) -> None:
        """To contacts who may see it, and to the user's own clients, itself included while it is available (§4.2.2)."""
        targets = [other for other in own if other.presence is not None]
        unknown: list[str] = []
        peek, domains = self._sessions.peek, self._domains
        for contact, item in roster.items():
            if item.subscription in ('from', 'both'):
                sessions = peek(contact)
                if sessions:
                    targets += [other for other in sessions if other.presence is not None]
                elif contact.rpartition('@')[2] not in domains:
                    await self.deliver(session.bare, stanza.with_attrs(to=contact), parse(contact))
                elif sessions is None:
                    unknown.append(contact)
        if unknown:
            for sessions in (await self._sessions.fetch_many(unknown)).values():
                targets += [other for other in sessions if other.presence is not None]
        targets = self._shown(session, targets)
        if targets:
            self._posts.fan_out(session.bare, targets, stanza)

    def _shown(self, session: Session, viewers: list[Session]) -> list[Session]:
        """Those of the viewers who get the session's presence, if modules have their way."""
        if self._shown_hooks:
            answer, _ = self._sm.hooks.ask_now('presence_shown', session, viewers)
            if answer is not None:
                return list(answer)
        return viewers

    # ---- a client comes

    async def _introduce(self, session: Session, own: Iterable[Session], roster: Mapping[str, Item]) -> None:
        """What a client gets that has become available: everybody's presence, and who wants to see the user's."""
        for other in own:
            if other.presence is not None and other.stream != session.stream:
                self._show_one(other, session)
        unknown: list[str] = []
        for contact, item in roster.items():
            if item.subscription in ('to', 'both'):
                sessions = self._sessions.peek(contact)
                if not sessions and contact.rpartition('@')[2] not in self._domains:
                    await self.deliver(session.bare, probe(session.bare, contact), parse(contact))
                elif sessions is None:
                    unknown.append(contact)
                else:
                    self._show_all(sessions, session)
            if item.pending_in and item.request:
                await self._request_again(session, Stanza.unpack(item.request))
        if unknown:
            for sessions in (await self._sessions.fetch_many(unknown)).values():
                self._show_all(sessions, session)

    async def _request_again(self, session: Session, stanza: Stanza) -> None:
        if not await self.is_stopped(stanza, parse(session.bare)):
            self._posts.to_session(session, stanza)

    def _show_all(self, sessions: Iterable[Session], viewer: Session) -> None:
        for session in sessions:
            self._show_one(session, viewer)

    def _show_one(self, session: Session, viewer: Session) -> None:
        if session.presence is not None and self._shown(session, [viewer]):
            self._posts.to_session(viewer, session.presence.with_attrs(to=viewer.jid), owner=session.bare)

    # ---- who may see whom has changed

    async def show(self, owner: str, viewer: str) -> None:
        """The presence of all of the owner's clients, to all of the viewer's (bare JIDs)."""
        for session in await self.available_of(owner):
            assert session.presence is not None
            await self.deliver(owner, session.presence.with_attrs(to=viewer), parse(viewer))

    async def hide(self, owner: str, viewer: str, jids: Sequence[str] | None = None) -> None:
        """The viewer sees all of the owner's clients go; `jids`: those that were available, where that is known."""
        if jids is None:
            jids = [session.jid for session in await self.available_of(owner)]
        for jid in jids:
            await self.deliver(owner, unavailable(jid, viewer), parse(viewer))

    # ---- to one address

    async def pass_on(self, frame: Route, stanza: Stanza, to: Jid) -> None:
        """Presence of any type but those of subscriptions goes on to whom it is for, or is answered for a user of
        ours; StanzaError."""
        if to.domain in self._domains and stanza.attrs.get('type') == 'probe':
            if await self._is_elsewhere(frame, stanza, to):
                return
            await self._probes.answer(stanza, parse(stanza.attrs['from']), to)
            return
        if to.domain not in self._domains and not self._sm.links.reachable(to.domain):
            if stanza.attrs.get('type') != 'error':
                raise StanzaError('remote-server-not-found')
            return
        if await self._is_elsewhere(frame, stanza, to):
            return
        owner = frame.key if isinstance(frame.key, str) else to.bare
        await self.deliver(owner, stanza, to, frame.uid, frame.flags & REPEAT)

    async def deliver(self, owner: str, stanza: Stanza, to: Jid, uid: bytes | None = None, flags: int = 0) -> None:
        """Presence with a `to`, to a full JID or to all available clients of a bare one; nobody there: nothing
        happens (§8.5).  owner: whose frames choose the way."""
        if await self.is_stopped(stanza, to):
            return
        if to.domain not in self._domains:
            self.to_elsewhere(owner, stanza, to.bare)
            return
        sessions = await self.sessions_of(to.bare)
        if to.resource:
            sessions = [session for session in sessions if session.jid == to.full]
            for session in sessions:
                self._posts.to_stream(
                    owner, session.node, session.stream, session.epoch, stanza, uid=uid, flags=flags
                )  # fmt: skip
        else:
            there = [session for session in sessions if session.presence is not None]
            if self._to_hooks:
                there = [one for one in there if not await self.is_stopped(stanza, parse(one.jid))]
            if there:
                self._posts.fan_out(owner, there, stanza.with_attrs(to=None), to=stanza.attrs['to'])
        if stanza.attrs.get('type') == 'unavailable' and 'from' in stanza.attrs:
            await self._directed.forget(parse(stanza.attrs['from']), sessions)

    async def is_stopped(self, stanza: Stanza, to: Jid) -> bool:
        """Whether modules want it to go no further."""
        if not self._to_hooks:
            return False
        return await self._sm.hooks.ask('presence_to', stanza, parse(stanza.attrs['from']), to) is STOP

    def to_elsewhere(self, owner: str, stanza: Stanza, to: str) -> None:
        """To a bare JID of another domain, if somebody serves it."""
        name = to.rpartition('@')[2]
        if self._sm.links.reachable(name):
            self._posts.to_name(owner, name, None, stanza)

    # ---- from elsewhere

    def take_inbound(self, frame: Route, stanza: Stanza) -> Coroutine[Any, Any, None] | None:
        """Presence for a user of ours that did not come from a client of ours; StanzaError, InvalidJid."""
        kind, to = stanza.attrs.get('type'), parse(stanza.attrs['to'])
        if not to.local or to.domain not in self._domains:
            return None
        if kind in TYPES:
            return self._take_subscription(frame, stanza, to)
        if kind in (None, 'unavailable', 'error', 'probe'):
            return self.pass_on(frame, stanza, to)
        raise StanzaError('bad-request', 'no type of presence')

    async def _is_elsewhere(self, frame: Route, stanza: Stanza, to: Jid) -> bool:
        """Whether it was for a user who is not known here, and has been sent on."""
        elsewhere = self._sm.elsewhere
        if not elsewhere.may_be(frame, to) or not await elsewhere.holds(to.bare):
            return False
        elsewhere.pass_on(frame, stanza, to)
        return True

    async def _take_subscription(self, frame: Route, stanza: Stanza, to: Jid) -> None:
        kind = stanza.attrs['type']
        if await self._is_elsewhere(frame, stanza, to):
            return
        if to.resource and kind != SUBSCRIBE:
            if all(session.jid != to.full for session in await self.sessions_of(to.bare)):
                return  # §8.5.3.2.2
        stopped = await self.is_stopped(stanza, to)
        if not (stopped and kind == SUBSCRIBE):
            await self._sm.handshake.inbound(stanza, to.bare, unseen=stopped)
