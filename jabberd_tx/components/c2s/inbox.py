"""What comes in from one client, from when it is parsed until it is confirmed.

Theory of operation.  The client's stanzas are numbered from 1; each goes to the sm node that the session is pinned to
and is kept in `unconfirmed` until that says it is settled.  `floor` is the lowest number that is not confirmed (the
next one, when all are), so that floor - 1 is what XEP-0198's h counts to.  `link` is the way to the pin, and None
whenever nothing may be sent: without a pin, without a link, while the pin is busy.  Then stanzas wait in `unconfirmed`,
and pins.py sees to it that they are sent, in order.  Past the window nothing more is taken from the client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jabberd_tx.components.c2s.client_iq import IQ_TYPES, Asked, ClientIqs, is_session_request
from jabberd_tx.components.c2s.outbox import Outbox
from jabberd_tx.components.c2s.rates import LOT_IQS, LOT_STANZAS
from jabberd_tx.components.c2s.returned import HOPS
from jabberd_tx.components.c2s.sm_node import NOWHERE, SmNode
from jabberd_tx.link.frames import CLIENT, Route
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import error_reply, may_reply
from jabberd_tx.xmpp.jid import InvalidJid, Jid, parse
from jabberd_tx.xmpp.parser import Event
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.away import Away
    from jabberd_tx.components.c2s.connection import ClientConnection
    from jabberd_tx.components.c2s.service import C2S
    from jabberd_tx.link.interfaces import Link

# Stanzas up to this size are bounded by their number alone.
SMALL = 512


class Inbox(Outbox):
    """The incoming half of a session.

    conn         the client's connection, or what stands in for it while the client is away; None when the stream is
                 over
    jid, bare, domain   the full JID (the bare one until the sm has given it), and its parts, prepared
    lang         xml:lang of the stream, or None
    number       of the client's last stanza
    unconfirmed  number -> frame, in order
    big, big_bytes  sizes of the larger of those
    pin, epoch   where the session lives, and how often it has moved
    link, generation  the way there, and the links' generation when it was chosen
    full         the connection is held until there is room
    owed         a number that the client asked an ack for and was not told of, or that a resumption waits for
    presence     the last broadcast presence, packed; b'' while unavailable
    flags        of the client's frames; up to the number repeats_to they may be repeats
    iqs          IQs that wait for an answer; iq_count: how many there were in all
    """

    __slots__ = (
        'bare', 'big', 'big_bytes', 'conn', 'domain', 'epoch', 'flags', 'floor', 'full', 'generation', 'iq_count',
        'iqs', 'jid', 'lang', 'link', 'number', 'owed', 'pin', 'presence', 'repeats_to', 'unconfirmed',
    )  # fmt: skip

    def __init__(self, c2s: C2S, conn: ClientConnection | Away, who: Jid, lang: str | None, stream: bytes) -> None:
        super().__init__(c2s, conn.transport, stream)
        self.conn: ClientConnection | Away | None = conn
        self.jid = self.bare = who.bare
        self.domain = who.domain
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
        self.full = False
        self.owed = 0
        self.presence = b''
        self.flags, self.repeats_to = CLIENT, 0
        self.iqs: ClientIqs | None = None
        self.iq_count = 0

    if TYPE_CHECKING:

        def take_other(self, event: Event) -> None:
            """What is no stanza: the session's."""

        def last_ack(self) -> None:
            """Tell the client what is confirmed: the session's."""

        def rest(self) -> None:
            """Nothing is unconfirmed: the session's."""

    # ---- from the client

    def take(self, event: Event) -> None:
        """One event of the parser."""
        if type(event) is not Stanza:
            self.take_other(event)
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
            pin.node, self.bare, c2s.node, self.epoch, self.stream + number.to_bytes(8, 'big'), HOPS, self.flags, event
        )  # fmt: skip
        self.unconfirmed[number] = frame
        size = len(event.inner) + sum(map(len, attrs.values()))
        if size > SMALL:
            self._note_size(number, size)
        if link is not None and self.generation == c2s.links.generation and not pin.busy:
            link.route(frame)
        else:
            c2s.pins.send(self, frame)  # type: ignore[arg-type]
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
        if self.copies is not None:
            self.copies.presence(self.stream, self.presence)

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
            self.rest()
        return True

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
