"""The stream of a component that has its name: what it sends is checked and handed on, what is for it is written.

What comes for it is confirmed when it is written.  While the component reads more slowly than others write, it waits
here; when too much waits, the seat gets no more credit (Seat.congested), and the rest waits at its senders.  The other
way round nothing more is read from a component while too much of what it has sent is not confirmed.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from twisted.logger import Logger

from jabberd_tx.link.frames import NO_LINK, Route
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import error_reply, may_reply, stream_error
from jabberd_tx.xmpp.events import Event, Nonza, StreamClose, Violation
from jabberd_tx.xmpp.jid import InvalidJid, parse
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import to_xml

if TYPE_CHECKING:
    from jabberd_tx.components.gateway.connection import ComponentConnection
    from jabberd_tx.components.gateway.seat import Seat
    from jabberd_tx.link.interfaces import Link


class _Waiting:
    """A stanza that is not written yet, and the frames that it came in: of a repeat there are several."""

    __slots__ = ('data', 'frames')

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.frames: list[tuple[Route, Link]] = []


class ComponentStream:
    """A Target of its connection (connection.py).

    congested_at  since when it reads too slowly; None: it does not
    leaving       nothing more is taken from it: the gateway is about to stop
    """

    __slots__ = (
        '_held', '_lang', '_passed_on', '_size', '_waiting', 'congested_at', 'conn', 'leaving', 'name', 'seat',
    )  # fmt: skip
    log = Logger()

    def __init__(self, conn: ComponentConnection, seat: Seat, lang: str | None) -> None:
        """lang: xml:lang of its stream header."""
        self.conn, self.seat, self.name = conn, seat, seat.name
        self.congested_at: float | None = None
        self.leaving = False
        self._lang = lang
        self._held = False  # the connection was told to hold
        self._passed_on = seat.passed_on
        self._waiting: OrderedDict[object, _Waiting] = OrderedDict()  # by uid; what is our own by itself
        self._size = 0

    def begin(self) -> None:
        """The connection is there already."""

    @property
    def who(self) -> str:
        """For the log."""
        return f'component {self.seat.label} from {self.conn.peer}'

    # ---- what the component sends

    def take(self, event: Event) -> None:
        """One event of the parser."""
        if type(event) is Stanza:
            self._take_stanza(event)
        elif isinstance(event, StreamClose):
            self.conn.close()
        elif isinstance(event, Violation):
            self.fail(event.condition, event.text)
        elif isinstance(event, Nonza) and event.ns == ns.STREAM and event.name == 'error':
            self.log.warn('{who} ends its stream with {what}', who=self.who, what=[c.name for c in event.children][:2])
            self.conn.close()
        else:
            self.fail('unsupported-stanza-type', 'no stanza')

    def _take_stanza(self, stanza: Stanza) -> None:
        seat, attrs = self.seat, stanza.attrs
        seat.gateway.measures.received(stanza.name)
        if 'from' not in attrs:
            stanza = stanza.with_attrs(from_=self.name)
            attrs = stanza.attrs
        try:
            domain = parse(attrs['from']).domain
            to = parse(attrs.get('to', ''))
        except InvalidJid as error:
            self._refuse(stanza, 'jid-malformed', str(error))
            return
        if domain != self.name and not seat.external.may_send_from(domain):
            self.fail('invalid-from', f'a stanza from another domain than {self.name}')
            return
        if self._lang is not None and 'xml:lang' not in attrs:
            stanza = Stanza(stanza.name, {**attrs, 'xml:lang': self._lang}, stanza.inner, stanza.children)
        if seat.send(to, stanza):
            self._hold_if_full()
        else:
            self._refuse(stanza, 'remote-server-not-found')

    def _refuse(self, stanza: Stanza, condition: str, text: str = '') -> None:
        if may_reply(stanza):
            self.answer(error_reply(stanza, condition, text))
            self._hold_if_full()

    def _hold_if_full(self) -> None:
        if self.seat.is_full or self._size > self.seat.gateway.options.outgoing_bytes:
            self._held = True
            self.conn.hold()

    def look(self) -> None:
        """There may be room again."""
        if self._held and not self.leaving and self.seat.has_room and not self._waiting:
            self._held = False
            self.conn.proceed()

    def leave(self) -> None:
        """Take nothing more from it."""
        self.leaving = self._held = True
        self.conn.hold()

    # ---- what is for it

    def deliver(self, frame: Route, stanza: Stanza, link: Link) -> None:
        """Write it, or let it wait."""
        if self.congested_at is not None:
            self._wait(frame.uid, to_xml(stanza)).frames.append((frame, link))
            return
        self.conn.write(to_xml(stanza))
        self._passed_on.mark(frame.uid)
        self.seat.links.confirm(frame.source, frame.uid, link)

    def knows(self, frame: Route, link: Link) -> bool:
        """Of a repeat: whether it is here, or was passed on.  It is confirmed as what it repeats is."""
        waiting = self._waiting.get(frame.uid)
        if waiting is not None:
            waiting.frames.append((frame, link))
            return True
        if self._passed_on.seen(frame.uid):
            self.seat.links.confirm(frame.source, frame.uid, link)
            return True
        return False

    def answer(self, stanza: Stanza) -> None:
        """A stanza of our own for it."""
        if self.congested_at is not None:
            self._wait(object(), to_xml(stanza))
        else:
            self.conn.write(to_xml(stanza))

    def _wait(self, key: object, data: bytes) -> _Waiting:
        waiting = self._waiting[key] = _Waiting(data)
        self._size += len(data)
        return waiting

    @property
    def waiting_bytes(self) -> int:
        """What the component has not taken yet."""
        return self._size

    @property
    def waiting(self) -> int:
        """The same in stanzas."""
        return len(self._waiting)

    def congest(self) -> None:
        """The transport holds more than it likes."""
        self.congested_at = self.seat.gateway.reactor.seconds()

    def relieve(self) -> None:
        """The transport has sent all that it held."""
        self.congested_at = None
        confirm, mark, waiting = self.seat.links.confirm, self._passed_on.mark, self._waiting
        # Writing may congest it again.
        while waiting and self.congested_at is None:
            _, one = waiting.popitem(last=False)
            self._size -= len(one.data)
            self.conn.write(one.data)
            for frame, link in one.frames:
                mark(frame.uid)
                confirm(frame.source, frame.uid, link)
        self.look()

    # ---- the end

    def fail(self, condition: str, text: str = '') -> None:
        """End the stream with a stream error."""
        self.seat.gateway.refusals.note(self.who, condition, text)
        self.conn.close(stream_error(condition, text))

    def lost(self) -> None:
        """The connection is gone, or closing: what waits goes back, for another instance."""
        self.seat.vacate(self)
        waiting, self._waiting = self._waiting, OrderedDict()
        self._size = 0
        for one in waiting.values():
            for frame, link in one.frames:
                self.seat.links.bounce(frame, NO_LINK, via=link)
