"""A component's links to several routers on one clock: what the pool does over TCP, without sockets."""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_bytes
from typing import Any

from jabberd_tx.base.hashing import rendezvous
from jabberd_tx.base.turn import Turn
from jabberd_tx.link.frames import Bounce, Confirm, Fanout, Present, Route, Working
from jabberd_tx.link.instances import InstanceTable
from jabberd_tx.link.interfaces import Component, Link, Switch
from jabberd_tx.link.local import LocalLinks


class _Ear:
    """The component that one router's link sees: passes everything on, but for news, which are merged."""

    def __init__(self, links: SeveralLinks, router: str) -> None:
        self._links, self._router = links, router
        component = links.component
        self.on_route: Callable[[Route, Link], None] = component.on_route
        self.on_fanout: Callable[[Fanout, Link], None] = component.on_fanout
        self.on_confirm: Callable[[Confirm], None] = component.on_confirm
        self.on_working: Callable[[Working], None] = component.on_working
        self.on_bounce: Callable[[Bounce, Link], None] = component.on_bounce
        self.congested = component.congested
        self.on_drain = component.on_drain

    def on_up(self, name: str, node: str, incarnation: bytes) -> None:
        self._links.told(self._router, Present(name, node, incarnation, True))

    def on_down(self, name: str, node: str, incarnation: bytes) -> None:
        self._links.told(self._router, Present(name, node, incarnation, False))

    def on_link_up(self, link: Link) -> None:
        self._links.came(self._router, link)

    def on_link_down(self, link: Link) -> None:
        self._links.went(self._router, link)


class SeveralLinks:
    """link.interfaces.Links over one LocalLinks a router.  `cut` and `mend` do what a network does."""

    def __init__(self, node: str, switches: dict[str, Switch | None], turn: Turn, confirm_delay: float = 0.0) -> None:
        """switches: by name; None while that router is down.  confirm_delay: seconds that CONFIRM is held back."""
        self.node, self.incarnation = node, token_bytes(16)
        self.generation = 0
        self.component: Component
        self._switches, self._turn, self._confirm_delay = switches, turn, confirm_delay
        self._parts: dict[str, LocalLinks] = {}
        self._up: dict[str, Link] = {}
        self._table = InstanceTable()
        self._bound: dict[str, tuple[Any, ...]] = {}

    def attach(self, component: Component) -> None:
        self.component = component

    def start(self) -> None:
        for router in self._switches:
            self.mend(router)

    def stop(self) -> None:
        for router in list(self._parts):
            self.cut(router)

    def mend(self, router: str) -> None:
        """Connect to that router, if there is no link to it."""
        switch = self._switches[router]
        if router in self._parts or switch is None:
            return
        part = self._parts[router] = LocalLinks(self.node, switch, self._turn)
        part.incarnation = self.incarnation
        part.attach(_Ear(self, router))  # type: ignore[arg-type]
        part.start()
        for name, (policy, options) in self._bound.items():
            part.bind(name, policy, **options)

    def cut(self, router: str) -> None:
        """Lose the link to that router, and what is under way on it."""
        part = self._parts.pop(router, None)
        if part is not None:
            part.stop()

    def has(self, router: str) -> bool:
        """Whether there is a link to that router."""
        return router in self._parts

    # ---- news

    def came(self, router: str, link: Link) -> None:
        self._up[router] = link
        self.generation += 1
        self.component.on_link_up(link)
        # What it knows of others follows within the turn; then nobody else is there.
        self._turn.reactor.callLater(0.5, self._judge)  # type: ignore[attr-defined]

    def went(self, router: str, link: Link) -> None:
        if self._up.get(router) is link:
            del self._up[router]
        self.generation += 1
        self._table.lost_sight(router)
        self.component.on_link_down(link)

    def told(self, router: str, frame: Present) -> None:
        if router not in self._up:
            return
        changes = self._table.told(router, frame)
        self._tell(changes)
        if not frame.up and not changes and self._table.incarnation(frame.name, frame.node) == frame.incarnation:
            self.component.on_path_lost(frame.name, frame.node, self._up[router])

    def _judge(self) -> None:
        if self._up:
            self._tell(self._table.unclaimed())

    def _tell(self, changes: list[Any]) -> None:
        for up, name, node, incarnation in changes:
            (self.component.on_up if up else self.component.on_down)(name, node, incarnation)

    # ---- Links

    def bind(self, name: str, policy: str | None = None, **options: object) -> None:
        self._bound[name] = policy, options
        for part in self._parts.values():
            part.bind(name, policy, **options)

    def unbind(self, name: str) -> None:
        del self._bound[name]
        for part in self._parts.values():
            part.unbind(name)

    def pick(self, key: str, avoid: Link | None = None) -> Link | None:
        names = [name for name, link in self._up.items() if link.up]
        chosen = self._up[rendezvous(key, names)] if names else None
        if chosen is not None and chosen is avoid:
            names = [name for name in names if self._up[name] is not avoid]
            chosen = self._up[rendezvous(key, names)] if names else None
        return chosen

    def reachable(self, name: str) -> bool:
        return bool(self.instances(name) or self.instances('*'))

    def instances(self, name: str) -> dict[str, bytes]:
        return self._table.of_name(name)

    def confirm(self, node: str, uid: bytes, via: Link | None = None) -> None:
        if self._confirm_delay:
            clock = self._turn.reactor
            clock.callLater(self._confirm_delay, self._confirm, node, uid, via)  # type: ignore[attr-defined]
        else:
            self._confirm(node, uid, via)

    def _confirm(self, node: str, uid: bytes, via: Link | None) -> None:
        part = self._way(node, via)
        if part is not None:
            part.confirm(node, uid)

    def failed(self, node: str, uid: bytes, sessions: list[bytes], via: Link | None = None) -> None:
        part = self._way(node, via)
        if part is not None:
            part.failed(node, uid, sessions)

    def working(self, node: str, uids: list[bytes]) -> None:
        part = self._way(node, None)
        if part is not None:
            part.working(node, uids)

    def bounce(self, frame: Route, reason: str, detail: str = '', via: Link | None = None) -> None:
        part = self._way(frame.source, via)
        if part is not None:
            part.bounce(frame, reason, detail)

    def drain(self) -> None:
        for part in self._parts.values():
            part.drain()

    def _way(self, node: str, via: Link | None) -> LocalLinks | None:
        link = via if via is not None and via.up else self.pick(node)
        return self._parts.get(link.name) if link is not None else None
