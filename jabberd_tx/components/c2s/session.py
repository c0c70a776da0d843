"""A client's session, from the wish for a resource until all that the client sent is confirmed.

What comes in from the client is in inbox.py, what goes out to it in outbox.py; where the session lives is pins.py's to
see to.  When the stream is over the session says `end`, as its last numbered frame, and stays until everything is
confirmed.
"""

from __future__ import annotations

import secrets
from enum import IntEnum
from typing import TYPE_CHECKING

from jabberd_tx.components.c2s.held_back import take_client_state
from jabberd_tx.components.c2s.inbox import Inbox
from jabberd_tx.components.c2s.outbox import Unacked
from jabberd_tx.components.c2s.returned import HOPS, give_back
from jabberd_tx.link import session as vocabulary
from jabberd_tx.link.frames import CLIENT, Route
from jabberd_tx.xmpp import acks, ns
from jabberd_tx.xmpp.errors import stream_error
from jabberd_tx.xmpp.events import Nonza, StreamClose, Violation
from jabberd_tx.xmpp.jid import Jid
from jabberd_tx.xmpp.parser import Event
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.away import Away
    from jabberd_tx.components.c2s.connection import ClientConnection
    from jabberd_tx.components.c2s.resumption import Resumption
    from jabberd_tx.components.c2s.service import C2S
    from jabberd_tx.link.interfaces import Link


class Phase(IntEnum):
    """STARTING: an sm is asked for a session; ATTACHING: an sm is asked to take it over; LIVE: it is pinned."""

    STARTING, ATTACHING, LIVE = range(3)


STARTING, ATTACHING, LIVE = Phase


class Session(Inbox):
    """See the module's text.

    phase        and `since`, the tick when it began
    asked_over   the link that start or attach was sent over; of a live session, one that has no way to the pin
    queued       in the queue of pins.py
    ended_at     the tick when the stream was over, and `ended` the number of what it said then; 0: it is not
    giving_back  messages that are on their way back to an sm
    kept         what its sm wants told to the next one
    resource     that the client wants, while STARTING; carbons: it wants copies from the start (XEP-0280)
    resumption   once the client may resume the stream
    """

    __slots__ = (
        'asked_over', 'carbons', 'ended', 'ended_at', 'giving_back', 'kept', 'phase', 'queued', 'resource',
        'resumption', 'since',
    )  # fmt: skip

    def __init__(self, c2s: C2S, conn: ClientConnection | Away, who: Jid, resource: str, lang: str | None) -> None:
        super().__init__(c2s, conn, who, lang, secrets.token_bytes(16))
        self.resource = resource
        self.carbons = False
        self.kept = b''
        self.phase: Phase = STARTING
        self.since = c2s.tick
        self.ended = self.ended_at = 0
        self.giving_back = 0
        self.asked_over: Link | None = None
        self.queued = False
        self.resumption: Resumption | None = None

    # ---- what is no stanza

    def take_other(self, event: Event) -> None:
        """An event of the parser's that is not one."""
        if isinstance(event, Nonza) and event.ns == ns.ACKS:
            self._take_acks(event)
        elif isinstance(event, Nonza) and event.ns == ns.CSI:
            take_client_state(self, event)
        elif isinstance(event, Nonza):
            self.fail('unsupported-stanza-type', 'not expected here')
        elif isinstance(event, StreamClose):
            self._take_end()
        elif isinstance(event, Violation):
            self.fail(event.condition, event.text)
        else:
            self.fail('bad-format', 'a second stream header')

    def take_last(self, event: Event) -> None:
        """While the server shuts down: as `take`, but stanzas stay the client's."""
        if self.conn is not None and type(event) is not Stanza:
            self.take_other(event)

    # ---- acks (XEP-0198)

    def _take_acks(self, event: Nonza) -> None:
        name = event.name
        counters = self.acks
        if name == 'r' and counters is not None:
            self.c2s.answer_soon(self)
        elif name == 'a' and counters is not None:
            try:
                self.take_ack(event)
            except acks.AcksError as error:
                self._end_with(error.to_xml(), error.condition, error.text)
        elif name == 'enable' and counters is None:
            self.write(self.c2s.resumable.enable(self, event))
        elif name in ('r', 'a', 'enable', 'resume'):
            self.write(acks.failed('unexpected-request'))
        else:
            self.fail('unsupported-stanza-type', 'not expected here')

    def answer_request(self) -> None:
        """Tell the client what is confirmed; if that is not all that it has sent, once more when it is."""
        if self.acks is not None:
            self.owed = self.number if self.number >= self.floor else 0
            self._tell(self.acks)

    def last_ack(self) -> None:
        """Tell the client what is confirmed."""
        if self.acks is not None:
            self.owed = 0
            self._tell(self.acks)
            if self.resumption is not None:
                self.resumption.all_confirmed()

    def _tell(self, counters: acks.Acks[Unacked]) -> None:
        if self.copies is not None:
            self.copies.tell(self, self.floor - 1)
        self.write(counters.answer(self.floor - 1))

    # ---- the end

    def rest(self) -> None:
        """Nothing is unconfirmed: time to go, or to move."""
        if self.conn is None:
            if not self.giving_back:
                self.c2s.drop(self)
        else:
            self.c2s.pins.move(self)

    def fail(self, condition: str, text: str = '', inner: str = '') -> None:
        """End the stream with a stream error."""
        self._end_with(stream_error(condition, text, inner), condition, text)

    def _end_with(self, error: bytes, condition: str, text: str) -> None:
        conn = self.conn
        if conn is None:
            return
        self.c2s.log.info('stream of {jid} ended: {condition}: {text}', jid=self.jid, condition=condition, text=text)
        self.hasten()
        if self.acks is not None and conn.session is self:
            error = self.acks.answer(self.floor - 1) + error
        self.end()
        conn.close(error)

    @property
    def waits(self) -> bool:
        """Whether something that the client sent has yet to be settled or answered."""
        return bool(self.unconfirmed) or self.iqs is not None

    def _take_end(self) -> None:
        """The client has ended its stream: first the answers to what stood before that."""
        if self.waits and self.conn is not None:
            self.c2s.leaving.add(self)
        else:
            self.close()

    def close(self) -> None:
        """The client has ended its stream, and that is the end of it; nothing if it is over already."""
        conn = self.conn
        self.hasten()
        self.last_ack()
        self.end()
        if conn is not None:
            conn.close()

    def lost(self) -> None:
        """The connection is gone."""
        if self.resumption is None or not self.c2s.resumable.put_away(self):
            self.end()

    def end(self) -> None:
        """The stream is over, or about to be closed: say so to the sm, give back what the client did not ack."""
        conn, self.conn = self.conn, None
        if conn is None:
            return
        c2s = self.c2s
        # Before the end: the user's next session gets its messages after these.
        if self.resumption is not None:
            c2s.resumable.ended(self)
        for frame in self.let_go():
            self.give_back(frame)
        self.full = False
        self.iqs = None
        self.ended_at = c2s.tick
        self.ended = self.number + 1
        c2s.ended(self)
        self._say(vocabulary.end(bool(self.giving_back)))

    def _say(self, word: Stanza) -> None:
        """One more numbered frame, though no client is there."""
        c2s = self.c2s
        number = self.number = self.number + 1
        frame = self.unconfirmed[number] = Route(
            self.pin.node or self.domain, self.bare, c2s.node, self.epoch,
            self.stream + number.to_bytes(8, 'big'), HOPS, CLIENT, word,
        )  # fmt: skip
        c2s.pins.send(self, frame)

    def give_back(self, frame: Route) -> None:
        """What the client did not ack goes back to an sm."""
        give_back(self, frame)

    def taken_back(self) -> None:
        """An sm has one of those.  After the last one the user's next session may be given what is newer."""
        self.giving_back -= 1
        if not self.giving_back and self.ended and self.stream in self.c2s.sessions:
            self._say(vocabulary.returned())

    def cool(self) -> None:
        """The client has become quiet: give back what only a busy one needs."""
        if not self.unconfirmed:
            self.unconfirmed = {}
            self.big = None
