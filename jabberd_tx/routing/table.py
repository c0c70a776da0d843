"""Names, the instances that serve them, and the policy that picks one for a frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from twisted.internet.interfaces import IReactorTime

from jabberd_tx.base.options import ConfigError
from jabberd_tx.link.frames import Route
from jabberd_tx.routing.asked import CONFLICT, Asked, Refused
from jabberd_tx.routing.policies import IChooser, Settings, found
from jabberd_tx.routing.watched import WatchedFrames


class ServedName:
    """One name.  Instances that drain are picked only while there are no others."""

    __slots__ = (
        '_asked', '_chooser', '_clock', '_configured', '_default', '_draining', '_joined', '_keyless', '_name', '_only',
        '_order', '_watch', 'rule',
    )  # fmt: skip

    def __init__(
        self, name: str, default: str, configured: Any | None, clock: IReactorTime, watched: WatchedFrames
    ) -> None:
        """configured: the name's [[route]], or None.  default: the policy that nobody asked for."""
        self._name, self._default, self._clock, self._watch = name, default, clock, watched.watch
        self._configured: tuple[str, str] = (configured.policy, configured.key) if configured else ('', '')
        self._order: tuple[str, ...] = tuple(configured.order) if configured else ()
        self._asked: dict[str, Asked] = {}  # by node, in order of arrival
        self._draining: set[str] = set()
        self._joined: dict[str, float] = {}  # what the choosers know
        self._only: str | None = None
        self.rule = self._rule()
        self._chooser, self._keyless = self._choosers()

    @property
    def nodes(self) -> Iterable[str]:
        """Where its instances are, those that drain included."""
        return self._asked

    def bind(self, node: str, asked: Asked) -> None:
        """The node serves it now, or asks for something else than before.  Refused('conflict')."""
        for there, others in self._asked.items():
            if there != node and self._differ(asked, others):
                raise Refused(CONFLICT)
        self._asked[node] = asked
        self._settle()

    def unbind(self, node: str) -> None:
        """The node serves it no more."""
        self._asked.pop(node, None)
        self._draining.discard(node)
        self._settle()

    def drain(self, node: str) -> None:
        """The node is about to leave."""
        self._draining.add(node)
        self._settle()

    def pick(self, frame: Route) -> str | None:
        """The node for this frame; None when nobody is there."""
        if self._only is not None or not self._joined:
            return self._only
        node = self._chooser.pick(frame)
        return self._keyless.pick(frame) if node is None else node

    def close(self) -> None:
        """Nobody serves it any more."""
        self._chooser.close()
        self._keyless.close()

    # ---- inside

    def _differ(self, one: Asked, other: Asked) -> bool:
        """Whether they ask for different things, where the configuration has nothing to say."""
        return any(
            not configured and mine and theirs and mine != theirs
            for configured, mine, theirs in zip(self._configured, one[:2], other[:2], strict=True)
        )

    def _rule(self) -> tuple[str, str]:
        """(policy, key): as configured, else as any instance asks, else the default: in whatever order they came."""
        policy, key = self._configured
        for asked in self._asked.values():
            policy, key = policy or asked.policy, key or asked.key
        return policy or self._default, key or 'bare'

    def _choosers(self) -> tuple[IChooser, IChooser]:
        policy, key = self.rule
        settings = Settings(self._name, key == 'full', self._order, self._clock, self._watch)
        return found()[policy].chooser(settings), found()['random'].chooser(settings)

    def _settle(self) -> None:
        """Let the choosers know who is there to be picked, by the rule that holds now."""
        rule = self._rule()
        if rule != self.rule:
            self.close()
            self.rule, self._joined = rule, {}
            self._chooser, self._keyless = self._choosers()
        there = {node: asked.weight for node, asked in self._asked.items()}
        wanted = {node: weight for node, weight in there.items() if node not in self._draining} or there
        for node, weight in wanted.items():
            if self._joined.get(node) != weight:
                self._chooser.join(node, weight)
                self._keyless.join(node, weight)
        for node in self._joined.keys() - wanted.keys():
            self._chooser.leave(node)
            self._keyless.leave(node)
        self._joined = wanted
        self._only = next(iter(wanted)) if len(wanted) == 1 else None


class NameTable:
    """All names that are served.  watched: frames whose fate a policy wants to hear of."""

    def __init__(self, clock: IReactorTime, default: str, routes: Sequence[Any] = ()) -> None:
        """default: the policy of names for which nobody asks one.  routes: the [[route]] tables.

        ConfigError when two of them have the same name.
        """
        self._clock, self._default = clock, default
        self._routes: dict[str, Any] = {}
        for route in routes:
            if self._routes.setdefault(route.name, route) is not route:
                raise ConfigError(f'route.name: expected each name once, not {route.name!r} twice')
        self._names: dict[str, ServedName] = {}
        self._draining: set[str] = set()
        self.watched = WatchedFrames()

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def get(self, name: str) -> ServedName | None:
        """The name, if somebody serves it."""
        return self._names.get(name)

    def items(self) -> list[tuple[str, ServedName]]:
        """Every name that somebody serves."""
        return list(self._names.items())

    def bind(self, name: str, node: str, asked: Asked) -> bool:
        """Whether this is news: the node did not serve the name before.  Refused says why it may not."""
        served = self._names.get(name)
        if served is None:
            configured = self._routes.get(name)
            served = self._names[name] = ServedName(name, self._default, configured, self._clock, self.watched)
        news = node not in served.nodes
        served.bind(node, asked)
        if news and node in self._draining:
            served.drain(node)
        return news

    def unbind(self, name: str, node: str) -> bool:
        """Whether this is news: the node did serve the name."""
        served = self._names.get(name)
        if served is None or node not in served.nodes:
            return False
        served.unbind(node)
        if not served.nodes:
            served.close()
            del self._names[name]
        return True

    def drain(self, node: str) -> None:
        """No name goes to this node any more while somebody else serves it."""
        self._draining.add(node)
        for served in self._names.values():
            if node in served.nodes:
                served.drain(node)

    def forget(self, node: str) -> None:
        """The node is gone, and has been unbound from its names."""
        self._draining.discard(node)

    def pick(self, frame: Route) -> str | None:
        """The node for a frame that is addressed to a name; None when nobody serves it."""
        served = self._names.get(frame.dest)
        return None if served is None else served.pick(frame)
