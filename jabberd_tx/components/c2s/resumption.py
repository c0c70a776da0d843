"""Streams that their clients may resume after a loss of the connection (XEP-0198 §5), as far as one worker goes.

How they move to another worker is in moving.py.

Theory of operation.  <enable resume='true'/> gives a session a Resumption, and the client an id: a key, made from the
stream id, by which the session is found, and a secret.  When the connection is lost the session stays as it is; an
Away takes the place of the connection.  The session manager notices nothing: stanzas for the client are confirmed
and wait in `unacked`, within its bounds.  Then one of these:

    the client resumes in time    the new connection takes Away's place (resuming.py)
    it does not, or too much waits, or the sm or a shutdown ends the session
                                  the session ends as any other: what was not acked goes back to an sm, once
    the client ends the stream    likewise, at once: a stream that was closed is not resumed (§7)

The id of a stream that is over is remembered for a while with the number of stanzas that were handled, so that the
client can be told (§5).
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import deque
from hmac import compare_digest
from secrets import token_bytes
from typing import TYPE_CHECKING, NamedTuple

from twisted.internet.defer import Deferred

from jabberd_tx.components.c2s.away import Away
from jabberd_tx.link import session as vocabulary
from jabberd_tx.xmpp import acks
from jabberd_tx.xmpp.errors import CONDITIONS, stream_error
from jabberd_tx.xmpp.events import Nonza
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.service import C2S
    from jabberd_tx.components.c2s.session import Session

# Streams that are over of which it is remembered how far they went.
MOST_FORMER = 10_000
# Sessions whose time is over that are ended in one turn.
SLICE = 100


class NotResumed(Exception):
    """Why a stream is not resumed: a stanza error condition; h: what was handled of it, where that is known."""

    def __init__(self, condition: str, h: int | None = None) -> None:
        super().__init__(condition, h)
        self.condition, self.h = condition, h

    def to_xml(self) -> bytes:
        """<failed/>."""
        return acks.failed(self.condition, self.h)


def refusal_of(kept: Stanza) -> NotResumed:
    """What another worker says of a stream that it does not give (link/session.py)."""
    condition, h = kept.attrs.get('condition', ''), kept.attrs.get('h', '')
    return NotResumed(condition if condition in CONDITIONS else 'item-not-found', int(h) if h.isdigit() else None)


class StreamId(NamedTuple):
    """What clients see as one opaque text."""

    key: bytes
    secret: bytes

    def __str__(self) -> str:
        return urlsafe_b64encode(self.key + self.secret).decode()

    @classmethod
    def parse(cls, text: str) -> StreamId:
        """NotResumed for what is none."""
        try:
            data = urlsafe_b64decode(text)
        except ValueError:
            data = b''
        if len(data) != 24:
            raise NotResumed('item-not-found')
        return cls(data[:8], data[8:])


class Resumption:
    """What a session has that may be resumed.

    id       of the stream, for the client
    seconds  how long the session waits for its client
    waiting  somebody who waits until all that was taken from the client is confirmed
    before   how many stanzas had come before acks were enabled
    """

    __slots__ = ('before', 'id', 'seconds', 'waiting')

    def __init__(self, id: StreamId, seconds: int, before: int) -> None:
        self.id, self.seconds, self.before = id, seconds, before
        self.waiting: Deferred[None] | None = None

    def all_confirmed(self) -> None:
        """It is."""
        waiting, self.waiting = self.waiting, None
        if waiting is not None:
            waiting.callback(None)


class _Former(NamedTuple):
    """A stream that is over."""

    secret: bytes
    bare: str
    h: int


class ResumableStreams:
    """Of one c2s.

    by_key      sessions that may be resumed
    away        those that wait for their clients, longest first; away_bytes: what waits for all of them
    """

    def __init__(self, c2s: C2S) -> None:
        self._c2s = c2s
        self.by_key: dict[bytes, Session] = {}
        self.away: dict[Session, Away] = {}
        self.away_bytes = 0
        self._making_room = False
        self._until: dict[int, list[Away]] = {}  # by tick
        self._late: deque[Away] = deque()
        self._former: dict[bytes, _Former] = {}

    def enable(self, session: Session, request: Nonza) -> bytes:
        """Count stanzas from now on, in a session that does not yet; the answer to its client's <enable/>."""
        session.acks = acks.Acks(session.number)
        options = self._c2s.options
        seconds = acks.wanted_seconds(request, options.resume_timeout)
        answer = acks.ENABLED
        if seconds:
            id = StreamId(vocabulary.key_of(session.stream), token_bytes(16))
            self.add(session, id, seconds, session.number)
            answer = acks.enabled(str(id), seconds, options.resume_location)
        if self._c2s.copies is not None:
            self._c2s.copies.begin(session)
        return answer

    def add(self, session: Session, id: StreamId, seconds: int, before: int) -> None:
        """The session may be resumed from now on."""
        session.resumption = Resumption(id, seconds, before)
        self.by_key[id.key] = session

    # ---- away

    def put_away(self, session: Session) -> bool:
        """The session's client is out of reach: wait for it; False: that is not to be."""
        c2s, resumption = self._c2s, session.resumption
        if c2s.stopping or session.conn is None or resumption is None or session in c2s.leaving.sessions:
            return False
        until = c2s.tick_after(resumption.seconds)
        earlier = self.away.get(session)
        away = self.away[session] = Away(session, until, self._grew)
        away.size = session.unacked_bytes
        self.away_bytes -= earlier.size if earlier is not None else 0
        self._grew(away.size)
        self._until.setdefault(until, []).append(away)
        session.conn = away
        session.switch(away)
        session.full = False
        if len(self.away) > c2s.options.away_sessions:
            next(iter(self.away)).end()
        return True

    def cut(self, session: Session, condition: str, text: str) -> None:
        """End the connection with a stream error, but not the session, if it may be resumed."""
        conn = session.conn
        if conn is None or session.resumption is None or not self.put_away(session):
            session.fail(condition, text)
        else:
            conn.close(stream_error(condition, text))

    def back(self, session: Session) -> None:
        """It has a connection again."""
        away = self.away.pop(session, None)
        if away is not None:
            self.away_bytes -= away.size
            away.grew = None

    def forget(self, session: Session) -> None:
        """It is not here any more."""
        assert session.resumption is not None
        self.back(session)
        self.by_key.pop(session.resumption.id.key, None)

    def _grew(self, more: int) -> None:
        """So many bytes more wait for clients that are away."""
        self.away_bytes += more
        if self.away_bytes > self._c2s.options.away_bytes and not self._making_room:
            self._making_room = True
            self._c2s.turn.later(self._make_room)

    def _make_room(self) -> None:
        """End those that have waited longest, until there is room for the rest."""
        self._making_room = False
        for _ in range(min(SLICE, len(self.away))):
            if self.away_bytes <= self._c2s.options.away_bytes:
                return
            session = next(iter(self.away))
            self._c2s.limited.note('away-bytes', session.jid)
            session.end()
            self.back(session)
        self._grew(0)  # and the rest in another turn

    def tick(self, tick: int) -> None:
        """Called once a second: end those that have waited long enough."""
        over = self._until.pop(tick, None)
        if over is not None:
            if not self._late:
                self._c2s.turn.later(self._end_late)
            self._late += over

    def _end_late(self) -> None:
        for _ in range(min(SLICE, len(self._late))):
            away = self._late.popleft()
            if away.session is not None and away.session.conn is away:
                away.session.end()
        if self._late:
            self._c2s.reactor.callLater(0, self._end_late)

    # ---- over

    def ended(self, session: Session) -> None:
        """Its stream is over."""
        resumption = session.resumption
        assert resumption is not None
        resumption.all_confirmed()
        self.forget(session)

    def remember(self, session: Session) -> None:
        """How far a stream went that is over."""
        resumption = session.resumption
        assert resumption is not None
        id, handled = resumption.id, min(session.floor, session.ended) - 1 - resumption.before
        self._former[id.key] = _Former(id.secret, session.bare, handled % acks.MODULUS)
        if len(self._former) > MOST_FORMER:
            del self._former[next(iter(self._former))]

    # ---- resumed

    def find(self, bare: str, id: StreamId) -> Session | None:
        """The session of that user with that id, if it is here; NotResumed if it is over, or not the user's."""
        session = self.by_key.get(id.key)
        if session is not None:
            self.check(session, bare, id)
            return session
        former = self._former.get(id.key)
        if former is not None:
            known = former.bare == bare and compare_digest(former.secret, id.secret)
            raise NotResumed('item-not-found', former.h if known else None)
        return None

    @staticmethod
    def check(session: Session, bare: str, id: StreamId) -> None:
        """Whether it is that user's, and that id is its own; NotResumed."""
        resumption = session.resumption
        if resumption is None or session.bare != bare or not compare_digest(resumption.id.secret, id.secret):
            raise NotResumed('item-not-found')
