"""What c2s nodes that are gone have left behind: sessions, and copies of streams (docs/delivery.md).

Theory of operation.  A node is gone when every router in sight says so and its lease is over.  Then one session
manager, the one that has the node's claim, looks at each of its streams:

    it can't be resumed                 its session ends, as if it had said so
    it may still be resumed             its session takes no messages: they go to others, or are stored
    nobody has resumed it in time       its session ends

Whoever ends a session claims its stream first, so that nobody resumes it any more; then what the client had not acked
goes where it goes when a c2s gives it back, and what the client had been told was taken, and nobody had confirmed, is
taken as if it came now.  All of that can be done again by another session manager if this one dies over it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from jabberd_tx.components.sm.sending import HOPS
from jabberd_tx.link.frames import CLIENT, REPEAT, RETURNED, Route, make_uid, mark_of
from jabberd_tx.link.stream_copies import CopiedStream, may_go_back, stanza_of, streams_of
from jabberd_tx.storage.copies.interface import CopyStore, Start
from jabberd_tx.storage.sessions.interface import Session, StaleEpoch
from jabberd_tx.xmpp.errors import error_reply
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.sm.service import SessionManager

# Where a node's claim is, among those of its streams.
WHOLE = b''
# Streams that are seen to in one turn.
SLICE = 20
# How often is looked whether a message is settled, and how long user's newer messages wait for older ones at most.
LOOK, RETURN_SECONDS = 0.05, 15.0
# How many intervals a lease holds (components/c2s/lease.py).
INTERVALS = 2


class LeftBehind:
    """Of one sm."""

    log = Logger()

    def __init__(self, sm: SessionManager, copies: CopyStore, lease: float) -> None:
        """lease: the interval, in seconds."""
        self._sm, self._copies, self._grace = sm, copies, INTERVALS * lease
        self._own = Start(sm.links.node, sm.links.incarnation)
        self._busy: set[Start] = set()
        self._logs: dict[Start, dict[bytes, CopiedStream]] = {}
        self._later: dict[Start, IDelayedCall] = {}
        self._stopped = False

    def stop(self) -> None:
        """Do nothing more."""
        self._stopped = True
        for call in self._later.values():
            call.cancel()
        self._later.clear()

    async def starts(self) -> list[tuple[str, bytes]]:
        """Nodes that may have left something."""
        return [(start.node, start.incarnation) for start in await self._copies.starts()]

    async def look_at(self, node: str, incarnation: bytes) -> None:
        """The node is not in sight: do what is due."""
        start = Start(node, incarnation)
        if start in self._busy or self._is_there(start):
            return
        self._busy.add(start)
        try:
            lost_for = await self._copies.lost_for(start, self._grace)
            if lost_for < 0:
                self._look_later(start, -lost_for)
            elif await self._is_ours(start):
                await self._settle(start, lost_for)
        finally:
            self._busy.discard(start)

    def _look_later(self, start: Start, seconds: float) -> None:
        if start not in self._later and not self._stopped:
            self._later[start] = self._sm.reactor.callLater(seconds + LOOK, self._look, start)

    def _look(self, start: Start) -> None:
        del self._later[start]
        self._sm.spawn(self.look_at(*start))

    def _is_there(self, start: Start) -> bool:
        return start == self._own or self._sm.links.instances(start.node).get(start.node) == start.incarnation

    async def _is_ours(self, start: Start) -> bool:
        return await self._claim(start, WHOLE) == str(self._own)

    async def _claim(self, start: Start, stream: bytes) -> str:
        own = str(self._own)
        holder = await self._copies.claim(start, stream, own)
        if holder != own and not self._is_there(Start.parse(holder)):
            holder = await self._copies.claim(start, stream, own, holder)
        return holder

    # ---- one node

    async def _settle(self, start: Start, lost_for: float) -> None:
        streams = self._logs.get(start)
        held = {session.stream: session for session in await self._sm.sessions.of_node(*start)}
        if streams is None:
            streams = self._logs[start] = await self._read(start)
            if held or streams:
                counts = {'sessions': len(held), 'streams': len(streams)}
                self.log.info('{node} is gone: {sessions} sessions, {streams} streams', node=start.node, **counts)
        claims = await self._copies.claims(start)
        for number, (stream, session) in enumerate(held.items()):
            if stream not in streams:
                if not self._is_taken(claims.get(stream)):
                    await self._end(session)
            elif session.priority is not None and streams[stream].seconds > lost_for:
                await self._park(session)
            if number % SLICE == SLICE - 1:
                await self._sm.sleep(0)
        for copy in list(streams.values()):
            # Who has attached it has copied it before.
            resumed = copy.stream not in held and self._is_taken(claims.get(copy.stream))
            if resumed or (copy.seconds <= lost_for and await self._settle_stream(start, copy)):
                del streams[copy.stream]
        if not streams:
            del self._logs[start]
            await self._copies.drop(start)
        else:
            self._look_later(start, max(min([copy.seconds for copy in streams.values()]) - lost_for, 1.0))

    def _is_taken(self, holder: str | None) -> bool:
        """Whether a worker that is in sight has it."""
        return holder is not None and holder != str(self._own) and self._is_there(Start.parse(holder))

    async def _read(self, start: Start) -> dict[bytes, CopiedStream]:
        try:
            return streams_of(await self._copies.read(start))
        except ValueError:
            self.log.failure('the copies of {node} can not be read', node=start.node)
            return {}

    async def _park(self, session: Session) -> None:
        """It takes no messages for now; everybody else sees it as before."""
        try:
            await self._sm.sessions.update(session.stream, session.bare, session.epoch, priority=None)
        except StaleEpoch:
            pass  # it is somebody else's

    async def _end(self, session: Session) -> None:
        closed = await self._sm.sessions.close(session.stream, session.bare, session.epoch)
        if closed is not None:
            await self._sm.lifecycle.gone(closed)

    # ---- one stream

    async def _settle_stream(self, start: Start, copy: CopiedStream) -> bool:
        """Whether nothing of it is left to be done here."""
        sm = self._sm
        holder = await self._claim(start, copy.stream)
        if holder != str(self._own):
            return True  # it has been resumed
        there = [session for session in await sm.sessions.fetch(copy.bare) if session.stream == copy.stream]
        if there and (there[0].node, there[0].incarnation) != start:
            return True
        await sm.sessions.expect_returns(copy.bare, copy.stream, RETURN_SECONDS)
        for session in there:
            await self._end(session)
        done = await self._give_back(copy) and await self._go_on(copy)
        await sm.sessions.returned(copy.bare, copy.stream)
        return done

    async def _give_back(self, copy: CopiedStream) -> bool:
        """What its client has not acked."""
        domain, node = copy.bare.rpartition('@')[2], self._own.node
        frames = []
        for uid, data in (*copy.unacked, *copy.held):
            if not may_go_back(uid, data):
                continue
            stanza = stanza_of(data)
            if stanza.name == 'iq':
                self._refuse(copy, stanza)
                continue
            flags = RETURNED | REPEAT
            frames.append(Route(domain, copy.bare, node, mark_of(copy.stream), uid, HOPS, flags, stanza))
        return await self._take(copy, frames)

    def _refuse(self, copy: CopiedStream, stanza: Stanza) -> None:
        sender = stanza.attrs.get('from', copy.bare)
        if stanza.attrs.get('type') in ('get', 'set') and sender not in (copy.bare, copy.bare.rpartition('@')[2]):
            self._sm.send(error_reply(stanza, 'service-unavailable'))

    async def _go_on(self, copy: CopiedStream) -> bool:
        """What its client was told was taken; of that, messages: nobody is there to get answers to IQs."""
        frames = []
        for number, packed in copy.unconfirmed:
            stanza = Stanza.unpack(packed)
            if stanza.name == 'message':
                uid, flags = make_uid(copy.stream, number), CLIENT | REPEAT
                frames.append(Route('', copy.bare, self._own.node, copy.epoch, uid, HOPS, flags, stanza))
        return await self._take(copy, frames)

    async def _take(self, copy: CopiedStream, frames: list[Route]) -> bool:
        """As if they came over a link; whether all are settled."""
        sm = self._sm
        link = sm.links.pick(copy.bare)
        if link is None:
            return not frames
        for frame in frames:
            sm.intake.on_route(frame, link)
        while any([frame.uid in sm.delivery.kept for frame in frames]):
            await sm.sleep(LOOK)
            if not link.up:
                return False  # all may be forgotten (Delivery.forget_all): once more, later
        return True
