"""A component's links to all routers: which one to take, who serves what, and what to do when one is lost.

A link is *up* from the moment when its router has said who is there (each PRESENT, then one of itself) until it is
lost.  Work for one session owner always takes the same link, chosen by rendezvous hashing over those that are up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from secrets import token_bytes
from typing import Any

from twisted.internet.defer import DeferredList, ensureDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from jabberd_tx.base.hashing import rendezvous
from jabberd_tx.base.metrics import Counters, Metrics
from jabberd_tx.base.options import ConfigError
from jabberd_tx.base.turn import Turn
from jabberd_tx.link.connection import WAITING
from jabberd_tx.link.directory import Address, Directory, StaticDirectory, parse_address
from jabberd_tx.link.frames import DEFAULT_ROUTE, Bounce, Drain, Present, Redirect, Route, Unbind, Working, encode
from jabberd_tx.link.instances import Change, InstanceTable
from jabberd_tx.link.interfaces import Component, Link
from jabberd_tx.link.known_router import KnownRouter
from jabberd_tx.link.outgoing import RouterLink
from jabberd_tx.link.redirects import Redirects
from jabberd_tx.link.security import check_secret, connecting_tls

# Keys whose link is remembered.
MOST_PICKS = 65536


class Pool:
    """link.interfaces.Links over TCP.  One for each component of a process."""

    log = Logger()

    def __init__(
        self,
        node: str,
        options: Any,
        reactor: Any,
        turn: Turn,
        metrics: Metrics | None = None,
        directory: Directory | None = None,
    ) -> None:
        """options: values of link.options; directory: where the routers are, if not in options.routers.

        ConfigError when there is no secret, or something in options.routers is no address.
        """
        check_secret(options)
        self.node, self.incarnation = node, token_bytes(16)
        self.generation = 0
        self.options, self.reactor, self.turn = options, reactor, turn
        self.counts = Counters('jabberd_link_events', 'What happened to links.', 'event', ('up', 'down', 'refused'))
        self._directory = directory or _static(options.routers)
        self._component: Component
        self._routers: dict[Address, KnownRouter] = {}
        self._leaving_routers: set[KnownRouter] = set()
        self._up: dict[str, RouterLink] = {}
        self._eligible: list[str] = []
        self._picks: dict[str, RouterLink] = {}
        self._bound: dict[str, dict[str, object]] = {}
        self._table = InstanceTable()
        self.redirects = Redirects(node, reactor.seconds)
        self._judgements: dict[RouterLink, IDelayedCall] = {}
        self._drained: dict[str, bytes | None] = {}
        self._drains = self._stopped = False
        if metrics is not None:
            metrics.add(self.counts)
            metrics.gauge('jabberd_link_up', 'Routers that there is a link to.', lambda: len(self._up))
            metrics.gauge('jabberd_link_waiting_bytes', WAITING, self._count_waiting)

    # ---- life

    def attach(self, component: Component) -> None:
        """Whom to call.  Once, before start."""
        self._component = component

    def start(self) -> None:
        """Connect to every router, and keep connected.  ConfigError when a link would not be safe."""
        self._directory.start(self.set_addresses)

    async def stop(self) -> None:
        """Send what was written, and close.  The component is not called any more."""
        self._stopped = True
        self._directory.stop()
        everybody = [*self._routers.values(), *self._leaving_routers]
        await DeferredList([ensureDeferred(router.stop()) for router in everybody])

    def set_addresses(self, addresses: Iterable[Address | str]) -> None:
        """The routers, from now on.  Links to others are ended; a link that is there already is left alone.

        ConfigError for what is no address, or wants TLS: nothing changes then.
        """
        try:
            wanted = {parse_address(address) if isinstance(address, str) else address for address in addresses}
        except ValueError as error:
            raise ConfigError(f'link.routers: {error}') from None
        new = [
            KnownRouter(self, self._component, address, connecting_tls(self.options, address.host))
            for address in sorted(wanted - self._routers.keys())
        ]
        for address in self._routers.keys() - wanted:
            ensureDeferred(self._part_with(self._routers.pop(address)))
        for router in new:
            self._routers[router.address] = router
            router.start()

    def read_tls(self) -> None:
        """Read the authority's certificates again, for links to come.  ConfigError: nothing has changed."""
        routers = list(self._routers.values())
        for router, tls in [(router, connecting_tls(self.options, router.address.host)) for router in routers]:
            router.tls = tls

    async def _part_with(self, router: KnownRouter) -> None:
        self._leaving_routers.add(router)
        await router.stop()
        self._leaving_routers.discard(router)

    @property
    def stopped(self) -> bool:
        """Whether it is stopped, or about to be."""
        return self._stopped

    @property
    def links(self) -> list[RouterLink]:
        """Those that are up."""
        return list(self._up.values())

    # ---- Links

    def bind(self, name: str, policy: str | None = None, **options: object) -> None:
        """Serve `name` on every router, now and after each reconnect.  A refusal is logged."""
        self._bound[name] = options if policy is None else {'policy': policy, **options}
        for link in self._open_links():
            link.bind(name, self._bound[name])

    def unbind(self, name: str) -> None:
        """Serve it no more."""
        if self._bound.pop(name, None) is not None:
            for link in self._open_links():
                # What is confirmed must not be repeated to the next instance.
                link.before_write(True)
                link.connection.send(encode(Unbind(name)))

    def pick(self, key: str, avoid: Link | None = None) -> RouterLink | None:
        """The link for this session owner's bare JID; None when none is up, or none but the one to avoid."""
        link = self._picks.get(key)
        if link is None and self._eligible:
            if len(self._picks) >= MOST_PICKS:
                self._picks.clear()
            names = self._eligible
            link = self._picks[key] = self._up[names[0] if len(names) == 1 else rendezvous(key, names)]
        if avoid is not None and link is avoid:
            others = [name for name in self._eligible if self._up[name] is not avoid]
            others = others or [name for name in self._up if self._up[name] is not avoid]
            return self._up[rendezvous(key, others)] if others else None
        return link

    def instances(self, name: str) -> dict[str, bytes]:
        """node -> incarnation of what serves a name."""
        return self._table.of_name(name)

    def names(self) -> list[str]:
        """Every name that somebody serves."""
        return self._table.names()

    def reachable(self, name: str) -> bool:
        """Whether somebody takes what is for a name: its instances, or the default route."""
        return bool(self._table.of_name(name) or self._table.of_name(DEFAULT_ROUTE))

    def redirect(self, address: str, node: str, seconds: int) -> None:
        """Ask that what is for a name or a bare JID goes straight to a node for so long; 0 takes it back."""
        for link in self._open_links():
            link.connection.send(encode(Redirect(address, node, seconds)))

    def confirm(self, node: str, uid: bytes, via: Link | None = None) -> None:
        """Gathered (link.confirm_delay).  Without a link it is lost: the repeat that follows is confirmed again."""
        link = self._way(node, via)
        if link is not None:
            link.confirm(node, uid)

    def failed(self, node: str, uid: bytes, sessions: list[bytes], via: Link | None = None) -> None:
        """Confirms a fan-out but for these sessions, which are not here."""
        link = self._way(node, via)
        if link is not None:
            link.failed(node, uid, sessions)

    def working(self, node: str, uids: list[bytes]) -> None:
        """Say that these are not forgotten."""
        link = self.pick(node)
        if link is not None:
            link.connection.send(encode(Working(node, self.node, uids)))

    def bounce(self, frame: Route, reason: str, detail: str = '', via: Link | None = None) -> None:
        """Send a frame back to its source."""
        link = self._way(frame.source, via)
        if link is not None:
            back = Bounce(frame.source, self.node, reason, frame.dest, frame.key, frame.epoch, frame.uid, detail)
            link.connection.send(encode(back))

    def drain(self) -> None:
        """Say on all links, now and later, that this node is about to leave."""
        self._drains = True
        for link in self._open_links():
            link.connection.send(encode(Drain(self.node)))

    def _way(self, node: str, via: Link | None) -> RouterLink | None:
        return via if via is not None and via.up else self.pick(node)  # type: ignore[return-value]

    def _open_links(self) -> list[RouterLink]:
        links = [router.link for router in self._routers.values()]
        return [link for link in links if link is not None and link.connection.is_open]

    def _count_waiting(self) -> int:
        return sum([link.connection.waiting for link in self._open_links()])

    def status(self) -> list[dict[str, Any]]:
        """For an operator: each router, whether there is a link to it and since when, and the bytes that wait."""
        return [{'node': self.node, **self._state_of(router)} for router in self._routers.values()]

    def _state_of(self, router: KnownRouter) -> dict[str, Any]:
        link = router.link
        if link is None or not link.up or link.up_since is None:
            return {'router': str(router.address), 'state': 'connecting', 'seconds': 0.0, 'waiting': 0}
        seconds = round(self.reactor.seconds() - link.up_since, 1)
        state = 'draining' if link.draining else 'up'
        return {'router': link.name, 'state': state, 'seconds': seconds, 'waiting': link.connection.waiting}

    # ---- what links tell

    def is_linked(self, router: str) -> bool:
        """Whether a link goes to that router already, or is about to."""
        return any(known.link is not None and known.link.name == router for known in self._routers.values())

    def on_open(self, link: RouterLink) -> None:
        """Authenticated: bind what is bound."""
        for name, options in self._bound.items():
            link.bind(name, options)
        if self._drains:
            link.connection.send(encode(Drain(self.node)))

    def on_synced(self, link: RouterLink, news: list[Present | Drain]) -> None:
        """The router has said who is there: the link is up."""
        self.counts.up += 1
        self.log.info('link of {node} to {router} is up', node=self.node, router=link.name)
        self._up[link.name] = link
        self._choose()
        changes = [change for frame in news if type(frame) is Present for change in self._table.told(link.name, frame)]
        self._call(self._component.on_link_up, link)
        self._tell(changes)
        for frame in news:
            if type(frame) is Drain:
                self._drain(link, frame.node)
        self._judgements[link] = self.reactor.callLater(self.options.absence_grace, self._judge, link)

    def on_news(self, link: RouterLink, frame: Present | Drain) -> None:
        """An instance came, went, or is about to go."""
        if type(frame) is not Present:
            self._drain(link, frame.node)
            return
        name, node, incarnation, up = frame
        changes = self._table.told(link.name, frame)
        self._tell(changes)
        if not up and not changes and self._table.incarnation(name, node) == incarnation:
            self._call(self._component.on_path_lost, name, node, link)

    def on_closing(self, link: RouterLink) -> None:
        """It must not be used any more; the component hears of it at the end of the turn."""
        if self._up.get(link.name) is not link:
            return
        self.counts.down += 1
        del self._up[link.name]
        judgement = self._judgements.pop(link, None)
        if judgement is not None:
            judgement.cancel()
        self._choose()
        self._table.lost_sight(link.name)
        if not self._stopped:
            self.turn.later(self._component.on_link_down, link)

    def _choose(self) -> None:
        """Another set of links is up."""
        self.generation += 1
        self._picks.clear()
        steady = [link.name for link in self._up.values() if not link.draining]
        self._eligible = steady or list(self._up)

    def _judge(self, link: RouterLink) -> None:
        """The router has been in sight for long enough to know of everybody."""
        del self._judgements[link]
        self._tell(self._table.unclaimed())

    def _drain(self, link: RouterLink, node: str) -> None:
        if node == link.name:
            link.draining = True
            self._choose()
            return
        incarnation = self._table.incarnation(node, node)
        if self._drained.get(node, b'') != incarnation:
            self._drained[node] = incarnation
            self._call(self._component.on_drain, node)

    def _tell(self, changes: list[Change]) -> None:
        for up, name, node, incarnation in changes:
            if name == node:
                self._drained.pop(node, None)
                if not up and self.redirects.active:
                    for bounce, link in self.redirects.node_lost(node):
                        self._call(self._component.on_bounce, bounce, link)
            self._call(self._component.on_up if up else self._component.on_down, name, node, incarnation)

    def _call(self, call: Callable[..., None], *arguments: object) -> None:
        try:
            call(*arguments)
        except Exception:
            self.log.failure('{node} failed at news of its links', node=self.node)


def _static(addresses: list[str]) -> Directory:
    try:
        return StaticDirectory(addresses)
    except ValueError as error:
        raise ConfigError(f'link.routers: {error}') from None
