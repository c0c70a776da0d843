"""A client's session, from the wish for a resource until all that the client sent is confirmed.

Theory of operation.  The client's stanzas are numbered from 1; each goes to the sm node that the session is pinned to
and is kept in `unconfirmed` until that says it is settled.  `floor` is the lowest number that is not confirmed (the
next one, when all are), so that floor - 1 is what XEP-0198's h counts to.  `link` is the way to the pin, and None
whenever nothing may be sent: without a pin, without a link, while the pin is busy.  Then stanzas wait in `unconfirmed`,
and pins.py sees to it that they are sent, in order.  Past the window nothing more is taken from the client.

When the stream is over the session says `end`, as its last numbered frame, and stays until everything is confirmed.
"""

from __future__ import annotations

import secrets
from enum import IntEnum
from typing import TYPE_CHECKING

from jabberd_tx.components.c2s.client_iq import IQ_TYPES, Asked, ClientIqs, is_session_request
from jabberd_tx.components.c2s.held_back import take_client_state
from jabberd_tx.components.c2s.outbox import Outbox
from jabberd_tx.components.c2s.rates import LOT_IQS, LOT_STANZAS
from jabberd_tx.components.c2s.returned import HOPS, give_back
from jabberd_tx.components.c2s.sm_node import NOWHERE, SmNode
from jabberd_tx.link import session as vocabulary
from jabberd_tx.link.frames import CLIENT, Route
from jabberd_tx.xmpp import acks, ns
from jabberd_tx.xmpp.errors import error_reply, may_reply, stream_error
from jabberd_tx.xmpp.events import Nonza, StreamClose, Violation
from jabberd_tx.xmpp.jid import InvalidJid, Jid, parse
from jabberd_tx.xmpp.parser import Event
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.away import Away
    from jabberd_tx.components.c2s.connection import ClientConnection
    from jabberd_tx.components.c2s.resumption import Resumption
    from jabberd_tx.components.c2s.service import C2S
    from jabberd_tx.link.interfaces import Link

# Stanzas up to this size are bounded by their number alone.
SMALL = 512


class Phase(IntEnum):
    """STARTING: an sm is asked for a session; ATTACHING: an sm is asked to take it over; LIVE: it is pinned."""

    STARTING, ATTACHING, LIVE = range(3)


STARTING, ATTACHING, LIVE = Phase


class Session(Outbox):
    """See the module's text.

    conn         the client's connection, or what stands in for it while the client is away; None when the stream is
                 over, since the tick `ended_at`
    jid, bare, domain   the full JID (the bare one until the sm has given it), and its parts, prepared
    lang         xml:lang of the stream, or None
    number       of the client's last stanza
    unconfirmed  number -> frame, in order
    big, big_bytes  sizes of the larger of those
    pin, epoch   where the session lives, and how often it has moved
    link, generation  the way there, and the links' generation when it was chosen
    phase        and `since`, the tick when it began
    asked_over   the link that start or attach was sent over; of a live session, one that has no way to the pin
    queued       in the queue of pins.py
    full         the connection is held until there is room
    owed         a number that the client asked an ack for and was not told of, or that a resumption waits for
    presence     the last broadcast presence, packed; b'' while unavailable
    iqs          IQs that wait for an answer; iq_count: how many there were in all
    resource     that the client wants, while STARTING; carbons: it wants copies from the start (XEP-0280)
    resumption   once the client may resume the stream
    """

    __slots__ = (
        'asked_over', 'bare', 'big', 'big_bytes', 'carbons', 'conn', 'domain', 'ended_at', 'epoch', 'floor', 'full',
        'generation', 'iq_count', 'iqs', 'jid', 'lang', 'link', 'number', 'owed', 'phase', 'pin', 'presence', 'queued',
        'resource', 'resumption', 'since', 'unconfirmed',
    )  # fmt: skip

    def __init__(self, c2s: C2S, conn: ClientConnection | Away, who: Jid, resource: str, lang: str | None) -> None:
        super().__init__(c2s, conn.transport, secrets.token_bytes(16))
        self.conn: ClientConnection | Away | None = conn
        self.jid = self.bare = who.bare
        self.domain = who.domain
        self.resource = resource
        self.carbons = False
        self.lang = lang
        self.number = 0
        self.floor = 1
        self.unconfirmed: dict[int, Route] = {}
        self.big: dict[int, int] | None = None
        self.big_bytes = 0
        self.pin: SmNode = NOWHERE
        self.epoch = 0
        self.link: Link | None = None
        self.generation = -1
        self.phase: Phase = STARTING
        self.since = c2s.tick
        self.ended_at = 0
        self.asked_over: Link | None = None
        self.queued = self.full = False
        self.owed = 0
        self.presence = b''
        self.iqs: ClientIqs | None = None
        self.iq_count = 0
        self.resumption: Resumption | None = None

    # ---- from the client

    def take(self, event: Event) -> None:
        """One event of the parser."""
        if type(event) is not Stanza:
            self._take_other(event)
            return
        number = self.number = self.number + 1
        if not number % LOT_STANZAS:
            self.conn.took('stanzas', LOT_STANZAS)  # type: ignore[union-attr]
        # The parser has just made the stanza for us alone: its attributes may still be stamped in place.
        attrs: dict[str, str] = event.attrs  # type: ignore[assignment]
        sender = attrs.get('from')
        if sender is not None and sender != self.jid and not self._is_own(sender):
            self.fail('invalid-from', 'not the JID of this stream')
            return
        to = attrs.get('to')
        if to is not None:
            try:
                attrs['to'] = to = parse(to).full
            except InvalidJid as error:
                self._refuse(event, 'jid-malformed', str(error))
                return
        attrs['from'] = self.jid
        if self.lang is not None and 'xml:lang' not in attrs:
            attrs['xml:lang'] = self.lang
        c2s = self.c2s
        counts = c2s.measures.received
        if event.name == 'message':
            counts.message += 1
        elif event.name == 'iq':
            counts.iq += 1
            if not self._take_iq(event, to):
                return
        else:
            counts.presence += 1
            if to is None:
                self._note_presence(event)
        pin, link = self.pin, self.link
        frame = Route(
            pin.node, self.bare, c2s.node, self.epoch, self.stream + number.to_bytes(8, 'big'), HOPS, CLIENT, event
        )  # fmt: skip
        self.unconfirmed[number] = frame
        size = len(event.inner) + sum(map(len, attrs.values()))
        if size > SMALL:
            self._note_size(number, size)
        if link is not None and self.generation == c2s.links.generation and not pin.busy:
            link.route(frame)
        else:
            c2s.pins.send(self, frame)
        if number - self.floor >= c2s.window_edge or self.big_bytes > c2s.window_bytes:
            self.hold()

    def _is_own(self, sender: str) -> bool:
        """RFC 6120 §8.1.2.1: the full or the bare JID."""
        try:
            return parse(sender).full in (self.jid, self.bare)
        except InvalidJid:
            return False

    def _take_iq(self, stanza: Stanza, to: str | None) -> bool:
        """Whether it goes on to the sm."""
        self.iq_count += 1
        if not self.iq_count % LOT_IQS:
            self.conn.took('iqs', LOT_IQS)  # type: ignore[union-attr]
        attrs = stanza.attrs
        kind = attrs.get('type')
        if kind not in IQ_TYPES or 'id' not in attrs:
            self._refuse(stanza, 'bad-request', 'an IQ needs an id and one of four types')
            return False
        if kind in ('result', 'error') or (to is not None and to != self.bare and to != self.domain):
            return True
        if kind == 'set':
            if stanza.child(ns.BIND, 'bind') is not None:
                self._refuse(stanza, 'not-allowed', 'one resource a stream')
                return False
            if is_session_request(stanza):
                self._settle_here()
                self.answer(Stanza('iq', {'type': 'result', 'id': attrs['id'], 'to': self.jid}))
                return False
        if self.iqs is None:
            self.iqs = ClientIqs()
        self.iqs.add(attrs['id'], Asked(self.number, self.pin, kind == 'get', stanza))
        return True

    def _note_presence(self, stanza: Stanza) -> None:
        self.conn.took('presences', 1)  # type: ignore[union-attr]
        kind = stanza.attrs.get('type')
        if kind is None:
            self.presence = stanza.pack()
        elif kind == 'unavailable':
            self.presence = b''

    def _note_size(self, number: int, size: int) -> None:
        if self.big is None:
            self.big = {}
        self.big[number] = size
        self.big_bytes += size

    def _refuse(self, stanza: Stanza, condition: str, text: str) -> None:
        """Answer a stanza with an error, unless it is one that may not be answered; the sm never sees it."""
        self._settle_here()
        if may_reply(stanza):
            self.answer(error_reply(stanza.with_attrs(from_=self.jid), condition, text))

    def _settle_here(self) -> None:
        """The last stanza needs no sm."""
        if self.floor == self.number:
            self.floor += 1
        elif self.number - self.floor >= self.c2s.window_edge:
            self.hold()

    def _take_other(self, event: Event) -> None:
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
            self._take_other(event)

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
            self.write(self.acks.answer(self.floor - 1))

    def last_ack(self) -> None:
        """Tell the client what is confirmed."""
        if self.acks is not None:
            self.owed = 0
            self.write(self.acks.answer(self.floor - 1))
            if self.resumption is not None:
                self.resumption.all_confirmed()

    # ---- from the sm

    def answered(self, stanza: Stanza) -> None:
        """An IQ for the client: it may be an answer that is waited for."""
        if self.iqs is not None and stanza.attrs.get('type') in ('result', 'error'):
            if self.iqs.answered(stanza.attrs.get('id', '')):
                self.iqs = None

    def confirm(self, number: int) -> bool:
        """A stanza of the client's is settled; False if it was already, or never was."""
        if self.unconfirmed.pop(number, None) is None:
            return False
        if self.big is not None:
            self.big_bytes -= self.big.pop(number, 0)
        if number == self.floor:
            floor, last, unconfirmed = number + 1, self.number, self.unconfirmed
            while floor <= last and floor not in unconfirmed:
                floor += 1
            self.floor = floor
            if self.owed and floor > self.owed:
                self.last_ack()
            if self.full:
                self.release()
        if not self.unconfirmed and (self.conn is None or self.pin.leaving):
            self._rest()
        return True

    def _rest(self) -> None:
        """Nothing is unconfirmed: time to go, or to move."""
        if self.conn is None:
            self.c2s.drop(self)
        else:
            self.c2s.pins.move(self)

    def hold(self) -> None:
        """Take nothing more from the client until `release`."""
        if self.conn is not None:
            self.full = True
            self.conn.hold()

    def release(self) -> None:
        """Take more, if there is room now and a way to send it."""
        c2s, conn = self.c2s, self.conn
        if (
            conn is not None
            and self.link is not None
            and self.number - self.floor < c2s.window_edge
            and self.big_bytes <= c2s.window_bytes
            and not c2s.stopping
        ):
            self.full = False
            conn.proceed()

    # ---- the end

    def fail(self, condition: str, text: str = '', inner: str = '') -> None:
        """End the stream with a stream error."""
        self._end_with(stream_error(condition, text, inner), condition, text)

    def _end_with(self, error: bytes, condition: str, text: str) -> None:
        conn = self.conn
        if conn is None:
            return
        self.c2s.log.info('stream of {jid} ended: {condition}: {text}', jid=self.jid, condition=condition, text=text)
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
        number = self.number = self.number + 1
        frame = Route(
            self.pin.node or self.domain, self.bare, c2s.node, self.epoch,
            self.stream + number.to_bytes(8, 'big'), HOPS, CLIENT, vocabulary.end(),
        )  # fmt: skip
        self.unconfirmed[number] = frame
        c2s.ended(self)
        c2s.pins.send(self, frame)

    def give_back(self, frame: Route) -> None:
        """What the client did not ack goes back to an sm."""
        give_back(self, frame)

    def cool(self) -> None:
        """The client has become quiet: give back what only a busy one needs."""
        if not self.unconfirmed:
            self.unconfirmed = {}
            self.big = None
