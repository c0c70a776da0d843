"""Sessions that are resumed at another worker than the one that has them (docs/delivery.md).

Theory of operation.  A client shows an id that is not known here.  The new worker asks an sm which node has the stream,
and that node, the old worker, for the session.  The session store decides who has it: whoever has attached it with
the highest epoch, and the sm tells the other one.

    step                                     has it    if the new worker dies here   if the old one does
    1  new: `find` to an sm; `found`         old       nothing has happened          as any worker that dies
    2  new: `give` to old                    old       old takes it back             likewise
       old: cuts the connection, takes the session out of its table, holds what comes for it, packs it: `state`,
       part after part, each asked for by a `give` of its own
    3  new: has all parts; attaches it       old       old takes it back             new goes on
    4  sm: the store has epoch + 1           new       old takes it back             new goes on
       sm: `attached` to new, `elsewhere` to old; what was on its way to old goes to new
    5  new: <resumed/> to the client
    6  old: drops the session, bounces what it held and what still comes as `moved`

The old worker takes a session back when it has waited for PATIENCE seconds and the store does not say that a node which
lives has it: it attaches it with an epoch that is LEAP higher, so that an attach of the new worker that is still under
way loses, and delivers what it held.  A client that comes back to the old worker has the same effect at once.

Whoever asks asks again when no answer comes, and the answers to both questions may be repeated.
"""

from __future__ import annotations

from secrets import token_bytes
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, TimeoutError
from twisted.logger import Logger

from jabberd_tx.components.c2s.away import Away
from jabberd_tx.components.c2s.moved_state import pack, unpack
from jabberd_tx.components.c2s.moving_questions import Questions
from jabberd_tx.components.c2s.resumption import NotResumed, StreamId, refusal_of
from jabberd_tx.components.c2s.returned import HOPS
from jabberd_tx.components.c2s.session import ATTACHING, LIVE, Session
from jabberd_tx.components.c2s.session_frames import announce
from jabberd_tx.link import session as vocabulary
from jabberd_tx.link.frames import BUSY, MOVED, NO_SESSION, Fanout, Route, make_uid
from jabberd_tx.xmpp.acks import AcksError
from jabberd_tx.xmpp.errors import stream_error
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.service import C2S
    from jabberd_tx.link.interfaces import Link

# Seconds for an sm to attach what was given.
ATTACH_S = 10.0
# Seconds until the old worker looks whether the new one has the session.
PATIENCE = 10
LEAP = 1000
# What is held for one session, and sessions that are given or gone at a time.
MOST_HELD, MOST_GIVEN, MOST_GONE = 200, 10_000, 100_000
# Parts of one session.
MOST_PARTS = 2000


class _Given:
    """A session that another worker has asked for: `until` the tick when it is looked for, `held` what came for it."""

    __slots__ = ('asking', 'held', 'parts', 'session', 'until')

    def __init__(self, session: Session, until: int) -> None:
        self.session, self.until = session, until
        self.parts = pack(session)
        self.held: list[tuple[Route, Link | None]] = []  # without a link: a part of a fan-out, confirmed already
        self.asking = False


class Moves:
    """See the module's text.  given: by stream id."""

    log = Logger()

    def __init__(self, c2s: C2S) -> None:
        self._c2s = c2s
        self.questions = Questions(c2s)
        self.given: dict[bytes, _Given] = {}
        self._gone: dict[bytes, str] = {}  # where streams are that were here
        self._arriving: dict[bytes, Deferred[None]] = {}

    # ---- the new worker

    async def fetch(self, owner: str, id: StreamId, h: int) -> Session:
        """The session with that id, attached here, its client away; NotResumed."""
        node = await self.questions.where(owner, id.key)
        if node == self._c2s.node:
            return self._fetch_back(owner, id)
        if not node:
            raise NotResumed('item-not-found')
        parts: list[bytes] = []
        while True:
            answer = await self.questions.ask(node, None, owner, vocabulary.give(*id, owner, h, len(parts)), 0)
            if answer.attrs.get('type') != vocabulary.STATE:
                raise refusal_of(answer)
            parts.append(answer.inner)
            if len(parts) >= min(int(answer.attrs.get('parts', '0')), MOST_PARTS):
                break
        # Unless another connection of this client has been here meanwhile.
        session = self._c2s.resumable.find(owner, id)
        if session is None:
            session = self._unpacked(b''.join(parts))
            await self.take_in(session)
        else:
            await self.until_attached(session)
        return session

    def _fetch_back(self, owner: str, id: StreamId) -> Session:
        for given in self.given.values():
            assert given.session.resumption is not None
            if given.session.resumption.id.key == id.key:
                self._c2s.resumable.check(given.session, owner, id)
                self._take_back(given)
                return given.session
        raise NotResumed('item-not-found')

    def _unpacked(self, data: bytes) -> Session:
        try:
            return unpack(self._c2s, data)
        except ValueError:
            self.log.failure('a session can not be taken over')
            raise NotResumed('internal-server-error') from None

    async def take_in(self, session: Session) -> None:
        """Have it from now on, its client away: first copy, then attach it.  NotResumed."""
        self._gone.pop(session.stream, None)
        given = self.given.pop(session.stream, None)
        self._install(session)
        if given is not None:
            self._deliver(given, session)
        if self._c2s.copies is not None:
            await self._c2s.copies.stored()
        self._c2s.pins.look_after(session)
        await self.until_attached(session)

    async def until_attached(self, session: Session) -> None:
        """NotResumed when that takes too long, or it is over."""
        if session.acks is not None and session.phase is not LIVE:
            await self._attached(session)
        if session.acks is None:
            raise NotResumed('item-not-found')

    def _install(self, session: Session) -> None:
        c2s = self._c2s
        c2s.sessions[session.stream] = session
        c2s.streams += 1
        if not c2s.resumable.put_away(session):
            session.end()
        elif c2s.copies is not None:
            c2s.copies.begin(session)

    async def _attached(self, session: Session) -> None:
        arriving = self._arriving[session.stream] = Deferred()
        arriving.addTimeout(ATTACH_S, self._c2s.reactor)
        try:
            await arriving
        except TimeoutError:
            # It is attached some time, or another worker has it; the client does not wait for that.
            raise NotResumed('remote-server-timeout') from None
        finally:
            if self._arriving.get(session.stream) is arriving:
                del self._arriving[session.stream]

    def settled(self, session: Session) -> None:
        """The session is attached, or over."""
        arriving = self._arriving.pop(session.stream, None)
        if arriving is not None:
            arriving.callback(None)

    # ---- the old worker

    def _give(self, frame: Route, said: Stanza) -> None:
        attrs = said.attrs
        try:
            id = StreamId(bytes.fromhex(attrs.get('id', '')), bytes.fromhex(attrs.get('secret', '')))
            given = self._given(attrs.get('owner', ''), id, int(attrs.get('h', '')))
            part = int(attrs.get('part', ''))
            answer = vocabulary.state(len(given.parts), given.parts[part])
        except NotResumed as refusal:
            answer = vocabulary.kept(refusal.condition, refusal.h)
        except AcksError:
            answer = vocabulary.kept('bad-request', None)
        except (ValueError, IndexError):
            self.log.warn('{node} asks for no session', node=frame.source)
            return
        self._reply(frame, answer)

    def _given(self, owner: str, id: StreamId, h: int) -> _Given:
        c2s = self._c2s
        for given in self.given.values():
            resumption = given.session.resumption
            assert resumption is not None
            if resumption.id.key == id.key:
                c2s.resumable.check(given.session, owner, id)
                given.until = c2s.tick_after(PATIENCE)
                return given
        session = c2s.resumable.find(owner, id)
        if session is None or session.acks is None or c2s.stopping or len(self.given) >= MOST_GIVEN:
            raise NotResumed('item-not-found')
        if not session.acks.knows(h):
            raise NotResumed('bad-request')
        c2s.resumable.cut(session, 'conflict', 'resumed by another connection')
        if session.acks is None:
            raise NotResumed('item-not-found')
        session.become_active()
        session.conn = Away(session, 0)  # for which no time runs out
        self._remove(session)
        given = self.given[session.stream] = _Given(session, c2s.tick_after(PATIENCE))
        return given

    def _remove(self, session: Session) -> None:
        c2s = self._c2s
        if session.resumption is not None:
            session.resumption.all_confirmed()
            c2s.resumable.forget(session)
        if c2s.sessions.pop(session.stream, None) is not None:
            c2s.streams -= 1
        c2s.pins.forget(session)

    def _reply(self, frame: Route, answer: Stanza) -> None:
        c2s = self._c2s
        link = c2s.links.pick(frame.source)
        if link is not None:
            uid = make_uid(token_bytes(16), 1)
            link.route(Route(frame.source, frame.uid[:16], c2s.node, 0, uid, HOPS, 0, answer))

    def elsewhere(self, session: Session, epoch: int, node: str) -> None:
        """An sm says that another node has the session."""
        if epoch < session.epoch:
            return  # it has come back since
        conn, session.conn = session.conn, None
        self._remove(session)
        if conn is not None:
            conn.close(stream_error('conflict', 'resumed elsewhere'))
        self._is_gone(session, node)
        self.settled(session)
        session.let_go()

    def _is_gone(self, session: Session, node: str) -> None:
        stream = session.stream
        self._gone[stream] = node
        self._c2s.uncopy(session)
        if len(self._gone) > MOST_GONE:
            del self._gone[next(iter(self._gone))]
        given = self.given.pop(stream, None)
        for frame, link in given.held if given is not None else ():
            if link is None:
                self._pass_on(frame, node)
            else:
                self._c2s.links.bounce(frame, MOVED, node, via=link)

    def _pass_on(self, frame: Route, node: str) -> None:
        """Nobody waits for the confirmation of this, and nobody sends it once more."""
        link = self._c2s.links.pick(str(frame.key))
        if link is not None:
            link.route(frame._replace(dest=node, source=self._c2s.node))

    def _take_back(self, given: _Given) -> None:
        session = given.session
        self.given.pop(session.stream, None)
        assert session.resumption is not None
        self._c2s.resumable.by_key[session.resumption.id.key] = session
        session.epoch += LEAP
        session.phase = ATTACHING
        self._install(session)
        self._c2s.pins.look_after(session)
        self._deliver(given, session)

    def _deliver(self, given: _Given, session: Session) -> None:
        for frame, link in given.held:
            if link is not None:
                self._c2s.intake.on_route(frame, link)
            elif session.conn is not None:
                session.deliver_share(frame, frame.payload)  # type: ignore[arg-type]

    # ---- now and then

    def tick(self, tick: int) -> None:
        """Called once a second: what has become of what was given?"""
        for given in [given for given in self.given.values() if given.until <= tick and not given.asking]:
            given.asking = True
            Deferred.fromCoroutine(self._look_for(given)).addErrback(self._look_failed)

    def node_down(self, node: str) -> None:
        """It may be the one that has asked for a session."""
        for given in self.given.values():
            given.until = 0

    async def _look_for(self, given: _Given) -> None:
        session, c2s = given.session, self._c2s
        assert session.resumption is not None
        try:
            node = await self.questions.where(session.bare, session.resumption.id.key)
        except NotResumed:
            return  # nobody knows: later
        finally:
            given.asking, given.until = False, c2s.tick_after(PATIENCE)
        if self.given.get(session.stream) is not given:
            return
        if node and node != c2s.node and c2s.links.instances(node):
            self._is_gone(session, node)
        else:
            self._take_back(given)

    def _look_failed(self, failure: object) -> None:
        self.log.failure('looking for a session failed', failure)  # type: ignore[arg-type]

    def take_all_back(self) -> None:
        """At shutdown: whatever nobody has taken ends here."""
        for given in list(self.given.values()):
            self._take_back(given)

    # ---- what comes for sessions that are not here

    def take_stray(self, frame: Route, stanza: Stanza, link: Link) -> None:
        """A frame for a stream that is not in the table."""
        c2s = self._c2s
        stream: bytes = frame.key  # type: ignore[assignment]
        given = self.given.get(stream)
        if stanza.name == vocabulary.NAME and self._take_word(frame, stanza, given):
            c2s.links.confirm(frame.source, frame.uid, link)
        elif given is not None:
            if len(given.held) < MOST_HELD:
                given.held.append((frame, link))
            else:
                c2s.links.bounce(frame, BUSY, via=link)
        elif stream in self._gone:
            c2s.links.bounce(frame, MOVED, self._gone[stream], via=link)
        else:
            c2s.links.bounce(frame, NO_SESSION, via=link)

    def _take_word(self, frame: Route, said: Stanza, given: _Given | None) -> bool:
        """Whether it is a part of these conversations."""
        kind = said.attrs.get('type')
        if kind == vocabulary.GIVE:
            self._give(frame, said)
        elif kind in (vocabulary.FOUND, vocabulary.STATE, vocabulary.KEPT):
            self.questions.answered(frame.key, said)
        elif kind == vocabulary.ANNOUNCE:
            announce(self._c2s, frame.source)
        elif kind == vocabulary.ELSEWHERE:
            if given is not None:
                self.elsewhere(given.session, frame.epoch, said.attrs.get('node', ''))
        else:
            return False
        return True

    def take_share(self, frame: Fanout, stanza: Stanza, stream: bytes, to: str) -> bool:
        """One session's share of a fan-out, confirmed with the others; False: it is for nobody here."""
        given = self.given.get(stream)
        if given is None and stream not in self._gone:
            return False
        share = stanza.with_attrs(to=to) if to else stanza
        route = Route(frame.dest, stream, frame.source, 0, frame.uid, HOPS, 0, share)
        if given is None:
            self._pass_on(route, self._gone[stream])
        elif len(given.held) < MOST_HELD:
            given.held.append((route, None))
        return True
