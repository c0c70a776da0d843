"""A component's stream to a server that takes it in (XEP-0114 §3, jabber:component:accept).

States: HEADER until the server's stream header is there, HANDSHAKE until it has taken ours, OPEN, OVER.
"""

from __future__ import annotations

from enum import IntEnum
from hashlib import sha1
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import stream_error
from jabberd_tx.xmpp.parser import Event, Limits, Nonza, StreamClose, StreamOpen, StreamParser, Violation
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import STREAM_END, stream_header

if TYPE_CHECKING:
    from jabberd_tx.components.plugins.remote_links import RemoteLinks

# From the connection to the server's handshake, and from our end of the stream to the connection's.
HANDSHAKE_S, CLOSE_S = 30.0, 5.0
# An idle connection gets a space so often, so that one that is dead is noticed.
KEEPALIVE_S = 60.0
# How often it is looked whether a component that has too much to do can take more.
LOOK_S = 0.05
# The largest stanza: what other servers let components send and get.
LIMITS = Limits(stanza_bytes=1_048_576)


class State(IntEnum):
    """See the module's text."""

    HEADER, HANDSHAKE, OPEN, OVER = range(4)


HEADER, HANDSHAKE, OPEN, OVER = State


def handshake_of(id: str, secret: str) -> str:
    """What proves that a component knows the secret, for the stream's id."""
    return sha1(f'{id}{secret}'.encode()).hexdigest()


@implementer(IPushProducer)
class RemoteStream(Protocol):
    """See the module's text.  `full`: more was written than the server has taken; `why`: what ended it, in a line."""

    def __init__(self, links: RemoteLinks) -> None:
        self._links, self._reactor = links, links.reactor
        self._parser = StreamParser(LIMITS)
        self._state: State = HEADER
        self._timer: IDelayedCall | None = None
        self.full, self.why = False, ''

    # ---- the connection

    def connectionMade(self) -> None:
        """Say who we are."""
        transport: Any = self.transport
        transport.registerProducer(self, True)
        self._timer = self._reactor.callLater(HANDSHAKE_S, self._too_slow)
        transport.write(stream_header(ns.COMPONENT, {'to': self._links.domain}))

    def dataReceived(self, data: bytes) -> None:
        """Take what is whole."""
        for event in self._parser.feed(data):
            if self._state is not OVER:
                self._take(event)
        if self._state is OPEN and self._links.is_congested():
            self._pause()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the links."""
        was_open = self._state is OPEN
        self._state = OVER
        self._parser.close()
        self._stop_timer()
        self._links.on_lost(self, was_open, self.why or reason.getErrorMessage())

    def write(self, data: bytes) -> None:
        """Send bytes, a stanza or more."""
        if self._state is OPEN:
            self.transport.write(data)  # type: ignore[union-attr]

    def end(self, last: bytes = b'') -> None:
        """Close the stream, and the connection when all is written, or after a while."""
        if self._state is OVER:
            return
        self._state = OVER
        self._stop_timer()
        self._timer = self._reactor.callLater(CLOSE_S, self.transport.abortConnection)  # type: ignore[union-attr]
        transport: Any = self.transport
        transport.write(last + STREAM_END)
        transport.unregisterProducer()
        transport.loseConnection()

    # ---- what comes

    def _take(self, event: Event) -> None:
        if isinstance(event, Stanza) and self._state is OPEN:
            self._links.on_stanza(event)
        elif isinstance(event, StreamOpen) and self._state is HEADER:
            self._state = HANDSHAKE
            proof = handshake_of(event.attrs.get('id', ''), self._links.secret)
            self.transport.write(f'<handshake>{proof}</handshake>'.encode())  # type: ignore[union-attr]
        elif isinstance(event, Nonza) and self._state is HANDSHAKE and event.name == 'handshake':
            self._state = OPEN
            self._stop_timer()
            self._keep_alive()
            self._links.on_open(self)
        elif isinstance(event, Nonza) and (event.ns, event.name) == (ns.STREAM, 'error'):
            self._fail(next((child.name for child in event.children), 'undefined-condition'))
        elif isinstance(event, StreamClose):
            self._fail('the server has closed the stream')
        elif isinstance(event, Violation):
            self._fail(event.text, stream_error(event.condition))
        else:
            self._fail('the server speaks no XEP-0114', stream_error('bad-format'))

    def _fail(self, why: str, last: bytes = b'') -> None:
        self.why = self.why or why
        was_open = self._state is OPEN
        self.end(last)
        if was_open:
            self._links.on_closing(self)

    def _too_slow(self) -> None:
        self._timer = None
        self._fail(f'no handshake within {HANDSHAKE_S:g} s')

    # ---- flow

    def pauseProducing(self) -> None:
        """IPushProducer, called by the transport: it has more than it can send."""
        self.full = True

    def resumeProducing(self) -> None:
        """It has sent it."""
        self.full = False
        self._links.on_written()

    def stopProducing(self) -> None:
        """The connection is lost."""

    def _pause(self) -> None:
        transport: Any = self.transport
        transport.pauseProducing()
        self._reactor.callLater(LOOK_S, self._look)

    def _look(self) -> None:
        transport: Any = self.transport
        if self._state is OPEN and self._links.is_congested():
            self._reactor.callLater(LOOK_S, self._look)
        else:
            transport.resumeProducing()

    def _keep_alive(self) -> None:
        self.write(b' ')
        self._timer = self._reactor.callLater(KEEPALIVE_S, self._keep_alive)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
