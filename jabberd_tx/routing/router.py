"""The router: hands frames from one attached node to another, to a node itself or to one that serves a name.

It keeps no user state, and forwards the bytes of a frame as they came.  What it can't hand on goes back to
where it came from as a BOUNCE; nothing is dropped but CONFIRM, WORKING and BOUNCE for a node that is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from jabberd_tx.base.metrics import Metrics
from jabberd_tx.base.turn import Turn
from jabberd_tx.link.frames import (
    BUSY,
    NO_LINK,
    Bounce,
    Confirm,
    Drain,
    Fanout,
    Present,
    Route,
    Working,
    encode,
)
from jabberd_tx.link.interfaces import Port
from jabberd_tx.routing.asked import BAD_NAME, CONFLICT, OK, TOO_MANY, Refused, read_options
from jabberd_tx.routing.lanes import BrokenLanes
from jabberd_tx.routing.table import NameTable

MOST_NAME_BYTES = 1023


class Attached:
    """A node that is attached, and the credit that it has granted."""

    __slots__ = ('credit', 'draining', 'local', 'names', 'port', 'send')

    def __init__(self, port: Port) -> None:
        self.port, self.send, self.local = port, port.send, port.local
        self.credit = 0
        self.names: set[str] = set()
        self.draining = False

    def present(self, name: str, up: bool) -> Present:
        return Present(name, self.port.node, self.port.incarnation, up)


class Router:
    """A Switch (link/interfaces.py) for ports of both kinds, TCP and local."""

    log = Logger()

    def __init__(
        self, node: str, clock: IReactorTime, turn: Turn, options: Any, metrics: Metrics, routes: Sequence[Any] = ()
    ) -> None:
        """options: the values of OPTIONS, routes: of ROUTES (routing/options.py)."""
        self.node, self.turn = node, turn
        self._clock, self._options = clock, options
        self._nodes: dict[str, Attached] = {}
        self._names = NameTable(clock, options.policy, routes)
        self._watched = self._names.watched
        self._watching = self._watched.frames  # empty, as a rule
        self._lanes = BrokenLanes()
        self._broken = self._lanes.lanes  # empty, as a rule
        self._frames = metrics.counters(
            'jabberd_router_frames', 'Frames handed on.', 'kind', ('route', 'fanout', 'other')
        )
        self._bounces = metrics.counters(
            'jabberd_router_bounces', 'Frames sent back.', 'reason', ('no-link', 'busy', 'hops')
        )
        self._dropped = metrics.counters(
            'jabberd_router_dropped', 'CONFIRM, WORKING and BOUNCE for a node that was not there.'
        )
        metrics.gauge('jabberd_router_nodes', 'Nodes attached.', lambda: len(self._nodes))
        metrics.gauge('jabberd_router_names', 'Names that somebody serves.', lambda: len(self._names))

    # ---- who is there

    def attach(self, port: Port) -> None:
        """The node has proved itself.  Another port of the same node is ended: whoever comes last is it."""
        if port.node in self._names or port.node == self.node:
            port.end('conflict', f'{port.node} is the name of somebody else')
            return
        older = self._nodes.get(port.node)
        if older is not None:
            self.detach(older.port)
            older.port.end('conflict', f'{port.node} has attached again')
        place = self._nodes[port.node] = Attached(port)
        self._introduce(place)
        self._tell(place.present(port.node, True))

    def detach(self, port: Port) -> None:
        """The node's link is gone; names that it served go to others."""
        place = self._nodes.get(port.node)
        if place is None or place.port is not port:
            return
        del self._nodes[port.node]
        for name in sorted(place.names):
            self._names.unbind(name, port.node)
            self._tell(place.present(name, False))
        self._names.forget(port.node)
        self._tell(place.present(port.node, False))

    def bind(self, port: Port, name: str, options: dict[str, object]) -> str:
        """The outcome for BOUND: 'ok', or why not (docs/routing.md lists them)."""
        place = self._place_of(port)
        if place is None:
            return CONFLICT
        if not 0 < len(name.encode()) <= MOST_NAME_BYTES:
            return BAD_NAME
        if name in self._nodes:
            return OK if name == port.node else CONFLICT
        if len(place.names) >= self._options.names_limit and name not in place.names:
            return TOO_MANY
        try:
            news = self._names.bind(name, port.node, read_options(options))
        except Refused as refused:
            self.log.warn('{node} may not serve {name}: {why}', node=port.node, name=name, why=str(refused))
            return str(refused)
        if news:
            place.names.add(name)
            self._tell(place.present(name, True))
        return OK

    def unbind(self, port: Port, name: str) -> None:
        """The node serves the name no more."""
        place = self._place_of(port)
        if place is not None and name in place.names:
            place.names.remove(name)
            self._names.unbind(name, port.node)
            self._tell(place.present(name, False))

    def drain(self, port: Port) -> None:
        """The node is about to leave: names go to others as far as there are any, and everybody is told."""
        place = self._place_of(port)
        if place is None or place.draining:
            return
        place.draining = True
        self._names.drain(port.node)
        for other in list(self._nodes.values()):
            if other is not place:
                other.send(Drain(port.node))

    def leave(self) -> None:
        """This router itself is about to leave: tell all nodes to choose other routers for new work."""
        self._tell(Drain(self.node))

    @property
    def handed_on(self) -> int:
        """Frames so far."""
        frames = self._frames
        return frames.route + frames.fanout + frames.other

    # ---- frames

    def route(self, port: Port, frame: Route, raw: bytes | None, size: int) -> None:
        """Hand it to the node, or to one that serves the name."""
        place = self._nodes.get(frame.dest)
        if place is None:
            node = self._names.pick(frame)
            if node is None:
                self._bounces.no_link += 1
                self._send_back(port, frame, NO_LINK)
                return
            place = self._nodes[node]
        if place.credit <= 0:
            self._bounces.busy += 1
            self._send_back(port, frame, BUSY)
            return
        if (self._broken or not frame.hops) and not self._may_pass(port, frame):
            return
        if raw is None and not place.local:
            raw = encode(frame)
            size = len(raw)
        place.credit -= size
        self._frames.route += 1
        place.send(frame, raw)

    def fanout(self, port: Port, frame: Fanout, raw: bytes | None, size: int) -> None:
        """Hand it to the node."""
        place = self._nodes.get(frame.dest)
        if place is None or place.credit <= 0:
            if place is None:
                self._bounces.no_link += 1
            else:
                self._bounces.busy += 1
            reason = NO_LINK if place is None else BUSY
            port.send(Bounce(frame.source, '', reason, frame.dest, None, 0, frame.uid, ''))
            return
        if raw is None and not place.local:
            raw = encode(frame)
            size = len(raw)
        place.credit -= size
        self._frames.fanout += 1
        place.send(frame, raw)

    def pass_on(self, port: Port, frame: Confirm | Working | Bounce, raw: bytes | None) -> None:
        """Hand it to the node, whatever its credit."""
        if self._watching:
            self._watched.came_back(frame)
        place = self._nodes.get(frame.dest)
        if place is None:
            self._dropped.total += 1
            return
        self._frames.other += 1
        place.send(frame, raw)

    def credit(self, port: Port, size: int) -> None:
        """The port's node will take so many more bytes of ROUTE and FANOUT."""
        place = self._place_of(port)
        if place is not None:
            place.credit = min(place.credit + size, self._options.credit_limit)

    # ---- inside

    def _place_of(self, port: Port) -> Attached | None:
        """The port's place, unless another port has taken it."""
        place = self._nodes.get(port.node)
        return place if place is not None and place.port is port else None

    def _may_pass(self, port: Port, frame: Route) -> bool:
        """Whether it has hops left and overtakes nothing; otherwise it goes back."""
        if not frame.hops:
            self._bounces.hops += 1
            self._bounce(port, frame, NO_LINK, 'hops')
            return False
        if self._lanes.blocks(frame, self._clock.seconds()):
            # Not noted as broken anew: a lane is let go of in the end though its first never comes again.
            self._bounces.busy += 1
            self._bounce(port, frame, BUSY)
            return False
        return True

    def _send_back(self, port: Port, frame: Route, reason: str) -> None:
        self._lanes.bounced(frame, self._clock.seconds())
        self._bounce(port, frame, reason)

    def _bounce(self, port: Port, frame: Route, reason: str, detail: str = '') -> None:
        if self._watching:
            self._watched.returned(frame)
        port.send(Bounce(frame.source, '', reason, frame.dest, frame.key, frame.epoch, frame.uid, detail))

    def _introduce(self, newcomer: Attached) -> None:
        """Tell a new port who is there already."""
        others = [place for place in self._nodes.values() if place is not newcomer]
        for place in others:
            newcomer.send(place.present(place.port.node, True))
            for name in sorted(place.names):
                newcomer.send(place.present(name, True))
        for place in others:
            if place.draining:
                newcomer.send(Drain(place.port.node))

    def _tell(self, frame: Present | Drain) -> None:
        for place in list(self._nodes.values()):
            place.send(frame)
