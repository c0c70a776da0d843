"""Links of a component that a server elsewhere takes in by XEP-0114: one stream, made again when it is lost.

The component does not know the difference, but there is one: XEP-0114 has no confirmation.  A stanza counts as
confirmed once the connection has taken it; what was on its way when the connection broke may be lost, or come twice.
"""

from __future__ import annotations

from secrets import token_bytes
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from jabberd_tx.base.backoff import Backoff
from jabberd_tx.base.turn import Turn
from jabberd_tx.components.plugins.remote_stream import RemoteStream
from jabberd_tx.link.frames import Confirm, Fanout, Route, make_uid
from jabberd_tx.link.interfaces import Component, Link
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import to_xml


class RemoteLink:
    """The one path: `route` writes the stanza."""

    def __init__(self, links: RemoteLinks, stream: RemoteStream) -> None:
        self.name, self.up, self.stream = links.server, True, stream
        self._links = links

    def route(self, frame: Route) -> None:
        """See link.interfaces.Link."""
        if self.up and isinstance(frame.payload, Stanza):
            self.stream.write(to_xml(frame.payload))
            self._links.written(frame.uid)

    def fanout(self, frame: Fanout) -> None:
        """There are no sessions to be reached."""


class RemoteLinks:
    """link.interfaces.Links over XEP-0114."""

    log = Logger()

    def __init__(self, node: str, domain: str, server: str, secret: str, reactor: Any, turn: Turn) -> None:
        """server: an endpoint as Twisted writes it, 'tcp:localhost:5347'.  ValueError when it is none."""
        self.node, self.incarnation, self.generation = node, token_bytes(16), 0
        self.domain, self.server, self.secret, self.reactor = domain, server, secret, reactor
        self._endpoint = clientFromString(reactor, server)
        self._turn = turn
        self._component: Component
        self._backoff, self._attempts = Backoff(1.0, 60.0), 0
        self._trouble = ''
        self._connecting: Deferred[Any] | None = None
        self._retry: IDelayedCall | None = None
        self._stream: RemoteStream | None = None  # connected, open or not
        self._link: RemoteLink | None = None
        self._inbound, self._count = token_bytes(16), 0
        self._written: list[bytes] = []
        self._stopped: Deferred[None] | None = None

    # ---- life

    def attach(self, component: Component) -> None:
        """See Links."""
        self._component = component

    def start(self) -> None:
        """Connect, and stay connected."""
        self._retry = None
        factory = Factory.forProtocol(lambda: RemoteStream(self))
        factory.noisy = False
        self._connecting = self._endpoint.connect(factory)
        self._connecting.addCallbacks(self._connected, self._not_connected)

    def stop(self) -> Deferred[None]:
        """Close; fires when the connection is gone."""
        self._stopped = Deferred()
        link, self._link = self._link, None
        if link is not None:
            link.up = False
        if self._retry is not None:
            self._retry.cancel()
        if self._stream is not None:
            self._stream.end()
            return self._stopped
        if self._connecting is not None:
            self._connecting.cancel()
        return succeed(None)

    def _connected(self, stream: RemoteStream) -> None:
        self._connecting, self._stream = None, stream

    def _not_connected(self, failure: Failure) -> None:
        self._connecting = None
        if self._stopped is None:
            self._again(failure.getErrorMessage())

    def _again(self, trouble: str) -> None:
        """Try again after a while; say why, once for a row of equal failures."""
        if trouble != self._trouble:
            self._trouble = trouble
            self.log.warn(
                '{domain} is not taken in at {server}: {trouble}',
                domain=self.domain, server=self.server, trouble=trouble,
            )  # fmt: skip
        self._retry = self.reactor.callLater(self._backoff.delay(self._attempts), self.start)
        self._attempts += 1

    # ---- what the stream tells

    def on_open(self, stream: RemoteStream) -> None:
        """The server has taken the component in."""
        self._attempts, self._trouble = 0, ''
        self.generation += 1
        self._stream = stream
        self._link = RemoteLink(self, stream)
        self.log.info('{domain} is taken in at {server}', domain=self.domain, server=self.server)
        self._turn.later(self._component.on_link_up, self._link)

    def on_closing(self, stream: RemoteStream) -> None:
        """It is of no use any more."""
        link, self._link = self._link, None
        if link is not None:
            link.up = False
            self.generation += 1
            self._written.clear()
            self._turn.later(self._component.on_link_down, link)

    def on_lost(self, stream: RemoteStream, was_open: bool, why: str) -> None:
        """The connection is gone."""
        if was_open:
            self.on_closing(stream)
        self._stream = None
        if self._stopped is not None:
            self._stopped.callback(None)
        else:
            self._again(why)

    def on_stanza(self, stanza: Stanza) -> None:
        """One for the component.  Without addresses (XEP-0114 §3 wants them) it is dropped."""
        link, attrs = self._link, stanza.attrs
        if link is None or 'from' not in attrs or 'to' not in attrs:
            return
        self._count += 1
        uid = make_uid(self._inbound, self._count)
        self._component.on_route(Route(self.domain, None, self.server, 0, uid, 0, 0, stanza), link)

    def is_congested(self) -> bool:
        """Whether the component has too much to do."""
        return self._component.congested()

    def written(self, uid: bytes) -> None:
        """A stanza went to the connection."""
        if not self._written:
            self._turn.later(self.on_written)
        self._written.append(uid)

    def on_written(self) -> None:
        """Confirm what the connection has taken, unless it can take no more."""
        if self._written and self._stream is not None and not self._stream.full:
            uids, self._written = self._written, []
            self._component.on_confirm(Confirm(self.node, self.server, uids, []))

    # ---- the rest of Links

    def pick(self, key: str, avoid: Link | None = None) -> RemoteLink | None:
        """The one link while it is up, unless it is to be avoided."""
        return None if avoid is self._link else self._link

    def bind(self, name: str, policy: str | None = None, **options: object) -> None:
        """The name was said in the stream header; policies are the server's."""

    def unbind(self, name: str) -> None:
        """The end of the stream says it."""

    def instances(self, name: str) -> dict[str, bytes]:
        """Not known here."""
        return {}

    def confirm(self, node: str, uid: bytes, via: Link | None = None) -> None:
        """There is nobody to be told."""

    def failed(self, node: str, uid: bytes, sessions: list[bytes], via: Link | None = None) -> None:
        """Likewise."""

    def working(self, node: str, uids: list[bytes]) -> None:
        """Likewise."""

    def bounce(self, frame: Route, reason: str, detail: str = '', via: Link | None = None) -> None:
        """Likewise."""

    def drain(self) -> None:
        """The server can not be told that work is to go elsewhere."""
