"""A component's TCP connection: Twisted's transport on one side, a negotiation and then a stream on the other.

What comes is parsed here and handed on as events.  Whoever gets them says `hold` when it cannot take more: the events
that are left wait here, and nothing more is read, until `proceed`.  A component that goes too fast is held in the same
way (rates.py), by itself or at the same time.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IProtocol, IPushProducer, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from jabberd_tx.components.gateway.rates import Rates
from jabberd_tx.xmpp.parser import Event, Limits, StreamParser
from jabberd_tx.xmpp.writer import STREAM_END

if TYPE_CHECKING:
    from jabberd_tx.components.gateway.service import Gateway

# Before a component has a name, no element of its is longer.
EARLY_BYTES = 4096
# What is read from a component that is being closed; beyond, the connection is aborted.
MOST_DISCARDED = 16 << 20


class Target(Protocol):
    """Who gets what comes."""

    def begin(self) -> None:
        """The connection is there."""

    def take(self, event: Event) -> None: ...

    def lost(self) -> None:
        """The connection is gone, or closing."""

    def congest(self) -> None:
        """The component reads more slowly than is written."""

    def relieve(self) -> None: ...


def _give_up_after(transport: Any, seconds: float) -> None:
    """Have the kernel reset the connection when what was sent is not acknowledged for so long, where it knows how."""
    connection = transport.getHandle()
    if isinstance(connection, socket.socket) and hasattr(socket, 'TCP_USER_TIMEOUT'):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


@implementer(IProtocol, IPushProducer)
class ComponentConnection:
    """See the module's text.

    target  who gets what comes; None when the stream is over
    heard     when something came last; said: when something was written, as sweep.py learns by `wrote`
    named_at  when it got its name; on_lost is told how long it had it, if it had (for whoever connects)
    """

    __slots__ = (
        '_asked', '_discarded', '_end', '_held', '_holding', '_rates', '_slowed', '_stopped', '_tls', 'closing',
        'gateway', 'heard', 'named_at', 'on_lost', 'parser', 'said', 'target', 'transport', 'wrote',
    )  # fmt: skip

    def __init__(self, gateway: Gateway, tls: Any = None) -> None:
        """tls: what startTLS takes, or None for a plain connection."""
        self.gateway, self._tls = gateway, tls
        self.transport: Any = None
        self.target: Target | None = None
        self.parser = StreamParser(Limits(stanza_bytes=EARLY_BYTES))
        self.heard = self.said = gateway.reactor.seconds()
        self.closing = self.wrote = False
        self.named_at: float | None = None
        self.on_lost: Callable[[float], None] | None = None
        self._held: deque[Event] = deque()  # events not handed on yet
        # Held because the target asked for it, because the component is too fast, or either.
        self._asked = self._slowed = self._holding = False
        self._stopped = False
        self._rates = Rates(self, gateway.options)
        self._discarded = 0
        self._end: IDelayedCall | None = None

    # ---- Twisted's side

    def makeConnection(self, transport: Any) -> None:
        """It is there."""
        self.transport = transport
        gateway = self.gateway
        if self.target is None or not gateway.enter(self):
            transport.abortConnection()
            return
        if ITCPTransport.providedBy(transport):
            # What a turn writes leaves at its end anyway; and a component that vanished is found out in the end.
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)
            _give_up_after(transport, gateway.options.write_timeout)
        if self._tls is not None:
            transport.startTLS(self._tls)
        transport.registerProducer(self, True)
        self.target.begin()

    def connectionMade(self) -> None:
        """Part of IProtocol; makeConnection has done it."""

    def logPrefix(self) -> str:
        """For Twisted's own log lines."""
        return 'gateway'

    def dataReceived(self, data: bytes) -> None:
        """Parse, and hand on what is complete."""
        if self.target is None:
            self._discarded += len(data)
            if self._discarded > MOST_DISCARDED:
                self.transport.abortConnection()
            return
        self.heard = self.gateway.reactor.seconds()
        events = self.parser.feed(data)
        self._rates.took(len(events), len(data))
        if self._holding or self._held:
            self._held.extend(events)
            self._go_on()
            return
        for event in events:
            if self._holding:
                self._held.append(event)
            elif self.target is not None:
                self.target.take(event)
        if self._holding:
            self._stop_reading()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone, whoever closed it."""
        self.closing, self._stopped = True, False
        self._let_go()
        if self._end is not None:
            self._end.cancel()
            self._end = None
        self.parser.close()
        gateway = self.gateway
        gateway.forget(self)
        if self.on_lost is not None:
            self.on_lost(gateway.reactor.seconds() - self.named_at if self.named_at is not None else 0.0)

    def _let_go(self) -> None:
        target, self.target = self.target, None
        self._held.clear()
        self._rates.stop()
        if target is not None:
            target.lost()

    # ---- the transport asks for less, or more

    def pauseProducing(self) -> None:
        """The component reads more slowly than is written."""
        if self.target is not None:
            self.target.congest()

    def resumeProducing(self) -> None:
        """All that was written has been sent."""
        if self.target is not None:
            self.target.relieve()

    def stopProducing(self) -> None:
        """The transport is gone; connectionLost follows."""

    # ---- for the target

    @property
    def peer(self) -> str:
        """The component's address, for the log."""
        return str(getattr(self.transport.getPeer(), 'host', 'unknown'))

    @property
    def is_held(self) -> bool:
        """Whether it is not read from."""
        return self._holding

    def write(self, data: bytes) -> None:
        """Send, at the end of the turn."""
        self.wrote = True
        self.transport.write(data)

    def become(self, target: Target, limits: Limits) -> None:
        """Whoever was the target has done its work."""
        self.target = target
        self.parser.limits = limits
        self.named_at = self.gateway.reactor.seconds()

    def hold(self) -> None:
        """Hand nothing on until `proceed`."""
        self._asked = self._holding = True

    def proceed(self) -> None:
        """Hand on what was held; then read on."""
        self._asked = False
        self._go_on()

    def slow_down(self) -> None:
        """Hand nothing on until `speed_up`."""
        self.gateway.slowed(self)
        self._slowed = self._holding = True

    def speed_up(self) -> None:
        """As `proceed`; it goes on when both have been said."""
        self._slowed = False
        self._go_on()

    def _go_on(self) -> None:
        self._holding = self._asked or self._slowed
        held = self._held
        while held and not self._holding and self.target is not None:
            self.target.take(held.popleft())
        if self.target is None:
            held.clear()
        elif self._holding:
            self._stop_reading()
        elif self._stopped:
            self._stopped = False
            self.transport.resumeProducing()

    def _stop_reading(self) -> None:
        if not self._stopped:
            self._stopped = True
            self.transport.pauseProducing()

    # ---- the end

    def close(self, last: bytes = b'') -> None:
        """End the stream: `last` (a stream error), the end tag, and the connection when the component closes it too.

        Until then, and no longer than close_timeout, what comes is thrown away: closing at once would reset the
        connection and could destroy what is on its way to the component.
        """
        if self.closing:
            return
        self.closing = True
        self._let_go()
        transport, gateway = self.transport, self.gateway
        self._end = gateway.reactor.callLater(gateway.options.close_timeout, self._abort)
        transport.unregisterProducer()
        transport.write(last + STREAM_END)
        if self._stopped:
            self._stopped = False
            transport.resumeProducing()
        if self._tls is None and ITCPTransport.providedBy(transport):
            transport.loseWriteConnection()
        else:
            # Under TLS this sends close_notify and waits for the component's.
            transport.loseConnection()

    def abort(self) -> None:
        """Be rid of it."""
        self.closing = True
        self.transport.abortConnection()

    def _abort(self) -> None:
        self._end = None
        self.transport.abortConnection()
