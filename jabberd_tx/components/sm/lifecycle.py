"""Sessions: how they start, move to this sm, and end (link/session.py)."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any

from twisted.internet.task import deferLater
from twisted.logger import Logger

from jabberd_tx.components.sm.options import REFUSE, RENAME
from jabberd_tx.components.sm.presence_stanzas import priority_of
from jabberd_tx.components.sm.records import restore
from jabberd_tx.link import session as vocabulary
from jabberd_tx.link.frames import MOVED, Route
from jabberd_tx.storage.sessions.interface import Session, StaleEpoch
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.jid import InvalidJid, parse
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.sm.service import SessionManager

# How often another resource is made up when the one wanted is taken.
TRIES = 8
# What a session that is over gives back is waited for so long before its user is given anything newer.
RETURN_SECONDS = 15.0
# Sessions of a lost node that are ended in one turn.
SLICE = 20
# Lost nodes whose sessions are remembered, in case they come back; and sessions that are told to attach again.
MOST_LOST = 16
MOST_REVIVED = 100_000


class Lifecycle:
    """See the module's text."""

    log = Logger()

    def __init__(self, sm: SessionManager) -> None:
        self._sm, self._sessions, self._options = sm, sm.sessions, sm.options
        # c2s nodes that hold sessions, and the start of each that does.
        self._nodes: dict[str, bytes] = {}
        # (node, incarnation) -> its sessions that were ended because it seemed to be gone.
        self._lost: dict[tuple[str, bytes], list[Session]] = {}
        # stream id -> a session that was ended so, as it was, until it attaches again.
        self._revived: dict[bytes, Session] = {}

    @property
    def nodes(self) -> tuple[str, ...]:
        """The c2s nodes that hold sessions which this sm has opened."""
        return tuple(self._nodes)

    def take(self, frame: Route, stanza: Stanza) -> Coroutine[Any, Any, None] | None:
        """What a c2s says of a session; returns what is left to do."""
        kind = stanza.attrs.get('type')
        if kind == vocabulary.START:
            return self._start(frame, stanza.attrs.get('resource', ''), 'carbons' in stanza.attrs)
        if kind == vocabulary.ATTACH:
            return self._attach(frame, stanza)
        if kind == vocabulary.END:
            return self._end(frame, 'returns' in stanza.attrs)
        if kind == vocabulary.RETURNED:
            return self._returned(frame)
        if kind == vocabulary.FIND:
            return self._find(frame, stanza.attrs.get('id', ''))
        self.log.warn('{source} says {kind} of a session', source=frame.source, kind=kind)
        return None

    # ---- start

    async def _start(self, frame: Route, resource: str, carbons: bool) -> None:
        try:
            session = await self._open(frame, str(frame.key), resource, carbons and 'carbons' in self._sm.modules)
        except StanzaError as error:
            self._answer(frame, vocabulary.refused(error.condition, error.text))
        except Exception:
            self.log.failure('no session for {owner}', owner=frame.key)
            self._answer(frame, vocabulary.refused('internal-server-error'))
        else:
            caps = self._sm.server_caps(session.bare.rpartition('@')[2])
            self._answer(frame, vocabulary.started(session.jid, caps))
            if session.carbons:
                self._sm.records.keep(session)
            self._sm.hooks.tell('session_started', session)
            if self._sm.feed.active:
                self._sm.feed.session(session)

    async def _open(self, frame: Route, owner: str, resource: str, carbons: bool) -> Session:
        """StanzaError: conflict, resource-constraint or bad-request (RFC 6120 §7.6.2, §7.7.2)."""
        stream = frame.uid[:16]
        there = await self._sessions.fetch(owner)
        for session in there:
            if session.stream == stream:  # asked again
                return await self._add(frame, session.jid, replace=False, carbons=carbons)
        if resource:
            try:
                resource = parse(f'{owner}/{resource}').resource
            except InvalidJid as error:
                raise StanzaError('bad-request', str(error)) from None
        taken = {session.jid for session in there}
        wanted = f'{owner}/{resource}' if resource else ''
        if len(there) - (wanted in taken and self._options.conflict != RENAME) >= self._options.max_resources:
            self._sm.measures.limited.resources += 1
            raise StanzaError('resource-constraint', 'too many resources')
        if wanted and not (wanted in taken and self._options.conflict == RENAME):
            try:
                return await self._add(frame, wanted, self._options.conflict != REFUSE, carbons=carbons)
            except StaleEpoch:
                raise StanzaError('conflict', 'the resource is taken') from None
        for _ in range(TRIES):
            made_up = f'{resource}.{token_urlsafe(6)}' if resource else token_urlsafe(9)
            try:
                return await self._add(frame, f'{owner}/{made_up}', replace=False, carbons=carbons)
            except StaleEpoch:
                continue
        raise StanzaError('conflict', 'no free resource was found')

    async def _add(
        self,
        frame: Route,
        jid: str,
        replace: bool,
        presence: Stanza | None = None,
        carbons: bool = False,
        kept: bytes = b'',
    ) -> Session:
        node = frame.source
        incarnation = self._sm.links.instances(node).get(node, b'')
        self._nodes[node] = incarnation
        session = Session(jid, node, incarnation, frame.uid[:16], frame.epoch)
        session.carbons = carbons
        restore(session, kept)
        if presence is not None:
            # What the client said, which is all that its c2s knows: without the photo's hash (XEP-0153), say.
            presence = await self._sm.presence.as_modules_want(presence, session)
            session.presence, session.priority = presence, priority_of(presence)
            session.behind = session.priority >= 0 and bool(self._sm.hooks.chains['session_behind'])
            # It may have asked for them; a push that it does not want does no harm.
            session.interested = session.block_pushes = True
        await self._sm.first_reads.of(session.bare)
        if self._sm.hooks.chains['session_opening']:
            await self._sm.hooks.ask('session_opening', session)
        other = await self._sessions.open(session, replace)
        if other is not None:
            await self._close(other, 'conflict', 'another client has taken the resource')
            await self.gone(other)
        return session

    # ---- attach

    async def _attach(self, frame: Route, stanza: Stanza) -> None:
        """It lives already: nobody is told of its presence anew, but those who were told that it was gone."""
        stream, owner = frame.uid[:16], str(frame.key)
        try:
            jid = parse(stanza.attrs.get('jid', ''))
            presence, kept = vocabulary.attach_of(stanza)
            if jid.bare != owner or not jid.resource:
                raise ValueError(f'{jid} is no resource of {owner}')
            if presence is not None:
                priority_of(presence)
        except (ValueError, StanzaError) as error:
            self.log.warn('{node} can not attach a session: {error}', node=frame.source, error=str(error))
            self._answer(frame, vocabulary.close('internal-server-error'))
            return
        earlier = await self._of_stream(owner, stream)
        try:
            session = await self._add(frame, jid.full, replace=False, presence=presence, kept=kept)
        except StaleEpoch:
            there = await self._of_stream(owner, stream)
            if there is None:
                self._answer(frame, vocabulary.close('conflict', 'another client has taken the resource'))
            elif there.node != frame.source:
                self._answer(frame, vocabulary.elsewhere(there.node))
            return
        self._answer(frame, vocabulary.attached(session.jid))
        if self._sm.feed.active:
            self._sm.feed.session(session)
        if earlier is not None and earlier.node != session.node:
            self._sm.bounces.moved(stream, session.node)
            self._sm.posts.moved(stream, session.node)
            self._say(earlier, vocabulary.elsewhere(session.node))
        if session.priority is not None and session.priority >= 0:
            # While nobody knew of it, messages may have been stored.
            self._sm.hooks.tell('session_ready', session)
        before = self._revived.pop(stream, None)
        if before is not None:
            await self._sessions.update(
                stream, owner, session.epoch, interested=before.interested, carbons=before.carbons,
                block_pushes=before.block_pushes,
            )
            if before.presence is not None and session.presence is not None:
                await self._sm.presence.announce(session)

    async def _of_stream(self, owner: str, stream: bytes) -> Session | None:
        return next((session for session in await self._sessions.fetch(owner) if session.stream == stream), None)

    async def _find(self, frame: Route, key: str) -> None:
        """Where the client's stream is that wants to go on with it."""
        sessions = await self._sessions.fetch(str(frame.key))
        nodes = [session.node for session in sessions if vocabulary.key_of(session.stream).hex() == key]
        stream = frame.uid[:16]
        self._sm.posts.to_stream(str(frame.key), frame.source, stream, 0, vocabulary.found(nodes[0] if nodes else ''))

    # ---- end

    async def _close(self, session: Session, condition: str, text: str) -> None:
        """Have its c2s end it, which then says whether it gives messages back: those come before newer ones."""
        if self._sm.links.instances(session.node).get(session.node) == session.incarnation:
            await self._sessions.expect_returns(session.bare, session.stream, RETURN_SECONDS)

        def failed(reason: str) -> None:
            self._sm.spawn(self._nothing_returns(session))  # it is not there any more

        self._sm.posts.to_session(session, vocabulary.close(condition, text), failed=failed)

    async def _nothing_returns(self, session: Session) -> None:
        await self._sessions.returned(session.bare, session.stream)

    async def _returned(self, frame: Route) -> None:
        await self._sessions.returned(str(frame.key), frame.uid[:16])

    async def _end(self, frame: Route, returns: bool) -> None:
        if returns:
            await self._sessions.expect_returns(str(frame.key), frame.uid[:16], RETURN_SECONDS)
        else:
            await self._returned(frame)
        session = await self._sessions.close(frame.uid[:16], str(frame.key), frame.epoch)
        if session is not None:
            await self.gone(session)

    async def gone(self, session: Session) -> None:
        """It is out of the store: whoever saw it online is told."""
        self._sm.hooks.tell('session_ended', session)
        if self._sm.feed.active:
            self._sm.feed.ended(session)
        try:
            await self._sm.presence.leave(session)
        except Exception:
            self.log.failure('not everybody knows that {jid} is gone', jid=session.jid)

    async def lost(self, stream: bytes, bare: str, node: str) -> None:
        """The c2s says that it does not have the session."""
        for session in await self._sessions.fetch(bare):
            if session.stream == stream and session.node == node:
                closed = await self._sessions.close(stream, bare, session.epoch)
                if closed is not None:
                    await self.gone(closed)

    async def kick(self, bare: str, condition: str, text: str = '') -> int:
        """End all of a user's streams with a stream error; returns how many."""
        ended = 0
        for session in list(await self._sessions.fetch(bare)):
            closed = await self._sessions.close(session.stream, bare, session.epoch)
            if closed is not None:
                ended += 1
                await self._close(closed, condition, text)
                await self.gone(closed)
        return ended

    async def all_sessions(self) -> list[Session]:
        """Of all c2s nodes that hold any, as this session manager knows."""
        found: list[Session] = []
        for node, incarnation in list(self._nodes.items()):
            found += await self._sessions.of_node(node, incarnation)
        return found

    # ---- nodes

    def node_came(self, node: str, incarnation: bytes) -> bytes | None:
        """The earlier start of a c2s whose sessions are lost, now that there is another one.

        One that was only out of sight still has its clients: it is told to attach their sessions again.
        """
        for session in self._lost.pop((node, incarnation), ()):
            self._revive(session)
        earlier = self._nodes.get(node)
        if earlier is None or earlier == incarnation:
            return None
        del self._nodes[node]
        return earlier

    async def node_lost(self, node: str, incarnation: bytes) -> None:
        """End the sessions that this start of a c2s held, a few a turn; where it has a lease, when that is over."""
        if self._nodes.get(node) == incarnation:
            del self._nodes[node]
        if self._sm.left_behind is not None:
            await self._sm.left_behind.look_at(node, incarnation)
            return
        held: Sequence[Session] = list(await self._sessions.of_node(node, incarnation))
        if held:
            self.log.info('{node} is gone with {count} sessions', node=node, count=len(held))
            self._lost[node, incarnation] = []
            if len(self._lost) > MOST_LOST:
                del self._lost[next(iter(self._lost))]
        for number, session in enumerate(held):
            closed = await self._sessions.close(session.stream, session.bare, session.epoch)
            if closed is not None:
                if self._sm.links.instances(node).get(node) == incarnation:
                    self._revive(closed)  # it is back already
                else:
                    self._lost.setdefault((node, incarnation), []).append(closed)
                await self.gone(closed)
            if number % SLICE == SLICE - 1:
                await deferLater(self._sm.reactor, 0, lambda: None)

    def _revive(self, session: Session) -> None:
        """Its c2s has it still, and nobody else knows."""
        if len(self._revived) >= MOST_REVIVED:
            del self._revived[next(iter(self._revived))]
        self._revived[session.stream] = session
        self._say(session, vocabulary.lost())

    # ---- to a c2s

    def _answer(self, frame: Route, stanza: Stanza) -> None:
        """To the stream that asks; the session need not be in the store."""
        self._sm.posts.to_stream(
            str(frame.key), frame.source, frame.uid[:16], frame.epoch, stanza,
            failed=lambda reason: self._never_started(frame, reason),
        )  # fmt: skip

    def _never_started(self, frame: Route, reason: str) -> None:
        """The client was gone before the answer came; unless it is its c2s that is, which `node_lost` sees to."""
        if reason != MOVED:
            self._sm.spawn(self.lost(frame.uid[:16], str(frame.key), frame.source))

    def _say(self, session: Session, stanza: Stanza) -> None:
        self._sm.posts.to_session(session, stanza)
