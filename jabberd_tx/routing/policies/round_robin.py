"""The policy `round-robin`: one after the other, in proportion to the weights.  For services that keep no state."""

from __future__ import annotations

from heapq import heapify, heapreplace

from zope.interface import implementer

from jabberd_tx.link.frames import Route
from jabberd_tx.routing.policies.interface import IChooser, IRoutingPolicy, Settings


@implementer(IChooser)
class RoundRobinChooser:
    """Each instance has a time of its own, which goes on by 1 / weight with each frame; the one that is furthest
    behind is next.  Who joins begins at the time of the others: it does not get what it has missed."""

    def __init__(self) -> None:
        self._turns: list[tuple[float, str, float]] = []  # a heap: time, node, step

    def join(self, node: str, weight: float) -> None:
        others = [turn for turn in self._turns if turn[1] != node]
        self._turns = [*others, (min(others)[0] if others else 0.0, node, 1.0 / weight)]
        heapify(self._turns)

    def leave(self, node: str) -> None:
        self._turns = [turn for turn in self._turns if turn[1] != node]
        heapify(self._turns)

    def pick(self, frame: Route) -> str:
        time, node, step = self._turns[0]
        heapreplace(self._turns, (time + step, node, step))
        return node

    def close(self) -> None:
        """Holds nothing."""


@implementer(IRoutingPolicy)
class RoundRobinPolicy:
    name = 'round-robin'

    def chooser(self, settings: Settings) -> RoundRobinChooser:
        return RoundRobinChooser()
