"""A connection to a component that listens: made, and made again when it fails or ends, ever more slowly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from jabberd_tx.base.backoff import Backoff
from jabberd_tx.base.flush import client_endpoint
from jabberd_tx.components.gateway.connection import ComponentConnection
from jabberd_tx.components.gateway.naming import Connecting

if TYPE_CHECKING:
    from jabberd_tx.components.gateway.external import External
    from jabberd_tx.components.gateway.service import Gateway
    from jabberd_tx.link.directory import Address


class Connector(ClientFactory):
    """For one address of one component."""

    noisy = False

    def __init__(self, gateway: Gateway, external: External, address: Address, slot: int, tls: Any) -> None:
        """tls: what startTLS takes, or None."""
        self._gateway, self._external, self._address, self._slot, self._tls = gateway, external, address, slot, tls
        options = gateway.options
        self._backoff = Backoff(options.backoff_initial, max(options.backoff_initial, options.backoff_maximum))
        self._attempts = 0
        self._attempt: Deferred[Any] | None = None
        self._pause: IDelayedCall | None = None
        self._stopped = False
        self._endpoint = client_endpoint(
            gateway.reactor, gateway.turn, address.host, address.port, timeout=options.connect_timeout
        )

    def start(self) -> None:
        """Connect, and stay connected."""
        self._pause = None
        self._attempt = self._endpoint.connect(self)
        self._attempt.addCallbacks(self._connected, self._not_connected)

    def stop(self) -> None:
        """Make no more connections; the one there is, is left to the gateway."""
        self._stopped = True
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if self._attempt is not None:
            self._attempt.cancel()

    def buildProtocol(self, address: IAddress | None) -> Any:
        """For an attempt that has succeeded."""
        conn = ComponentConnection(self._gateway, self._tls)
        conn.target = Connecting(conn, self._external, self._slot)
        conn.on_lost = self._lost
        return conn

    def _connected(self, conn: ComponentConnection) -> None:
        self._attempt = None

    def _not_connected(self, failure: Failure) -> None:
        self._attempt = None
        if not failure.check(CancelledError):
            who = f'component {self._external.name} at {self._address}'
            self._gateway.refusals.note(who, 'other', f'no connection: {failure.getErrorMessage()}')
        self._again()

    def _lost(self, lasted: float) -> None:
        """The connection is gone; `lasted`: seconds since it got its name, 0 if it did not."""
        if lasted >= self._backoff.maximum:
            self._attempts = 0
        self._again()

    def _again(self) -> None:
        if not self._stopped and self._pause is None:
            self._attempts += 1
            delay = self._backoff.delay(min(self._attempts - 1, 64))
            self._pause = self._gateway.reactor.callLater(delay, self.start)
