"""All names, and who is picked for a frame to one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IReactorTime

from jabberd_tx.base.options import ConfigError
from jabberd_tx.link.frames import Route
from jabberd_tx.routing.asked import Asked
from jabberd_tx.routing.held import Held
from jabberd_tx.routing.served_name import ServedName, Surroundings
from jabberd_tx.routing.watched import WatchedFrames


def _to_nobody(node: str, held: Held) -> None:
    """Where nothing is held."""


def _not_at_all(held: Held) -> None:
    """Where nothing is held."""


class NameTable:
    """All names that are served.  watched: frames whose fate a policy wants to hear of."""

    def __init__(
        self,
        clock: IReactorTime,
        default: str,
        routes: Sequence[Any] = (),
        deliver: Callable[[str, Held], None] = _to_nobody,
        bounce: Callable[[Held], None] = _not_at_all,
    ) -> None:
        """default: the policy of names for which nobody asks one.  routes: the [[route]] tables.
        deliver, bounce: what to do with frames that were held, when their slot is back or has been away for too long.

        ConfigError when two of the routes have the same name.
        """
        self.watched = WatchedFrames()
        self._surroundings = Surroundings(clock, default, self.watched, deliver, bounce)
        self._routes: dict[str, Any] = {}
        for route in routes:
            if self._routes.setdefault(route.name, route) is not route:
                raise ConfigError(f'route.name: expected each name once, not {route.name!r} twice')
        self._names: dict[str, ServedName] = {}
        self._draining: set[str] = set()
        # Names with slots stand for the life of the router: it remembers who had which, and may hold frames for them.
        for route in routes:
            if route.slots:
                self._names[route.name] = ServedName(route.name, route, self._surroundings)

    def __len__(self) -> int:
        return len(self.items())

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def get(self, name: str) -> ServedName | None:
        """The name, if somebody serves it, or its slots are configured."""
        return self._names.get(name)

    def items(self) -> list[tuple[str, ServedName]]:
        """Every name that somebody serves."""
        return [(name, served) for name, served in self._names.items() if served.nodes]

    def waiting_names(self) -> list[str]:
        """Those for which frames may wait though nobody serves them."""
        return sorted([name for name, served in self._names.items() if served.waits])

    @property
    def held(self) -> int:
        """Frames that wait for a slot."""
        return sum([served.held for served in self._names.values()])

    def bind(self, name: str, node: str, asked: Asked) -> bool:
        """Whether this is news: the node did not serve the name before.  Refused says why it may not."""
        served = self._names.get(name)
        if served is None:
            served = self._names[name] = ServedName(name, self._routes.get(name), self._surroundings)
        news = node not in served.nodes
        try:
            served.bind(node, asked)
        finally:
            self._let_go(name, served)
        if news and node in self._draining:
            served.drain(node)
        return news

    def unbind(self, name: str, node: str) -> bool:
        """Whether this is news: the node did serve the name."""
        served = self._names.get(name)
        if served is None or node not in served.nodes:
            return False
        served.unbind(node)
        self._let_go(name, served)
        return True

    def _let_go(self, name: str, served: ServedName) -> None:
        """Of a name that nobody serves, unless its slots are configured."""
        if not served.nodes and not (name in self._routes and self._routes[name].slots):
            served.close()
            del self._names[name]

    def drain(self, node: str) -> None:
        """No name goes to this node any more while somebody else serves it."""
        self._draining.add(node)
        for served in self._names.values():
            if node in served.nodes:
                served.drain(node)

    def forget(self, node: str) -> None:
        """The node is gone, and has been unbound from its names."""
        self._draining.discard(node)
        for served in self._names.values():
            served.forget(node)

    def pick(self, frame: Route) -> str | None:
        """The node for a frame that is addressed to a name; None when nobody serves it, '' when its slot is absent."""
        served = self._names.get(frame.dest)
        return None if served is None else served.pick(frame)

    def holds_back(self, name: str) -> bool:
        """Whether a frame for the name that nobody was picked for may have to wait: it is for nobody else."""
        served = self._names.get(name)
        return served is not None and served.holds_back

    def wait(self, name: str, held: Held) -> str | None:
        """What becomes of a frame for such a name that nobody was picked for: HELD (it is kept), FULL or ABSENT
        (routing/held.py); None when nobody serves the name, and nothing waits for that."""
        return self._names[name].wait(held)

    def take_after(self, name: str, refused: Route) -> list[Held]:
        """What waits and must go back too, after a frame that found no room."""
        return self._names[name].take_after(refused)
