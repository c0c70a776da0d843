"""A router's side of its links: listens, and keeps those who have not proved themselves few and short."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import DeferredList, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from jabberd_tx.base.flush import listen_tcp
from jabberd_tx.base.metrics import Counters, Metrics
from jabberd_tx.base.turn import Turn
from jabberd_tx.link.auth import Handshake
from jabberd_tx.link.connection import WAITING, LinkConnection
from jabberd_tx.link.frames import Error
from jabberd_tx.link.interfaces import Switch
from jabberd_tx.link.port import ComponentPort
from jabberd_tx.link.security import check_secret, listening_tls

# Failures to authenticate are logged at most so often, in seconds.
LOG_FAILURES_EVERY = 10.0


class LinkServer(Factory):
    """All links of a router.

    ports    the links that are attached
    refused  counts those that were turned away: too many, or not authenticated
    """

    noisy = False
    log = Logger()

    def __init__(
        self,
        switch: Switch,
        node: str,
        incarnation: bytes,
        options: Any,
        reactor: Any,
        turn: Turn,
        host: str,
        metrics: Metrics | None = None,
        secret_of: Callable[[str], str] | None = None,
    ) -> None:
        """`host`: the address to listen on; secret_of: see `listen`; ConfigError as for that."""
        check_secret(options)
        self.switch, self.node, self.incarnation, self.turn = switch, node, incarnation, turn
        self.ports: set[ComponentPort] = set()
        self.refused = Counters('jabberd_link_refused', 'Links that a router turned away.')
        if metrics is not None:
            metrics.add(self.refused)
            metrics.gauge('jabberd_link_waiting_bytes', WAITING, self._count_waiting)
        self.listener: IListeningPort
        self._options, self._reactor, self._host = options, reactor, host
        self._secret_of = secret_of
        self.read_tls()
        self._all: set[ComponentPort] = set()  # attached, proving themselves, or closing
        self._proving: set[ComponentPort] = set()
        self._logged: dict[str, float] = {}

    def buildProtocol(self, addr: Any) -> LinkConnection | None:
        """A new connection; None (it is dropped) when too many have not proved themselves yet."""
        if len(self._proving) >= self._options.unauthenticated_limit:
            self._refuse('too many links that have not proved themselves', addr)
            return None
        port = ComponentPort(self)
        secret = self._secret_of or self._options.secret
        handshake = Handshake(False, secret, self.node, self.incarnation)
        port.connection = LinkConnection(port, handshake, self._options, self._reactor, self.turn, self._tls)
        self._proving.add(port)
        self._all.add(port)
        return port.connection

    def read_tls(self) -> None:
        """Read the certificate and its key again, for links to come.  ConfigError: nothing has changed."""
        self._tls = listening_tls(self._options, self._host)

    def admit(self, port: ComponentPort) -> None:
        """It has proved itself."""
        self._proving.discard(port)
        self.ports.add(port)

    def dismiss(self, port: ComponentPort) -> None:
        """It is about to close."""
        self.ports.discard(port)
        self._proving.discard(port)
        why = port.connection.why or Error('closed', '')
        if port.attached:
            self.log.info('link of {node} closed: {why}', node=port.node, why=why.text or why.condition)
        elif why.condition != 'closed':
            transport: Any = port.connection.transport
            self._refuse(why.text or why.condition, transport.getPeer())

    def forget(self, port: ComponentPort) -> None:
        """Its connection is gone."""
        self._all.discard(port)

    def _count_waiting(self) -> int:
        return sum([port.connection.waiting for port in self._all])

    def _refuse(self, why: str, peer: Any) -> None:
        """Count it; log it unless the same was logged just now."""
        self.refused.total += 1
        now = self._reactor.seconds()
        if now - self._logged.get(why, -LOG_FAILURES_EVERY) >= LOG_FAILURES_EVERY:
            if len(self._logged) > 100:
                self._logged.clear()
            self._logged[why] = now
            self.log.warn('link from {peer} refused: {why}', peer=getattr(peer, 'host', peer), why=why)

    async def stop(self) -> None:
        """Take no more links, send what was written, close them all."""
        await maybeDeferred(self.listener.stopListening)
        await DeferredList([port.connection.finish() for port in list(self._all)])


def listen(
    host: str,
    port: int,
    switch: Switch,
    node: str,
    incarnation: bytes,
    options: Any,
    reactor: Any,
    turn: Turn,
    metrics: Metrics | None = None,
    secret_of: Callable[[str], str] | None = None,
) -> LinkServer:
    """Take links on a TCP port (0: any free one; `.listener.getHost().port` tells) for a router.

    secret_of   what the node of that name has to know; without it all know options.secret
    ConfigError when there is no secret, or no TLS on an address beyond this machine; CannotListenError.
    """
    server = LinkServer(switch, node, incarnation, options, reactor, turn, host, metrics, secret_of)
    server.listener = listen_tcp(reactor, turn, port, server, interface=host)
    return server
