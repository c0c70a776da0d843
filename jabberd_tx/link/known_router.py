"""One router that the directory names: connect to it, and again when that fails or ends, ever more slowly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.application.internet import ClientService
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger, LogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from jabberd_tx.base.backoff import Backoff
from jabberd_tx.base.flush import client_endpoint
from jabberd_tx.link.auth import Handshake
from jabberd_tx.link.connection import LinkConnection
from jabberd_tx.link.directory import Address
from jabberd_tx.link.frames import Error
from jabberd_tx.link.interfaces import Component
from jabberd_tx.link.outgoing import RouterLink

if TYPE_CHECKING:
    from jabberd_tx.link.pool import Pool

# Refusals that another attempt will hardly change: the longest wait at once.
FIRM = frozenset(('not-authorized', 'unsupported-version', 'conflict', 'invalid-from', 'bad-frame'))
MANY_ATTEMPTS = 64


class _QuietClientService(ClientService):
    """Without a line for each attempt: what is worth one, KnownRouter logs."""

    _log = Logger(observer=LogPublisher())


@implementer(IStreamClientEndpoint)
class KnownRouter:
    """Also the endpoint of its own ClientService, to see why an attempt failed.

    link  the connection that there is: being made, up or closing; else None
    tls   what the next connection's startTLS takes; None for a plain link
    """

    log = Logger()

    def __init__(self, pool: Pool, component: Component, address: Address, tls: Any) -> None:
        self.address = address
        self.link: RouterLink | None = None
        options = pool.options
        self._pool, self._component, self.tls = pool, component, tls
        self._backoff = Backoff(options.backoff_initial, max(options.backoff_initial, options.backoff_maximum))
        self._attempts = 0
        self._last_failure = ''
        self._stopping = self._stopped = False
        self._endpoint = client_endpoint(
            pool.reactor, pool.turn, address.host, address.port, timeout=options.connect_timeout
        )
        factory = Factory.forProtocol(self._make)
        factory.noisy = False
        self._service = _QuietClientService(self, factory, retryPolicy=self._wait, clock=pool.reactor)

    def start(self) -> None:
        """Connect, and stay connected."""
        self._service.startService()

    async def stop(self) -> None:
        """Send what was written, and close."""
        self._stopping = True
        if self.link is not None:
            await self.link.connection.finish()
        # A ClientService must not be stopped again by who waited for its end, within that very call.
        if not self._stopped:
            await maybeDeferred(self._service.stopService)
            self._stopped = True

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        """IStreamClientEndpoint: one attempt."""
        attempt: Deferred[Any] = self._endpoint.connect(factory)
        return attempt.addErrback(self._not_connected)

    def _make(self) -> LinkConnection:
        pool = self._pool
        link = RouterLink(pool, self._component, pool.options, pool.reactor, self._on_lost)
        handshake = Handshake(True, pool.options.secret, pool.node, pool.incarnation)
        link.connection = LinkConnection(link, handshake, pool.options, pool.reactor, pool.turn, self.tls)
        self.link = link
        return link.connection

    def _wait(self, _: int) -> float:
        """Seconds before the next attempt.  A link that did not last counts as a failure."""
        self._attempts += 1
        return self._backoff.delay(self._attempts - 1)

    def _not_connected(self, failure: Failure) -> Failure:
        if not failure.check(CancelledError):
            self._note('no connection', failure.getErrorMessage())
        return failure

    def _on_lost(self, link: RouterLink) -> None:
        self.link = None
        if self._stopping:
            return
        why = link.connection.why or Error('closed', '')
        if link.up_since is None and why.condition == 'closed':
            why = Error('closed early', f'{why.text}, before both sides had proved themselves')
        if link.up_since is not None:
            self._last_failure = ''
            if self._pool.reactor.seconds() - link.up_since >= self._backoff.maximum:
                self._attempts = 0
        if why.condition in FIRM:
            self._attempts = max(self._attempts, MANY_ATTEMPTS)
        self._note(why.condition, why.text)

    def _note(self, condition: str, text: str) -> None:
        """Log what went wrong, once for a row of equal failures."""
        if condition not in ('closed', 'closed early'):
            self._pool.counts.refused += 1
        # A router that is down first closes its link, and then takes none.
        kind = 'down' if condition in ('closed', 'no connection') else condition
        if kind != self._last_failure:
            self._last_failure = kind
            self.log.warn(
                'link of {node} to {address}: {condition}: {text}',
                node=self._pool.node,
                address=str(self.address),
                condition=condition,
                text=text,
            )
