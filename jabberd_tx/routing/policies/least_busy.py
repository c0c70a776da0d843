"""The policy `least-busy`: whoever has the fewest frames to confirm, by weight.  For services that keep no state."""

from __future__ import annotations

from zope.interface import implementer

from jabberd_tx.link.frames import Route, confirmation
from jabberd_tx.routing.policies.interface import IRoutingPolicy, IWatchingChooser, Settings

# Frames of one instance that are remembered; the oldest is forgotten beyond.
MOST = 4096
# After so many seconds a frame counts no more: its confirmation may have taken another router.
FORGOTTEN = 60.0


class _Instance:
    """What went to one instance and has not come back: uid -> when it went, oldest first."""

    __slots__ = ('node', 'out', 'share')

    def __init__(self, node: str, weight: float) -> None:
        self.node, self.share = node, 1.0 / weight
        self.out: dict[bytes, float] = {}


@implementer(IWatchingChooser)
class LeastBusyChooser:
    """Of those that are equally busy, the one that was not picked for the longest time."""

    def __init__(self, settings: Settings) -> None:
        self._seconds, self._watch = settings.clock.seconds, settings.watch
        self._instances: dict[str, _Instance] = {}
        self._order: list[_Instance] = []
        self._swept = 0.0

    def join(self, node: str, weight: float) -> None:
        known = self._instances.get(node)
        if known is not None:
            known.share = 1.0 / weight
            return
        one = self._instances[node] = _Instance(node, weight)
        self._order.insert(0, one)

    def leave(self, node: str) -> None:
        self._order.remove(self._instances.pop(node))

    def pick(self, frame: Route) -> str:
        now, order = self._seconds(), self._order
        if now - self._swept >= 1.0:
            self._sweep(now)
        at = 0
        least = len(order[0].out) * order[0].share
        for place in range(1, len(order)):
            one = order[place]
            load = len(one.out) * one.share
            if load < least:
                at, least = place, load
        picked = order.pop(at)
        order.append(picked)
        out = picked.out
        if len(out) >= MOST:
            del out[next(iter(out))]
        out[confirmation(frame)] = now
        self._watch(frame, self)
        return picked.node

    def settled(self, node: str, uid: bytes) -> None:
        # A component may serve the name over several nodes, and confirm over another than it was sent to.
        for one in self._order:
            one.out.pop(uid, None)

    def close(self) -> None:
        """Holds nothing that outlives it."""

    def _sweep(self, now: float) -> None:
        self._swept = now
        for one in self._order:
            while one.out and one.out[oldest := next(iter(one.out))] + FORGOTTEN <= now:
                del one.out[oldest]


@implementer(IRoutingPolicy)
class LeastBusyPolicy:
    name = 'least-busy'

    def chooser(self, settings: Settings) -> LeastBusyChooser:
        return LeastBusyChooser(settings)
