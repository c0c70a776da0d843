"""A router and components on one clock, without sockets: for the tests of components and plugins.

network = Network()
sm, c2s = Recorder(network.links('sm-1')), Recorder(network.links('c2s-1'))
sm.links.bind('example.net')
network.settle()
c2s.send('example.net', 'juliet@example.net', stanza)
network.settle()
assert sm.stanzas == [stanza]
"""

from __future__ import annotations

from collections.abc import Sequence
from secrets import token_bytes
from typing import Any

from twisted.internet.task import Clock

from jabberd_tx.base.metrics import Metrics
from jabberd_tx.base.turn import Turn
from jabberd_tx.link.frames import Bounce, Confirm, Fanout, Route, Working, make_uid
from jabberd_tx.link.interfaces import Component, Frame, Link, Switch
from jabberd_tx.link.local import WINDOW, LocalLinks
from jabberd_tx.routing.options import OPTIONS
from jabberd_tx.routing.router import Router
from jabberd_tx.testing.coded import CodedSwitch
from jabberd_tx.xmpp.stanza import Stanza


class Network:
    """clock    a twisted Clock that stands still until it is told to go on
    turn, metrics, router   as a process has them; components get these too
    """

    def __init__(
        self, routes: Sequence[Any] = (), coded: bool = False, node: str = 'router', **options: object
    ) -> None:
        """routes: [[route]] tables.  coded: every frame through real encoding.  options: of [router]."""
        self.clock = Clock()
        self.turn = Turn(self.clock)
        self.metrics = Metrics()
        values = OPTIONS.defaults()
        for name, value in options.items():
            setattr(values, name, value)
        self.router = Router(node, self.clock, self.turn, values, self.metrics, routes)
        self.switch: Switch = CodedSwitch(self.router) if coded else self.router

    def links(self, node: str, window: int = WINDOW) -> LocalLinks:
        """New links for a component, not started."""
        return LocalLinks(node, self.switch, self.turn, window)

    def start(self, node: str, component: Component) -> LocalLinks:
        """Links with that component attached, started."""
        links = self.links(node)
        links.attach(component)
        links.start()
        return links

    def turn_once(self) -> bool:
        """One turn of the reactor: what is due now, and not what that asks for.  False when nothing was due."""
        now = self.clock.seconds()
        due = [call for call in self.clock.calls if call.getTime() <= now]
        for call in due:
            if call.active():
                self.clock.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)
        return bool(due)

    def settle(self, most_turns: int = 10_000) -> None:
        """Turn after turn, until nothing is due at the present time.  AssertionError if that never comes."""
        for _ in range(most_turns):
            if not self.turn_once():
                return
        raise AssertionError(f'still busy after {most_turns} turns')

    def advance(self, seconds: float) -> None:
        """Let time pass, everything at its own time; then settle."""
        end = self.clock.seconds() + seconds
        self.settle()
        while True:
            coming = [call.getTime() for call in self.clock.calls if call.getTime() <= end]
            if not coming:
                break
            self.clock.rightNow = max(self.clock.rightNow, min(coming))
            self.settle()
        self.clock.rightNow = end


class Recorder:
    """A component that keeps what comes to it, and confirms it unless told otherwise.

    frames   ROUTE, FANOUT, CONFIRM, WORKING and BOUNCE, in order
    news     what it heard of others and of its links, in order: ('up', name, node), ('down', name, node),
             ('path lost', name, node, router), ('drain', node), ('link up', router), ('link down', router)
    full     what `congested` answers
    """

    def __init__(self, links: LocalLinks, confirms: bool = True) -> None:
        self.links, self.confirms, self.full = links, confirms, False
        self.frames: list[Frame] = []
        self.news: list[tuple[str, ...]] = []
        self.stream, self._count = token_bytes(16), 0
        links.attach(self)
        links.start()

    # ---- what a test asks

    @property
    def stanzas(self) -> list[Stanza]:
        """The stanzas that came as ROUTE."""
        return [frame.payload for frame in self.routes if isinstance(frame.payload, Stanza)]

    @property
    def routes(self) -> list[Route]:
        return [frame for frame in self.frames if type(frame) is Route]

    @property
    def bounces(self) -> list[Bounce]:
        return [frame for frame in self.frames if type(frame) is Bounce]

    @property
    def confirmed(self) -> list[bytes]:
        """The uids that were confirmed, in order."""
        return [uid for frame in self.frames if type(frame) is Confirm for uid in frame.uids]

    def send(self, dest: str, key: str | bytes | None, stanza: Stanza | bytes, hops: int = 4, flags: int = 0) -> bytes:
        """Send it as a ROUTE with the next uid of this component's own stream; the uid."""
        self._count += 1
        uid = make_uid(self.stream, self._count)
        link = self.links.pick(key if isinstance(key, str) else dest)
        if link is not None:
            link.route(Route(dest, key, self.links.node, 0, uid, hops, flags, stanza))
        return uid

    # ---- Component

    def on_route(self, frame: Route, link: Link) -> None:
        self.frames.append(frame)
        if self.confirms:
            self.links.confirm(frame.source, frame.uid, link)

    def on_fanout(self, frame: Fanout, link: Link) -> None:
        self.frames.append(frame)
        if self.confirms:
            self.links.confirm(frame.source, frame.uid, link)

    def on_confirm(self, frame: Confirm) -> None:
        self.frames.append(frame)

    def on_working(self, frame: Working) -> None:
        self.frames.append(frame)

    def on_bounce(self, frame: Bounce, link: Link) -> None:
        self.frames.append(frame)

    def on_up(self, name: str, node: str, incarnation: bytes) -> None:
        self.news.append(('up', name, node))

    def on_down(self, name: str, node: str, incarnation: bytes) -> None:
        self.news.append(('down', name, node))

    def on_path_lost(self, name: str, node: str, link: Link) -> None:
        self.news.append(('path lost', name, node, link.name))

    def on_drain(self, node: str) -> None:
        self.news.append(('drain', node))

    def on_link_up(self, link: Link) -> None:
        self.news.append(('link up', link.name))

    def on_link_down(self, link: Link) -> None:
        self.news.append(('link down', link.name))

    def congested(self) -> bool:
        return self.full
