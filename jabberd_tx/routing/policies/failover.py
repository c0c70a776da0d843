"""The policy `failover`: the first that is up, in configured order.  For active and standby."""

from __future__ import annotations

from collections.abc import Callable

from zope.interface import implementer

from jabberd_tx.link.frames import Route
from jabberd_tx.routing.policies.interface import IRoutingPolicy, ISharingChooser, Settings


@implementer(ISharingChooser)
class FailoverChooser:
    """Nodes that the configuration does not list come after those that it does, in order of their names, so that
    every router chooses the same."""

    def __init__(self, order: tuple[str, ...]) -> None:
        self._rank = {node: rank for rank, node in reversed([*enumerate(order)])}
        self._nodes: set[str] = set()
        self._first = ''

    def join(self, node: str, weight: float) -> None:
        self._nodes.add(node)
        self._choose()

    def leave(self, node: str) -> None:
        self._nodes.remove(node)
        self._choose()

    def pick(self, frame: Route) -> str:
        return self._first

    def share(self, node: str) -> Callable[[Route], bool]:
        has_all = node == self._first
        return lambda frame: has_all

    def close(self) -> None:
        """Holds nothing."""

    def _choose(self) -> None:
        last = len(self._rank)
        self._first = min(self._nodes, key=lambda node: (self._rank.get(node, last), node), default='')


@implementer(IRoutingPolicy)
class FailoverPolicy:
    name = 'failover'

    def chooser(self, settings: Settings) -> FailoverChooser:
        return FailoverChooser(settings.order)
