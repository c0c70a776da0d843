"""Leases in memory: for the instances of one process, and for tests."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from jabberd_tx.storage.leases.interface import Holder, Lease


class MemoryLeases:
    """A LeaseStore.  All is answered at once.

    A slot that nobody has any more is kept for its term: names have as many entries as they have slots."""

    def __init__(self, clock: IReactorTime) -> None:
        self._seconds = clock.seconds
        self._names: dict[str, dict[int, tuple[Lease, float]]] = {}  # until when

    def take(self, name: str, slots: Iterable[int], holder: Holder, seconds: float) -> Deferred[dict[int, Lease]]:
        now, leases = self._seconds(), self._names.setdefault(name, {})
        found = {}
        for slot in slots:
            lease, until = leases.get(slot, (Lease(holder, 0), 0.0))
            if until <= now:
                lease, until = Lease(holder, lease.term + 1), now + seconds
            elif lease.holder == holder:
                until = now + seconds
            leases[slot] = lease, until
            found[slot] = lease
        return succeed(found)

    def renew(self, name: str, slots: Iterable[int], holder: Holder, seconds: float) -> Deferred[Collection[int]]:
        now, leases = self._seconds(), self._names.get(name, {})
        kept = [slot for slot in slots if _has(leases, slot, holder, now)]
        for slot in kept:
            leases[slot] = leases[slot][0], now + seconds
        return succeed(frozenset(kept))

    def give_up(self, name: str, slots: Iterable[int], holder: Holder) -> Deferred[None]:
        now, leases = self._seconds(), self._names.get(name, {})
        for slot in slots:
            if _has(leases, slot, holder, now):
                leases[slot] = leases[slot][0], 0.0
        return succeed(None)

    def holders(self, name: str) -> Deferred[dict[int, Lease]]:
        now = self._seconds()
        return succeed({slot: lease for slot, (lease, until) in self._names.get(name, {}).items() if until > now})


def _has(leases: dict[int, tuple[Lease, float]], slot: int, holder: Holder, now: float) -> bool:
    lease = leases.get(slot)
    return lease is not None and lease[0].holder == holder and lease[1] > now
