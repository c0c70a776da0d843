"""A client's TCP connection: Twisted's transport on one side, a login and then a session on the other.

What comes is parsed here and handed on as events.  A target that cannot take more (it waits for an answer, or its
window is full) says `hold`: the events that are left wait here, and once more data has come nothing more is read,
until `proceed`.  A client that goes too fast is held in the same way (rates.py), by itself or at the same time.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IProtocol, IPushProducer, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from jabberd_tx.components.c2s.admission import REFUSALS
from jabberd_tx.components.c2s.header import response_header
from jabberd_tx.components.c2s.rates import LOT_BYTES, Rates
from jabberd_tx.components.c2s.stream import Login
from jabberd_tx.xmpp.errors import stream_error
from jabberd_tx.xmpp.parser import Event, StreamParser
from jabberd_tx.xmpp.writer import STREAM_END

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.service import C2S
    from jabberd_tx.components.c2s.session import Session

# A connection that has been read from so often without a second's rest keeps its parser between two reads.
HOT = 4
# In place of a tick: the connection is gone already.
GONE = -1
# Of those that are turned away, how many at once are told why.
MOST_TOLD = 50
# What is read from a client that is being closed; beyond, the connection is aborted.
MOST_DISCARDED = 16 << 20


@implementer(IProtocol, IPushProducer)
class ClientConnection:
    """See the module's text.  As a producer it passes the transport's wishes on to the session.

    secure   the stream is under TLS
    last     when something came (the service's tick)
    login    until a resource is bound; then `session`; neither when the stream is over
    address  what the client's address counts as ('' for nothing); None when the connection is not counted
    closing  tick at which the connection is aborted if the client has not closed it; 0: not closing; GONE
    """

    __slots__ = (
        '_asked', '_discarded', '_farewell', '_heat', '_held', '_holding', '_lot', '_rates', '_slowed', '_stopped',
        'address', 'c2s', 'closing', 'last', 'login', 'parser', 'secure', 'session', 'transport',
    )  # fmt: skip

    def __init__(self, c2s: C2S, direct_tls: bool = False) -> None:
        self.c2s = c2s
        self.secure = direct_tls
        self.transport: Any = None
        self.parser = StreamParser(c2s.early_limits)
        self.login: Login | None = None
        self.session: Session | None = None
        self.last = c2s.tick
        self.address: str | None = None
        self.closing = 0
        self._held: deque[Event] | None = None  # events not handed on yet
        # Held because the target asked for it, because the client is too fast, or either.
        self._asked = self._slowed = self._holding = False
        self._stopped = self._farewell = False
        self._rates: Rates | None = None
        self._lot = LOT_BYTES  # what it may send until that is told
        self._heat = self._discarded = 0

    # ---- Twisted's side

    def makeConnection(self, transport: Any) -> None:
        """The client has connected."""
        self.transport = transport
        c2s = self.c2s
        if c2s.stopping:
            transport.abortConnection()
            return
        address, limit = c2s.admission.enter(self.peer, len(c2s.logins))
        if limit:
            self._turn_away(limit)
            return
        self.address = address
        if ITCPTransport.providedBy(transport):
            # What a turn writes leaves at its end anyway; and a client that vanished is found out in the end.
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)
        self.login = Login(c2s, self)
        c2s.logins.add(self.login)
        if self.secure:
            transport.startTLS(c2s.tls_options(direct=True))

    def _turn_away(self, limit: str) -> None:
        if self.secure or len(self.c2s.closing) >= MOST_TOLD:
            self.transport.abortConnection()
        else:
            self.close(response_header(self.c2s.domains[0]) + stream_error(*REFUSALS[limit]))

    def connectionMade(self) -> None:
        """Part of IProtocol; makeConnection has done it."""

    def logPrefix(self) -> str:
        """For Twisted's own log lines."""
        return 'c2s'

    def dataReceived(self, data: bytes) -> None:
        """Parse, and hand on what is complete."""
        session = self.session
        if session is None:
            self._received_early(data)
            return
        self.last = self.c2s.tick
        self._lot -= len(data)
        if self._lot < 0:
            used, self._lot = LOT_BYTES - self._lot, LOT_BYTES
            self.took('bytes', used)
        parser = self.parser
        events = parser.feed(data)
        if self._holding:
            self._keep(events)
        else:
            take = session.take
            for event in events:
                if self._holding:
                    self._held.append(event)
                else:
                    take(event)
        if self._heat >= HOT:
            self._heat = HOT + 1
        else:
            self._heat += 1
            if self._heat < HOT:
                parser.release()
            else:
                self.c2s.hot.append(self)

    def _received_early(self, data: bytes) -> None:
        """Before a resource is bound, or when the stream is over."""
        login = self.login
        if login is None:
            self._discarded += len(data)
            if self._discarded > MOST_DISCARDED:
                self.transport.abortConnection()
            return
        if not login.may_receive(len(data)):
            return
        events = self.parser.feed(data)
        if self._holding:
            self._keep(events)
        else:
            self._held = deque(events)
            self._drain()

    def _keep(self, events: list[Event]) -> None:
        session = self.session
        if self._farewell and session is not None:
            for event in events:
                session.take_last(event)
            return
        self._held.extend(events)  # type: ignore[union-attr]
        self._stop_reading()

    def _stop_reading(self) -> None:
        if not self._stopped:
            self._stopped = True
            self.transport.pauseProducing()

    def _drain(self) -> None:
        while self._held and not self._holding:
            (self.session or self.login).take(self._held.popleft())  # type: ignore[union-attr]
        if not self._holding:
            self._held = None
            if self._stopped:
                self._stopped = False
                self.transport.resumeProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone, whoever closed it."""
        login, session = self.login, self.session
        self.login = self.session = self._held = None
        self._stopped = False
        self._forget_rates()
        self.closing = GONE
        self.parser.close()
        self.c2s.forget(self)
        if login is not None:
            login.lost()
        if session is not None:
            session.lost()

    # ---- the transport asks for less, or more

    def pauseProducing(self) -> None:
        """The client reads more slowly than the session writes."""
        if self.session is not None:
            self.session.congest()

    def resumeProducing(self) -> None:
        """All that was written has been sent."""
        if self.session is not None:
            self.session.relieve()

    def stopProducing(self) -> None:
        """The transport is gone; connectionLost follows."""

    # ---- for the login and the session

    @property
    def peer(self) -> str:
        """The client's address, for the log."""
        return str(getattr(self.transport.getPeer(), 'host', 'unknown'))

    @property
    def queued(self) -> int:
        """Events that wait for `proceed`, but for the one at hand."""
        return len(self._held or ())

    def write(self, data: bytes) -> None:
        """Send, at the end of the turn."""
        self.transport.write(data)

    def hold(self) -> None:
        """Hand nothing on until `proceed`."""
        self._asked = True
        self._hold()

    def proceed(self) -> None:
        """Hand on what was held; then read on."""
        self._asked = False
        self._go_on()

    def took(self, limit: str, amount: int) -> None:
        """The client has used so much of what may have a rate: see Rates."""
        if self._rates is None:
            if not getattr(self.c2s.options, f'rate_{limit}'):
                return
            self._rates = Rates(self)
        self._rates.took(limit, amount)

    def slow_down(self) -> None:
        """Hand nothing on, and read nothing, until `speed_up`."""
        self._slowed = True
        self._hold()
        self._stop_reading()

    def speed_up(self) -> None:
        """As `proceed`; it goes on when both have been said."""
        self._slowed = False
        self._go_on()

    def _hold(self) -> None:
        self._holding = True
        if self._held is None:
            self._held = deque()

    def _go_on(self) -> None:
        if self._holding and not self._asked and not self._slowed and not self.closing:
            self._holding = False
            self._drain()

    def _forget_rates(self) -> None:
        rates, self._rates = self._rates, None
        if rates is not None:
            rates.stop()

    def hear_only_acks(self) -> None:
        """While held: acks still count, stanzas are thrown away unread and uncounted.  There is no way back."""
        if self._holding:
            self._farewell = True
            held, self._held = self._held, deque()
            self._keep(list(held or ()))
            if self._stopped:
                self._stopped = False
                self.transport.resumeProducing()

    def start_tls(self) -> None:
        """The client's next bytes are a TLS handshake; then comes a new stream."""
        self.parser.reset()
        self.secure = True
        self.transport.startTLS(self.c2s.tls_options(direct=False))

    def become(self, session: Session) -> None:
        """A resource is bound."""
        self.login = None
        self.session = session
        self.transport.registerProducer(self, True)

    def abort(self) -> None:
        """Be rid of it."""
        self.transport.abortConnection()

    def cool(self) -> bool:
        """Called once a second while hot: whether it still is.  Else the parser is dropped."""
        if self._heat > HOT:
            self._heat = HOT
            return True
        self._heat = 0
        self.parser.release()
        if self.session is not None:
            self.session.cool()
        return False

    def close(self, last: bytes = b'') -> None:
        """End the stream: `last` (a stream error), the end tag, and the connection when the client closes it too.

        Until then, and no longer than close_timeout, what comes is thrown away: closing at once would reset the
        connection and could destroy what is on its way to the client.  Login and session must have let go.
        """
        if self.closing:
            return
        if self.session is not None:
            self.transport.unregisterProducer()
        self.login = self.session = None
        self._forget_rates()
        self._held, self._holding = deque(), True  # what is left of this read goes nowhere
        transport = self.transport
        transport.write(last + STREAM_END)
        self.c2s.close_soon(self)
        if self._stopped:
            self._stopped = False
            transport.resumeProducing()
        if last and not self.secure:
            transport.loseWriteConnection()
        else:
            # Under TLS this sends close_notify and waits for the client's.
            transport.loseConnection()
