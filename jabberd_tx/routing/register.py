"""Who is attached to a router, what they serve, and what all are told of that.

docs/routing.md and docs/filters.md say what BIND may ask for; aliases, the default route and REDIRECT are here as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from secrets import token_bytes
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from jabberd_tx.base.metrics import Metrics
from jabberd_tx.link.frames import DEFAULT_ROUTE, EVERY_INSTANCE, Drain, Present, Redirect
from jabberd_tx.link.interfaces import Port
from jabberd_tx.link.redirects import LONGEST, RedirectTable
from jabberd_tx.routing.access import AccessRules
from jabberd_tx.routing.asked import BAD_NAME, BAD_OPTION, CONFLICT, NOT_ALLOWED, OK, TOO_MANY, Refused, read_options
from jabberd_tx.routing.held import Held
from jabberd_tx.routing.log_sinks import LogSinks
from jabberd_tx.routing.other_names import OtherNames
from jabberd_tx.routing.served_name import ServedName
from jabberd_tx.routing.table import NameTable

MOST_NAME_BYTES = 1023


class Attached:
    """A node that is attached, and the credit that it has granted."""

    __slots__ = ('credit', 'draining', 'local', 'logs', 'names', 'port', 'refusals', 'send')

    def __init__(self, port: Port) -> None:
        self.port, self.send, self.local = port, port.send, port.local
        self.credit = self.refusals = 0
        self.names: set[str] = set()
        self.logs: set[str] = set()  # those of them for which it gets copies
        self.draining = False

    def present(self, name: str, up: bool) -> Present:
        return Present(name, self.port.node, self.port.incarnation, up)


class Register:
    """The half of a Switch (link/interfaces.py) that no frame goes through.

    access   who may bind what; to be replaced when the configuration changes
    """

    log = Logger()

    def __init__(
        self,
        node: str,
        clock: IReactorTime,
        options: Any,
        metrics: Metrics,
        routes: Sequence[Any],
        aliases: Sequence[Any],
        access: AccessRules | None,
        look: Callable[[], None],
        deliver: Callable[[str, Held], None],
        give_up: Callable[[Held], None],
    ) -> None:
        """options: the values of OPTIONS, routes: of ROUTES (routing/options.py), aliases: of ALIASES.  look: called
        when there are other log sinks; deliver, give_up: with frames that were held for a slot (NameTable)."""
        self.node = node
        self.access = access or AccessRules()
        self._clock, self._options, self._look_at_sinks = clock, options, look
        self._nodes: dict[str, Attached] = {}
        self._names = NameTable(clock, options.policy, routes, deliver, give_up)
        self._incarnation = token_bytes(16)
        self._others = OtherNames(options.default, aliases)
        self._redirects = RedirectTable(clock.seconds)
        self._sinks = LogSinks(metrics)
        metrics.gauge('jabberd_router_nodes', 'Nodes attached.', lambda: len(self._nodes))
        metrics.gauge('jabberd_router_names', 'Names that somebody serves.', lambda: len(self._names))
        metrics.gauge('jabberd_router_held', 'Frames that wait for a slot.', lambda: self._names.held)

    @property
    def places(self) -> Mapping[str, Attached]:
        """The nodes that are attached, by name."""
        return self._nodes

    @property
    def parts(self) -> tuple[NameTable, OtherNames, RedirectTable]:
        """What names mean here: for those who look on."""
        return self._names, self._others, self._redirects

    def rename(self, default: str, aliases: Sequence[Any]) -> None:
        """Another default route ('' for the one that was bound, if any) and other aliases."""
        before = self._advertised()
        self._others.replace(default, aliases)
        self._advertise(before)

    # ---- who is there

    def attach(self, port: Port) -> None:
        """The node has proved itself.  Another port of the same node is ended: whoever comes last is it."""
        if port.node in self._names or port.node in (self.node, DEFAULT_ROUTE):
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
        self._sinks.discard(port.node)
        self._look_at_sinks()
        for name in sorted(place.names):
            self._unbind(place, name)
        self._names.forget(port.node)
        for name in self._redirects.end(port.node):
            self._tell(Redirect(name, port.node, 0))
        self._tell(place.present(port.node, False))

    def bind(self, port: Port, name: str, options: dict[str, object]) -> str:
        """The outcome for BOUND: 'ok', or why not (docs/routing.md lists them)."""
        place = self._place_of(port)
        if place is None:
            return CONFLICT
        if not 0 < len(name.encode()) <= MOST_NAME_BYTES or name == DEFAULT_ROUTE or name.endswith(EVERY_INSTANCE):
            return BAD_NAME
        if name in self._nodes:
            return OK if name == port.node else CONFLICT
        if len(place.names) >= self._options.names_limit and name not in place.names:
            return TOO_MANY
        outcome = self._admit(place, name, options)
        if outcome != OK:
            self._refused(place, 'serve', name, outcome)
        return outcome

    def _admit(self, place: Attached, name: str, options: dict[str, object]) -> str:
        port, default, log = place.port, options.get('default') or False, options.get('log') or False
        if not port.local and not self.access.may_bind(port.node, name, options):
            return NOT_ALLOWED
        if type(default) is not bool or type(log) is not bool:
            return BAD_OPTION
        if default and not self._others.may_be_default(name):
            return CONFLICT
        before = self._advertised() if default and self._others.default != name else None
        try:
            rest = {option: value for option, value in options.items() if option not in ('default', 'log')}
            news = self._names.bind(name, port.node, read_options(rest))
        except Refused as refused:
            return str(refused)
        if news:
            place.names.add(name)
        self._set_sink(place, name, log)
        if before is not None:
            self._others.default = name
            self._advertise(before)
        elif news:
            self._tell_all(place, self._others.known_as(name), True)
        return OK

    def unbind(self, port: Port, name: str) -> None:
        """The node serves the name no more."""
        place = self._place_of(port)
        if place is not None and name in place.names:
            place.names.remove(name)
            self._unbind(place, name)
            self._set_sink(place, name, False)

    def _unbind(self, place: Attached, name: str) -> None:
        self._names.unbind(name, place.port.node)
        self._tell_all(place, self._others.known_as(name), False)
        served = self._names.get(name)
        if served is None or not served.nodes:
            self._others.forget(name)

    def _set_sink(self, place: Attached, name: str, log: bool) -> None:
        """Whether it gets copies, by this name."""
        if log:
            place.logs.add(name)
            self._sinks.add(place)
        else:
            place.logs.discard(name)
            if not place.logs:
                self._sinks.discard(place.port.node)
        self._look_at_sinks()

    def redirect(self, port: Port, frame: Redirect) -> None:
        """Pass it on to all others, if the node may: addresses of its own names, and by access rules all others."""
        place = self._place_of(port)
        if place is None:
            return
        name, node, seconds = frame
        domain = name.partition('/')[0].rpartition('@')[2]
        own = domain in place.names or name == port.node
        if not (own or port.local or self.access.may_redirect(port.node)):
            self._refused(place, 'redirect', name, NOT_ALLOWED)
            return
        if seconds and node not in self._nodes:
            return  # it would lead nowhere
        self._redirects.put(frame)
        for other in list(self._nodes.values()):
            if other is not place:
                other.send(Redirect(name, node, min(seconds, LONGEST)))

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

    # ---- for an operator

    def served(self) -> list[tuple[str, ServedName]]:
        """All names that somebody serves."""
        return self._names.items()

    # ---- inside

    def _refused(self, place: Attached, what: str, name: str, why: str) -> None:
        """Log it: of one node the 1st, 2nd, 4th, … time."""
        place.refusals += 1
        if place.refusals & (place.refusals - 1) == 0:
            self.log.warn(
                '{node} may not {what} {name}: {why} ({count} refused so far)',
                node=place.port.node, what=what, name=name, why=why, count=place.refusals,
            )  # fmt: skip

    def _place_of(self, port: Port) -> Attached | None:
        """The port's place, unless another port has taken it."""
        place = self._nodes.get(port.node)
        return place if place is not None and place.port is port else None

    # ---- what nodes are told

    def _introduce(self, newcomer: Attached) -> None:
        """Tell a new port who is there already."""
        others = [place for place in self._nodes.values() if place is not newcomer]
        for place in others:
            newcomer.send(place.present(place.port.node, True))
            for name in sorted(place.names):
                for known in self._others.known_as(name):
                    newcomer.send(place.present(known, True))
        # Where frames may wait though nobody serves the name, the router stands in for it.
        for name in self._names.waiting_names():
            for known in self._others.known_as(name):
                newcomer.send(Present(known, self.node, self._incarnation, True))
        for place in others:
            if place.draining:
                newcomer.send(Drain(place.port.node))
        now = self._clock.seconds()
        for name, way in self._redirects.ways.items():
            if way.until - now >= 1:
                newcomer.send(Redirect(name, way.node, int(way.until - now)))

    def _advertised(self) -> dict[tuple[str, str], Attached]:
        """All names that nodes were told of, with the instances."""
        return {
            (known, node): place
            for node, place in self._nodes.items()
            for name in place.names
            for known in self._others.known_as(name)
        }

    def _advertise(self, before: dict[tuple[str, str], Attached]) -> None:
        """Tell what has changed."""
        after = self._advertised()
        for known, node in sorted(before.keys() - after.keys()):
            self._tell(before[known, node].present(known, False))
        for known, node in sorted(after.keys() - before.keys()):
            self._tell(after[known, node].present(known, True))

    def _tell_all(self, place: Attached, names: Sequence[str], up: bool) -> None:
        for name in names:
            self._tell(place.present(name, up))

    def _tell(self, frame: Present | Drain | Redirect) -> None:
        for place in list(self._nodes.values()):
            place.send(frame)
