"""c2s: the component that clients connect to.

It owns the listening ports and the sessions (by stream id), and has one timer, which ticks once a second.  What a
stream does is in stream.py, session.py and outbox.py; what links bring in intake.py; where sessions live is in pins.py;
how it all ends in shutdown.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from jabberd_tx.base.addresses import is_loopback
from jabberd_tx.base.flush import listen_tcp
from jabberd_tx.base.metrics import Metrics
from jabberd_tx.base.tls import ServerContexts, bindings
from jabberd_tx.base.turn import Turn
from jabberd_tx.components.c2s.admission import AdmissionGate, descriptors_for_clients
from jabberd_tx.components.c2s.authentication import Authentication
from jabberd_tx.components.c2s.client_port import ClientFactory
from jabberd_tx.components.c2s.copies import Copies
from jabberd_tx.components.c2s.failed_logins import FailedLogins
from jabberd_tx.components.c2s.fast import FastTokens
from jabberd_tx.components.c2s.intake import Intake
from jabberd_tx.components.c2s.lease import Lease
from jabberd_tx.components.c2s.leaving import Leaving
from jabberd_tx.components.c2s.limited import Limited
from jabberd_tx.components.c2s.measures import Measures
from jabberd_tx.components.c2s.moving import Moves
from jabberd_tx.components.c2s.offer import Offer
from jabberd_tx.components.c2s.options import OPTIONS
from jabberd_tx.components.c2s.pins import Pins
from jabberd_tx.components.c2s.recovering import Recovering
from jabberd_tx.components.c2s.registration import Registration
from jabberd_tx.components.c2s.resumption import ResumableStreams
from jabberd_tx.components.c2s.returned import ReturnedMessages
from jabberd_tx.components.c2s.shutdown import shut_down
from jabberd_tx.components.c2s.status import status
from jabberd_tx.components.c2s.sweep import Sweep
from jabberd_tx.components.c2s.upgrades import Upgrades
from jabberd_tx.storage.copies.interface import CopyStore
from jabberd_tx.storage.operations import Storage
from jabberd_tx.xmpp.jid import parse
from jabberd_tx.xmpp.parser import Limits

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.connection import ClientConnection
    from jabberd_tx.components.c2s.outbox import Outbox
    from jabberd_tx.components.c2s.session import Session
    from jabberd_tx.components.c2s.stream import Login
    from jabberd_tx.link.interfaces import Links

__all__ = ['C2S', 'OPTIONS', 'ClientFactory']


class C2S:
    """Whatever the parts share.

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
        copy_store: CopyStore | None = None,
        copied: bool = True,
        lease_interval: float = 2.0,
    ) -> None:
        """Attaches itself to `links`.  `carbons`: sms have XEP-0280; `token_key`: for XEP-0484; `copy_store`: where
        copies are kept, if this one has any (`copied`), and its lease.

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
        # Two numbers of the 64 that a replay window tells apart are kept for the end of the session.
        self.window_edge = min(options.window_stanzas, 62) - 1
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
        self.upgrades = Upgrades(storage, options, self.authentication.decoy_key)
        self.registration = Registration(storage, options, reactor, self.limited)
        self.fast = FastTokens(storage, token_key, options, reactor, failures)
        self.pins = Pins(self)
        self.leaving = Leaving(self)
        self.resumable = ResumableStreams(self)
        self.moves = Moves(self)
        self.copies: Copies | None = None
        self.recovering: Recovering | None = None
        self.lease: Lease | None = None
        if copy_store is not None:
            self._copy_to(copy_store, copied, lease_interval)
        self.returned = ReturnedMessages(links, reactor, options.returned_bytes)
        self.measures = Measures(metrics, self)
        self._sweep = Sweep(self)
        self._timer = LoopingCall(self._sweep.run)
        self._timer.clock = reactor
        self.intake = Intake(self)
        links.attach(self.intake)

    def _copy_to(self, store: CopyStore, copied: bool, lease_interval: float) -> None:
        self.copies = Copies(self, store) if copied else None
        self.recovering = Recovering(self, store)
        self.lease = Lease(self, store, lease_interval)

    # ---- life

    def start(self) -> None:
        """Listen.  CannotListenError names the port."""
        if self.lease is not None:
            self.lease.start()
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
        if self.lease is not None:
            self.lease.stop()
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
        self.uncopy(session)
        if session.resumption is not None:
            self.resumable.remember(session)

    def uncopy(self, session: Session) -> None:
        """Nothing of it is here any more."""
        if self.copies is not None:
            self.copies.forget(session)

    def status(self) -> dict[str, Any]:
        """For an operator."""
        return status(self)

    def live(self) -> list[Session]:
        """The sessions that have a client."""
        sessions = self.sessions.values()
        return [session for session in sessions if session.conn is not None and session.conn.session is session]
