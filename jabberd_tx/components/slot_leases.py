"""The slots of an exclusive name that one instance has: taken when they are wanted, kept for as long as it lives.

A slot counts as ours for as long as its lease lasts by our own clock, reckoned from before the store was asked.  So a
process that stood still knows, when it goes on, that it has nothing any more.
"""

from __future__ import annotations

from collections.abc import Callable
from random import uniform

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from jabberd_tx.storage.leases.interface import Holder, LeaseStore

# How long a lease lasts, and how often it is renewed.
SECONDS, RENEW_EVERY = 6.0, 2.0
# How long another's lease is taken for granted without asking again.
BELIEVED = 1.0


def _unheard(slot: int) -> None:
    """Nobody wants to know."""


class SlotLeases:
    """See the module's text.  name, holder: as they were given."""

    log = Logger()

    def __init__(
        self,
        store: LeaseStore,
        name: str,
        holder: Holder,
        clock: IReactorTime,
        gained: Callable[[int], None] = _unheard,
        lost: Callable[[int], None] = _unheard,
    ) -> None:
        """holder: this instance.  gained, lost: told of each slot, in this order."""
        self._store, self.name, self.holder, self._clock = store, name, holder, clock
        self._gained, self._lost = gained, lost
        self._until: dict[int, float] = {}  # ours
        self._others: dict[int, tuple[str, float]] = {}  # node, and until when we believe that
        self._timer: IDelayedCall | None = None
        self._stopped = False

    @property
    def slots(self) -> list[int]:
        """Ours, now."""
        now = self._clock.seconds()
        return sorted([slot for slot, until in self._until.items() if until > now])

    def has(self, slot: int) -> bool:
        """Whether it is ours, now."""
        until = self._until.get(slot)
        if until is None:
            return False
        if until > self._clock.seconds():
            return True
        self._lose(slot)
        return False

    def known_holder(self, slot: int) -> str:
        """The node of another that had it a moment ago; '' if we know of none."""
        node, until = self._others.get(slot, ('', 0.0))
        if until <= self._clock.seconds():
            self._others.pop(slot, None)
            return ''
        return node

    async def take(self, slot: int) -> str:
        """Lease it, unless somebody else has it; the holder's node.  Fails as the store does."""
        asked = self._clock.seconds()
        lease = (await self._store.take(self.name, [slot], self.holder, SECONDS))[slot]
        if lease.holder != self.holder:
            self._lose(slot)
            # Of a process of our own node's name that is gone nobody can be told.
            node = lease.holder.node if lease.holder.node != self.holder.node else ''
            self._others[slot] = node, self._clock.seconds() + BELIEVED
            return node
        if self._stopped:
            await self._store.give_up(self.name, [slot], self.holder)
            return ''
        self._others.pop(slot, None)
        self.has(slot)
        fresh = slot not in self._until
        self._until[slot] = asked + SECONDS
        if fresh:
            self._gained(slot)
        self._renew_later()
        return self.holder.node

    async def give_up(self, *slots: int) -> None:
        """Somebody else may have them; all of ours when none is named."""
        ours = [slot for slot in slots or tuple(self._until) if slot in self._until]
        for slot in ours:
            self._lose(slot)
        if ours:
            await self._store.give_up(self.name, ours, self.holder)

    async def stop(self) -> None:
        """Give all up, and take no more.  What the store does not hear ends by itself."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            await self.give_up()
        except Exception as error:
            self.log.warn('{name}: leases not given up: {error}', name=self.name, error=str(error))

    # ---- inside

    def _lose(self, slot: int) -> None:
        if self._until.pop(slot, None) is not None:
            self._lost(slot)

    def _renew_later(self) -> None:
        if self._timer is None and not self._stopped:
            self._timer = self._clock.callLater(RENEW_EVERY * uniform(0.8, 1.2), self._renew)

    def _renew(self) -> None:
        self._timer = None
        slots = [slot for slot in [*self._until] if self.has(slot)]
        now = self._clock.seconds()
        self._others = {slot: other for slot, other in self._others.items() if other[1] > now}
        if slots:
            Deferred.fromCoroutine(self._renew_all(slots))

    async def _renew_all(self, slots: list[int]) -> None:
        asked = self._clock.seconds()
        try:
            kept = await self._store.renew(self.name, slots, self.holder, SECONDS)
        except Exception as error:
            # They are ours until their time is over: the next attempt may be in time.
            self.log.warn('{name}: leases not renewed: {error}', name=self.name, error=str(error))
        else:
            for slot in slots:
                if slot not in kept:
                    self._lose(slot)
                elif slot in self._until:
                    self._until[slot] = asked + SECONDS
        if self._until:
            self._renew_later()
