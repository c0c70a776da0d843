"""How a connection gets its name (XEP-0114 §3): a stream header each way, and a handshake.

    Accepting   the component connects, and proves that it knows the secret
    Connecting  the gateway connects to the component, and proves it (jabber:component:connect)

Then a seat is taken (seat.py), and when that is bound the handshake is answered or has been: the stream begins.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall

from jabberd_tx.components.gateway.external import External, digest, proves
from jabberd_tx.components.gateway.stream import ComponentStream
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import stream_error
from jabberd_tx.xmpp.events import Event, Nonza, StreamClose, StreamOpen, Violation
from jabberd_tx.xmpp.jid import InvalidJid, parse
from jabberd_tx.xmpp.writer import stream_header

if TYPE_CHECKING:
    from jabberd_tx.components.gateway.connection import ComponentConnection
    from jabberd_tx.components.gateway.seat import Seat

HANDSHAKE = b'<handshake/>'
# Of a name in the log.
MOST_SHOWN = 80


class Naming:
    """What both have in common."""

    content = ''

    def __init__(self, conn: ComponentConnection) -> None:
        self.conn, self.gateway = conn, conn.gateway
        self.name = ''
        self._has_header = False
        self._seat: Seat | None = None
        self._lang: str | None = None
        self._deadline: IDelayedCall | None = None

    def begin(self) -> None:
        timeout = self.gateway.options.handshake_timeout
        self._deadline = self.gateway.reactor.callLater(timeout, self._late)

    def _late(self) -> None:
        self._deadline = None
        if self._seat is not None:
            self.fail('remote-connection-failed', 'no router in sight')
        else:
            self.fail('connection-timeout', 'no handshake in time')

    @property
    def who(self) -> str:
        """For the log."""
        return f'component {self.name[:MOST_SHOWN]} from {self.conn.peer}'

    def take(self, event: Event) -> None:
        if isinstance(event, Violation):
            self.fail(event.condition, event.text)
        elif isinstance(event, StreamClose):
            self.conn.close()
        elif isinstance(event, StreamOpen):
            self._lang = event.attrs.get('xml:lang')
            self.header(event)
        elif isinstance(event, Nonza) and event.ns == self.content and event.name == 'handshake' and not self._seat:
            self.handshake(event)
        elif isinstance(event, Nonza) and event.ns == ns.STREAM and event.name == 'error':
            children = ', '.join([child.name for child in event.children])
            self.gateway.refusals.note(self.who, 'other', f'it says: {children[:MOST_SHOWN]}')
            self.conn.close()
        else:
            self.fail('not-authorized', 'first comes the handshake')

    if TYPE_CHECKING:

        def header(self, event: StreamOpen) -> None:
            """The component's stream header."""

        def handshake(self, event: Nonza) -> None:
            """Its handshake, or its answer to ours."""

        def open(self) -> None:
            """Send our stream header."""

    def fail(self, condition: str, text: str) -> None:
        """End the stream with a stream error, after a header if none was sent."""
        self.gateway.refusals.note(self.who, condition, text)
        if not self._has_header:
            self.open()
        self.conn.close(stream_error(condition, text))

    def lost(self) -> None:
        """The connection is gone, or closing."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        seat, self._seat = self._seat, None
        if seat is not None:
            seat.leave(self)

    def congest(self) -> None:
        """A component that has no name yet is sent next to nothing."""

    def relieve(self) -> None:
        """See congest."""

    def _sit(self, seat: Seat) -> None:
        """The name is proved: wait until a router knows of it."""
        self._seat = seat
        self.conn.hold()
        seat.take(self)

    def seated(self, seat: Seat) -> None:
        """Of the seat: there is a link.  The stream begins."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._seat = None
        conn = self.conn
        stream = ComponentStream(conn, seat, self._lang)
        conn.become(stream, self.gateway.limits)
        self.answer()
        seat.serve(stream)
        conn.proceed()

    def answer(self) -> None:
        """Say that it has its name."""


class Accepting(Naming):
    """The component has connected."""

    content = ns.COMPONENT

    def __init__(self, conn: ComponentConnection) -> None:
        super().__init__(conn)
        self._id = secrets.token_hex(16)
        self._externals: list[External] = []

    def open(self) -> None:
        self._has_header = True
        attrs = {'from': self.name} if self.name else {}
        self.conn.write(stream_header(ns.COMPONENT, {**attrs, 'id': self._id}))

    def header(self, event: StreamOpen) -> None:
        to = event.attrs.get('to', '')
        self.name = to
        if event.ns != ns.COMPONENT:
            self.fail('invalid-namespace', f'the content namespace is {ns.COMPONENT}')
            return
        try:
            self.name = parse(to).full
        except InvalidJid:
            condition = 'host-unknown' if to else 'improper-addressing'
            self.fail(condition, 'a stream header has the name of the component as its to')
            return
        self._externals = self.gateway.accepted(self.name)
        if not self._externals:
            self.fail('host-unknown', 'no such component here')
        elif not self.gateway.has_room(self._externals):
            self.fail('conflict', 'somebody else has this name')
        else:
            self.open()

    def handshake(self, event: Nonza) -> None:
        proof = event.text
        # All are looked at, so that the time does not tell which.
        fitting = [external for external in self._externals if proves(proof, self._id, external.secret)]
        if not fitting:
            self.fail('not-authorized', 'the handshake is wrong')
            return
        seat = self.gateway.free_seat(fitting)
        if seat is None:
            self.fail('conflict', 'somebody else has this name')
            return
        self._sit(seat)

    def answer(self) -> None:
        self.conn.write(HANDSHAKE)


class Connecting(Naming):
    """The gateway has connected to a component, for one slot of a name."""

    content = ns.COMPONENT_CONNECT

    def __init__(self, conn: ComponentConnection, external: External, slot: int) -> None:
        super().__init__(conn)
        self._external, self._slot = external, slot
        self.name = external.name

    def begin(self) -> None:
        super().begin()
        self.open()

    def open(self) -> None:
        self._has_header = True
        self.conn.write(stream_header(ns.COMPONENT_CONNECT, {'from': self.name}))

    def header(self, event: StreamOpen) -> None:
        stream = event.attrs.get('id', '')
        if event.ns != ns.COMPONENT_CONNECT:
            self.fail('invalid-namespace', f'the content namespace is {ns.COMPONENT_CONNECT}')
        elif not stream:
            self.fail('bad-format', 'a stream header without an id')
        else:
            proof = digest(stream, self._external.secret)
            self.conn.write(f'<handshake>{proof}</handshake>'.encode())

    def handshake(self, event: Nonza) -> None:
        """Its answer to ours."""
        seat = self.gateway.seat(self._external, self._slot)
        if seat is None:
            self.fail('conflict', 'somebody else has this name')
            return
        self._sit(seat)
