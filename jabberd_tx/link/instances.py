"""What serves which name, put together from what several routers say.  No I/O.

Each router in sight claims the instances that are linked to it.  An instance is *known* from the first claim
on, until nobody in sight claims it any more.  To lose sight of a router says nothing about its
instances: they stay known, and when it (or another one) comes back without them, they are given time to come back too.
"""

from __future__ import annotations

from typing import NamedTuple

from jabberd_tx.link.frames import Present

# Incarnations that were followed by another one, remembered so that a router that is behind does not revive them.
MOST_PAST = 4096


class Change(NamedTuple):
    """An instance came (up) or went."""

    up: bool
    name: str
    node: str
    incarnation: bytes


class InstanceTable:
    """The merged view.  Methods return the changes to tell the component, in order."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, bytes]] = {}
        self._claims: dict[tuple[str, str], set[str]] = {}  # (name, node): routers that claim the known incarnation
        self._past: dict[tuple[str, bytes], None] = {}

    def of_name(self, name: str) -> dict[str, bytes]:
        """node -> incarnation of what serves the name."""
        return dict(self._known.get(name, ()))

    def names(self) -> list[str]:
        """Every name that somebody serves, nodes and the default route included."""
        return sorted(self._known)

    def incarnation(self, name: str, node: str) -> bytes | None:
        """The incarnation of one instance, or None."""
        return self._known.get(name, {}).get(node)

    def told(self, router: str, frame: Present) -> list[Change]:
        """A router in sight says that an instance is there, or is gone."""
        return self._came(router, frame) if frame.up else self._went(router, frame)

    def _came(self, router: str, frame: Present) -> list[Change]:
        name, node, incarnation, _ = frame
        if (node, incarnation) in self._past:
            return []
        changes = []
        current = self.incarnation(name, node)
        if current is not None and current != incarnation:
            self._outdate(node, current)
            changes.append(self._forget(name, node, current))
        if current != incarnation:
            self._known.setdefault(name, {})[node] = incarnation
            changes.append(Change(True, name, node, incarnation))
        self._claims.setdefault((name, node), set()).add(router)
        return changes

    def _went(self, router: str, frame: Present) -> list[Change]:
        name, node, incarnation, _ = frame
        if self.incarnation(name, node) != incarnation:
            return []
        claims = self._claims.get((name, node), set())
        claims.discard(router)
        return [] if claims else [self._forget(name, node, incarnation)]

    def _forget(self, name: str, node: str, incarnation: bytes) -> Change:
        nodes = self._known[name]
        del nodes[node]
        if not nodes:
            del self._known[name]
        self._claims.pop((name, node), None)
        return Change(False, name, node, incarnation)

    def _outdate(self, node: str, incarnation: bytes) -> None:
        self._past[node, incarnation] = None
        if len(self._past) > MOST_PAST:
            del self._past[next(iter(self._past))]

    def lost_sight(self, router: str) -> None:
        """The link to a router is gone: its claims don't count, and that is no news about anybody."""
        for claims in self._claims.values():
            claims.discard(router)

    def unclaimed(self) -> list[Change]:
        """Forget what nobody in sight claims.  Called when a router has been in sight for long enough to know."""
        gone = [
            (name, node, incarnation)
            for name, nodes in self._known.items()
            for node, incarnation in nodes.items()
            if not self._claims.get((name, node))
        ]
        return [self._forget(*instance) for instance in gone]
