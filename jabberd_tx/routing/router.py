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
    ABSENT,
    BUSY,
    DENIED,
    EVERY_INSTANCE,
    HOPS,
    NO_LINK,
    Bounce,
    Confirm,
    Fanout,
    Route,
    Working,
    encode,
)
from jabberd_tx.link.interfaces import Port
from jabberd_tx.routing.access import AccessRules
from jabberd_tx.routing.filters import ALLOW, DENY, FilterRules
from jabberd_tx.routing.held import FULL, HELD, Held
from jabberd_tx.routing.lanes import BrokenLanes
from jabberd_tx.routing.other_names import is_addressed
from jabberd_tx.routing.register import Attached, Register


class Router(Register):
    """A Switch (link/interfaces.py) for ports of both kinds, TCP and local.

    filters   the rules that hold; `filter_by` sets others
    """

    log = Logger()

    def __init__(
        self,
        node: str,
        clock: IReactorTime,
        turn: Turn,
        options: Any,
        metrics: Metrics,
        routes: Sequence[Any] = (),
        aliases: Sequence[Any] = (),
        access: AccessRules | None = None,
    ) -> None:
        """options: the values of OPTIONS, routes: of ROUTES (routing/options.py), aliases: of ALIASES."""
        held = self._hand_over_held, self._give_up_held
        super().__init__(node, clock, options, metrics, routes, aliases, access, self._look, *held)
        self.turn = turn
        self._watched = self._names.watched
        self._watching = self._watched.frames  # empty, as a rule
        self._lanes = BrokenLanes()
        self.filters = FilterRules()
        # Whether a frame needs more than to be handed on: of the next two the stanza path looks at one.
        self._watchful = False  # broken lanes, filters or sinks
        self._looks_in = False  # filters or sinks
        self._frames = metrics.counters(
            'jabberd_router_frames', 'Frames handed on.', 'kind', ('route', 'fanout', 'other')
        )
        self._bounces = metrics.counters(
            'jabberd_router_bounces', 'Frames sent back.', 'reason', ('no-link', 'busy', 'hops', 'denied', 'absent')
        )
        self._dropped = metrics.counters(
            'jabberd_router_dropped', 'CONFIRM, WORKING and BOUNCE for a node that was not there.'
        )

    # ---- configuration that changes

    def filter_by(self, filters: FilterRules) -> None:
        """Other filter rules, from the next frame on."""
        self.filters = filters
        self._look()

    @property
    def handed_on(self) -> int:
        """Frames so far."""
        frames = self._frames
        return frames.route + frames.fanout + frames.other

    # ---- frames

    def route(self, port: Port, frame: Route, raw: bytes | None, size: int) -> None:
        """Hand it to the node, or to one that serves the name."""
        if self._watchful or not frame.hops:
            self._route_carefully(port, frame, raw, size)
            return
        place = self._nodes.get(frame.dest)
        if place is None:
            node = self._names.pick(frame) or self._pick_otherwise(port, frame)
            if not node:
                self._route_nowhere(port, frame, raw, size)
                return
            place = self._nodes[node]
        if place.credit <= 0:
            self._bounces.busy += 1
            self._send_back(port, frame, BUSY)
            return
        if raw is None and not place.local:
            raw = encode(frame)
            size = len(raw)
        place.credit -= size
        self._frames.route += 1
        place.send(frame, raw)

    def _route_carefully(self, port: Port, frame: Route, raw: bytes | None, size: int) -> None:
        """The same, with all that may be in the way, and with copies."""
        rule = self.filters.judge(frame) if self.filters else None
        place = None
        if rule is not None and rule.action != ALLOW:
            if rule.action == DENY:
                self._bounces.denied += 1
                self._bounce(port, frame, DENIED, rule.condition)
                return
            place = self._redirected(port, frame, rule.target)
        place = place or self._nodes.get(frame.dest)
        if place is None:
            node = self._names.pick(frame) or self._pick_otherwise(port, frame)
            if not node:
                self._route_nowhere(port, frame, raw, size)
                return
            place = self._nodes[node]
        if place.credit <= 0:
            self._bounces.busy += 1
            self._send_back(port, frame, BUSY)
        elif self._may_pass(port, frame):
            self._hand_on(place, frame, raw, size)
            if self._sinks:
                self._sinks.copy(frame, raw, size)

    def _redirected(self, port: Port, frame: Route, target: str) -> Attached | None:
        """By a filter rule: an instance of the target.  None when the frame comes from one, or there is none."""
        place = self._nodes.get(port.node)
        if place is None or target == port.node or target in place.names:
            return None
        node = target if target in self._nodes else self._names.pick(frame._replace(dest=target))
        return self._nodes[node] if node else None

    def _pick_otherwise(self, port: Port, frame: Route) -> str | None:
        """The node for a name that nobody serves: by its alias, or the default route.  What comes from an instance of
        that does not go back there.  None or '' when nobody is there; what is for an absent slot is for nobody else."""
        others, dest = self._others, frame.dest
        if dest.endswith(EVERY_INSTANCE) or self._names.holds_back(dest):
            return None
        target = others.alias_of(dest)
        node = None
        if target is not None:
            node = target if target in self._nodes else self._names.pick(frame._replace(dest=target))
        if node is None and others.default and others.default not in self._nodes[port.node].names:
            node = self._names.pick(frame._replace(dest=others.default)) if is_addressed(frame) else None
        return node

    def _route_nowhere(self, port: Port, frame: Route, raw: bytes | None, size: int) -> None:
        """To nobody; or, where that is asked for, to all instances of a name that have credit."""
        dest = frame.dest
        served = self._names.get(dest.removesuffix(EVERY_INSTANCE)) if dest.endswith(EVERY_INSTANCE) else None
        if served is None or not served.nodes:
            self._wait_for_slot(port, frame, raw, size)
            return
        able = [place for node in list(served.nodes) if (place := self._nodes[node]).credit > 0]
        if not able:
            self._bounces.busy += 1
            self._send_back(port, frame, BUSY)
        elif self._may_pass(port, frame):
            for place in able:
                self._hand_on(place, frame, raw, size)
            if self._sinks:
                self._sinks.copy(frame, raw, size)

    def _wait_for_slot(self, port: Port, frame: Route, raw: bytes | None, size: int) -> None:
        """Keep what is for a slot that is absent, if it may wait; all else goes back."""
        names = [frame.dest, self._others.alias_of(frame.dest)]
        if self._others.default not in self._nodes[port.node].names and is_addressed(frame):
            names.append(self._others.default)
        name = next((name for name in names if name and self._names.holds_back(name)), None)
        fate: str | None = None
        if name is not None:
            if (self._watchful or not frame.hops) and not self._may_pass(port, frame):
                return
            fate = self._names.wait(name, Held(port, frame, raw, size))
        if fate == ABSENT:
            self._bounces.absent += 1
            self._bounce(port, frame, NO_LINK, ABSENT)
        elif fate == FULL and name is not None:
            later = self._names.take_after(name, frame)
            self._bounces.busy += 1 + len(later)
            self._send_back(port, frame, BUSY)
            for held in later:
                self._bounce(held.port, held.frame, BUSY)
        elif fate != HELD:
            self._bounces.no_link += 1
            self._send_back(port, frame, NO_LINK)

    def _hand_over_held(self, node: str, held: Held) -> None:
        """Its slot is back."""
        port, frame, raw, size = held
        place = self._nodes[node]
        if place.credit <= 0:
            self._bounces.busy += 1
            self._send_back(port, frame, BUSY)
            return
        if self._watchful and not self._may_pass(port, frame):
            return  # there was no room for one before it
        self._hand_on(place, frame, raw, size)
        if self._sinks:
            self._sinks.copy(frame, raw, size)

    def _give_up_held(self, held: Held) -> None:
        """Its slot was away for too long."""
        self._bounces.absent += 1
        self._bounce(held.port, held.frame, NO_LINK, ABSENT)

    def _hand_on(self, place: Attached, frame: Route | Fanout, raw: bytes | None, size: int) -> None:
        if raw is None and not place.local:
            raw = encode(frame)
            size = len(raw)
        place.credit -= size
        self._frames.route += 1
        place.send(frame, raw)

    def fanout(self, port: Port, frame: Fanout, raw: bytes | None, size: int) -> None:
        """Hand it to the node."""
        if self._looks_in:
            passed, rule = self.filters.judge_targets(frame) if self.filters else (frame.targets, None)
            if not passed and rule is not None:
                self._bounces.denied += 1
                port.send(Bounce(frame.source, '', DENIED, frame.dest, None, 0, frame.uid, rule.condition))
                return
            if len(passed) < len(frame.targets):
                frame = frame._replace(targets=passed)
                raw = encode(frame)
                size = len(raw)
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
        if self._looks_in and self._sinks:
            self._sinks.copy(frame, raw, size)

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

    def _may_pass(self, port: Port, frame: Route) -> bool:
        """Whether it has hops left and overtakes nothing; otherwise it goes back."""
        if not frame.hops:
            self._bounces.hops += 1
            self._bounce(port, frame, NO_LINK, HOPS)
            return False
        blocked = self._lanes.blocks(frame, self._clock.seconds())
        self._look()
        if blocked:
            # Not noted as broken anew: a lane is let go of in the end though its first never comes again.
            self._bounces.busy += 1
            self._bounce(port, frame, BUSY)
            return False
        return True

    def _send_back(self, port: Port, frame: Route, reason: str) -> None:
        self._lanes.bounced(frame, self._clock.seconds())
        self._watchful = True
        self._bounce(port, frame, reason)

    def _bounce(self, port: Port, frame: Route, reason: str, detail: str = '') -> None:
        if self._watching:
            self._watched.returned(frame)
        port.send(Bounce(frame.source, '', reason, frame.dest, frame.key, frame.epoch, frame.uid, detail))

    def _look(self) -> None:
        """What frames have to be looked at for."""
        self._looks_in = bool(self.filters or self._sinks)
        self._watchful = self._looks_in or bool(self._lanes.lanes)
