"""c2s: the component that clients connect to.

It owns the listening ports and the sessions (by stream id), takes what links bring to the session that it is for, and
has one timer, which ticks once a second.  What a stream does is in stream.py, session.py and outbox.py; where sessions
live is in pins.py; how it all ends in shutdown.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from jabberd_tx.base.flush import listen_tcp
from jabberd_tx.base.metrics import Metrics
from jabberd_tx.base.tls import ServerContexts, bindings
from jabberd_tx.base.turn import Turn
from jabberd_tx.components.c2s.addresses import is_loopback
from jabberd_tx.components.c2s.admission import AdmissionGate, descriptors_for_clients
from jabberd_tx.components.c2s.authentication import Authentication
from jabberd_tx.components.c2s.connection import ClientConnection
from jabberd_tx.components.c2s.failed_logins import FailedLogins
from jabberd_tx.components.c2s.fanouts import take_fanout
from jabberd_tx.components.c2s.fast import FastTokens
from jabberd_tx.components.c2s.leaving import Leaving
from jabberd_tx.components.c2s.limited import Limited
from jabberd_tx.components.c2s.measures import Measures
from jabberd_tx.components.c2s.moving import Moves
from jabberd_tx.components.c2s.offer import Offer
from jabberd_tx.components.c2s.options import OPTIONS
from jabberd_tx.components.c2s.pins import Pins
from jabberd_tx.components.c2s.registration import Registration
from jabberd_tx.components.c2s.resumption import ResumableStreams
from jabberd_tx.components.c2s.returned import ReturnedMessages
from jabberd_tx.components.c2s.session import STARTING
from jabberd_tx.components.c2s.session_frames import take_session_frame
from jabberd_tx.components.c2s.shutdown import shut_down
from jabberd_tx.components.c2s.sweep import Sweep
from jabberd_tx.link import session as vocabulary
from jabberd_tx.link.frames import BUSY, NO_SESSION, Bounce, Confirm, Fanout, Route, Working, uid_number
from jabberd_tx.storage.operations import Storage
from jabberd_tx.xmpp.jid import parse
from jabberd_tx.xmpp.parser import Limits
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.outbox import Outbox
    from jabberd_tx.components.c2s.session import Session
    from jabberd_tx.components.c2s.stream import Login
    from jabberd_tx.link.interfaces import Link, Links

__all__ = ['C2S', 'OPTIONS', 'ClientFactory']


@implementer(IProtocolFactory)
class ClientFactory:
    """Makes the connections of one port."""

    noisy = False

    def __init__(self, c2s: C2S, direct_tls: bool) -> None:
        self._c2s, self._direct_tls = c2s, direct_tls

    def doStart(self) -> None:
        """Part of IProtocolFactory."""

    def doStop(self) -> None:
        """Part of IProtocolFactory."""

    def buildProtocol(self, address: IAddress) -> ClientConnection:
        """For a new connection."""
        return ClientConnection(self._c2s, self._direct_tls)


class C2S:
    """A link.interfaces.Component.

    sessions   by stream id: those with a client, and those that still have something to be confirmed
    streams    how many of them have a client
    logins     streams without a resource
    closing    connections whose stream is over, but which the client has not closed
    hot        connections that keep their parser; unasked: outboxes with something to ask an ack for
    tick       seconds since the start, whole ones
    """

    log = Logger()

    def __init__(
        self,
        links: Links,
        storage: Storage,
        domains: Sequence[str],
        options: SimpleNamespace,
        reactor: Any,
        turn: Turn,
        metrics: Metrics,
        tls: ServerContexts | None,
        carbons: bool = False,
        token_key: bytes = b'',
    ) -> None:
        """Attaches itself to `links`.  `carbons`: sms have XEP-0280; `token_key`: for XEP-0484.

        ValueError for options that no client could log in with."""
        self.links, self.options, self.reactor, self.turn, self.tls = links, options, reactor, turn, tls
        self.node = links.node
        self.domains = tuple(parse(domain).full for domain in domains)
        if tls is None and options.require_tls and not options.plaintext_on_loopback:
            raise ValueError('c2s.require_tls: there is no certificate')
        self.early_limits = Limits(
            min(options.max_stanza_bytes, options.unauthenticated_bytes),
            options.max_depth, options.max_attributes, options.max_children,
        )  # fmt: skip
        self.limits = self.early_limits._replace(stanza_bytes=options.max_stanza_bytes)
        self.offer = Offer(options, self.early_limits, self.limits, carbons, bool(token_key))
        # One number of the 64 that a replay window tells apart is kept for the end of the session.
        self.window_edge = min(options.window_stanzas, 63) - 1
        self.window_bytes = max(options.window_bytes - 32768, options.window_bytes // 2)
        self.sessions: dict[bytes, Session] = {}
        self.streams = 0
        self.logins: set[Login] = set()
        self.closing: dict[ClientConnection, None] = {}
        self.hot: list[ClientConnection] = []
        self.unasked: list[Outbox] = []
        self._unanswered: dict[Session, None] = {}
        self.tick = 1
        self.stopping = False
        self.ports: list[IListeningPort] = []
        self.limited = Limited(metrics)
        self.admission = AdmissionGate(options, self.limited, descriptors_for_clients())
        failures = FailedLogins(options, self.limited, reactor)
        self.authentication = Authentication(storage, options, reactor, failures)
        self.registration = Registration(storage, options, reactor, self.limited)
        self.fast = FastTokens(storage, token_key, options, reactor, failures)
        self.pins = Pins(self)
        self.leaving = Leaving(self)
        self.resumable = ResumableStreams(self)
        self.moves = Moves(self)
        self.returned = ReturnedMessages(links, reactor, options.returned_bytes)
        self.measures = Measures(metrics, self)
        self._sweep = Sweep(self)
        self._timer = LoopingCall(self._sweep.run)
        self._timer.clock = reactor
        links.attach(self)

    # ---- life

    def start(self) -> None:
        """Listen.  CannotListenError names the port."""
        self._timer.start(1.0, now=False).addErrback(self._timer_failed)
        for port, direct in ((self.options.port, False), (self.options.tls_port, True)):
            if port and not (direct and self.tls is None):
                self.listen(port, direct)

    def listen(self, port: int, direct_tls: bool = False) -> IListeningPort:
        """Listen on one more port (0: any free one)."""
        listening = listen_tcp(
            self.reactor, self.turn, port, ClientFactory(self, direct_tls), self.options.interface,
            self.options.backlog, self.options.reuse_port,
        )  # fmt: skip
        self.ports.append(listening)
        return listening

    async def stop(self) -> None:
        """Leave without losing what was accepted: see shutdown.py."""
        await shut_down(self)

    def options_changed(self) -> None:
        """Some have new values.  ValueError for one that can not be used."""
        self.admission.options_changed()
        offer, tokens = self.offer, bool(self.fast.key)
        self.offer = Offer(self.options, self.early_limits, self.limits, offer.carbons, tokens, offer.caps)

    def stop_timers(self) -> None:
        """The very end."""
        if self._timer.running:
            self._timer.stop()
        self.pins.stop()
        self.returned.stop()

    def _timer_failed(self, failure: Any) -> None:
        self.log.failure('the sweep failed', failure)
        if not self._timer.running:
            self._timer.start(1.0, now=False).addErrback(self._timer_failed)

    # ---- for connections and logins

    def tls_options(self, direct: bool) -> Any:
        """What startTLS wants."""
        assert self.tls is not None
        return self.tls.options(direct)

    def tls_policy(self, conn: ClientConnection) -> tuple[str, bool, bool]:
        """Of a stream without login: STARTTLS 'required', 'optional' or ''; may it log in now; by PLAIN without TLS."""
        if conn.secure:
            return '', True, False
        options = self.options
        local = is_loopback(conn.peer)
        allowed = not options.require_tls or (local and options.plaintext_on_loopback)
        starttls = '' if self.tls is None else 'optional' if allowed else 'required'
        return starttls, allowed, local and options.plain_without_tls

    def bindings(self, conn: ClientConnection) -> dict[str, bytes]:
        """The stream's channel binding data."""
        return bindings(conn.transport) if conn.secure else {}

    def answer_soon(self, session: Session) -> None:
        """The client has asked for an ack: it is told at the end of the turn, when more may be confirmed."""
        if not self._unanswered:
            self.turn.at_end(self._answer)
        self._unanswered[session] = None

    def _answer(self) -> None:
        sessions, self._unanswered = self._unanswered, {}
        for session in sessions:
            session.answer_request()

    def tick_after(self, seconds: float) -> int:
        """The tick that is not before so many seconds from now."""
        return self.tick + int(seconds) + 1

    def close_soon(self, conn: ClientConnection) -> None:
        """Abort it when the client has not closed it in time."""
        conn.closing = self.tick_after(self.options.close_timeout)
        self.closing[conn] = None

    def forget(self, conn: ClientConnection) -> None:
        """The connection is gone."""
        self.closing.pop(conn, None)
        if conn.address is not None:
            self.admission.leave(conn.address)

    def ended(self, session: Session) -> None:
        """The session's stream is over."""
        if session.jid != session.bare:
            self.streams -= 1

    def drop(self, session: Session) -> None:
        """Nothing more is to be said about it."""
        self.sessions.pop(session.stream, None)
        self.pins.forget(session)
        if session.resumption is not None:
            self.resumable.remember(session)

    def status(self) -> dict[str, Any]:
        """For an operator."""
        sessions = self.sessions.values()
        return {
            'node': self.node,
            'domains': list(self.domains),
            'streams': self.streams,
            'logins': len(self.logins),
            'closing': len(self.closing),
            'away': len(self.resumable.away),
            'moving': len(self.moves.given),
            'pins': dict(Counter([session.pin.node for session in sessions])),
            'sessions_waiting': len([session for session in sessions if session.link is None]),
            'sessions_over': len([session for session in sessions if session.conn is None]),
            'unconfirmed': self.count_unconfirmed(),
            'returned': len(self.returned),
            'draining': self.stopping,
        }

    def count_unconfirmed(self) -> int:
        """Stanzas of clients that are not confirmed."""
        return sum([len(session.unconfirmed) for session in self.sessions.values()])

    def count_unacked(self) -> int:
        """Stanzas that were sent to clients which have not acked them."""
        return sum([len(session.acks.unacked) for session in self.sessions.values() if session.acks is not None])

    def count_waiting(self) -> int:
        """Bytes that wait for clients which read more slowly than others write."""
        return sum([session.waiting for session in self.sessions.values()])

    # ---- what links bring

    def on_route(self, frame: Route, link: Link) -> None:
        """A stanza for one of our clients, or word from an sm about a session."""
        stanza = frame.payload
        if type(stanza) is not Stanza:
            stanza = Stanza.unpack(stanza)  # type: ignore[arg-type]
        session = self.sessions.get(frame.key)  # type: ignore[arg-type]
        if session is None:
            self.moves.take_stray(frame, stanza, link)
            return
        name = stanza.name
        if name == vocabulary.NAME:
            take_session_frame(self, session, frame, stanza, link)
            return
        if session.conn is None or session.conn.session is not session:
            # One that is not bound yet may be known already, by another path than its `started` takes: later.
            reason = NO_SESSION if session.conn is None or session.phase is not STARTING else BUSY
            self.links.bounce(frame, reason, via=link)
            return
        counts = self.measures.sent
        if name == 'message':
            counts.message += 1
        elif name == 'iq':
            counts.iq += 1
            if session.iqs is not None:
                session.answered(stanza)
                if self.leaving.sessions:
                    self.leaving.look_soon()
        else:
            counts.presence += 1
        session.deliver(frame, stanza, link)

    def on_fanout(self, frame: Fanout, link: Link) -> None:
        """One stanza for many clients of ours."""
        take_fanout(self, frame, link)

    def on_confirm(self, frame: Confirm) -> None:
        """Stanzas of our clients that are settled, and messages that were taken back."""
        sessions = self.sessions
        for uid in frame.uids:
            session = sessions.get(uid[:16])
            if session is None or not session.confirm(int.from_bytes(uid[16:], 'big')):
                self.returned.confirm(uid)
        if self.leaving.sessions:
            self.leaving.look_soon()

    def on_working(self, frame: Working) -> None:
        """Nothing is repeated for being slow: there is no timer to be reset."""

    def on_bounce(self, frame: Bounce, link: Link) -> None:
        """A frame of ours could not be handed on."""
        uid = frame.uid
        if frame.to in self.domains and uid_number(uid) and uid in self.returned:
            self.returned.bounced()
            return
        session = self.sessions.get(uid[:16])
        if session is not None:
            self.pins.bounced(frame, session, link)
        else:
            self.moves.bounced(frame)

    def on_up(self, name: str, node: str, incarnation: bytes) -> None:
        """A node, or an sm of one of our domains, is there."""
        if name == node:
            self.pins.node_up(node, incarnation)
        elif name in self.domains:
            self.pins.try_adrift()
            self.returned.send_again()

    def on_down(self, name: str, node: str, incarnation: bytes) -> None:
        """It is gone."""
        if name == node:
            self.pins.node_down(node, incarnation)
            self.moves.node_down(node)
        elif name in self.domains:
            self.pins.domain_lost(name)
            self.returned.send_again()

    def on_path_lost(self, name: str, node: str, link: Link) -> None:
        """One router does not reach it any more, others do."""
        if name == node:
            self.pins.path_lost(node, link)
        elif name in self.domains:
            self.pins.path_to_domain_lost(name, link)
            self.returned.send_again()

    def on_drain(self, node: str) -> None:
        """A node is about to leave."""
        self.pins.node_drains(node)

    def on_link_up(self, link: Link) -> None:
        """There is a way again."""
        self.pins.try_adrift()

    def on_link_down(self, link: Link) -> None:
        """What went over it may or may not have arrived."""
        if self.links.pick('') is None:
            self.pins.cut_off()
        else:
            self.pins.link_lost(link)
        self.returned.send_again()

    def congested(self) -> bool:
        """Never: each client has its own bounded queue, and its stream is closed when that is full."""
        return False

    def live(self) -> list[Session]:
        """The sessions that have a client."""
        sessions = self.sessions.values()
        return [session for session in sessions if session.conn is not None and session.conn.session is session]
