"""The policy `random`: anyone, in proportion to the weights.  For services that keep no state."""

from __future__ import annotations

from itertools import accumulate
from random import choices

from zope.interface import implementer

from jabberd_tx.link.frames import Route
from jabberd_tx.routing.policies.interface import IChooser, IRoutingPolicy, Settings


@implementer(IChooser)
class RandomChooser:
    def __init__(self) -> None:
        self._weights: dict[str, float] = {}
        self._nodes: list[str] = []
        self._sums: list[float] = []

    def join(self, node: str, weight: float) -> None:
        self._weights[node] = weight
        self._sum_up()

    def leave(self, node: str) -> None:
        del self._weights[node]
        self._sum_up()

    def pick(self, frame: Route) -> str:
        return choices(self._nodes, cum_weights=self._sums)[0]

    def close(self) -> None:
        """Holds nothing."""

    def _sum_up(self) -> None:
        self._nodes, self._sums = list(self._weights), list(accumulate(self._weights.values()))


@implementer(IRoutingPolicy)
class RandomPolicy:
    name = 'random'

    def chooser(self, settings: Settings) -> RandomChooser:
        return RandomChooser()
