"""What comes for a slot of an exclusive name is taken only by the instance that has leased it.

Frames for a slot of which nobody knows wait until the lease store has answered; those for another's go back with
its node (`not-mine`), and their senders address that.  Once something of a lane went back, what follows goes back as
well until the first comes again, should the slot become ours meanwhile (routing/lanes.py): no frame overtakes another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from jabberd_tx.base.hashing import slot_among
from jabberd_tx.base.slots import slot_of
from jabberd_tx.components.slot_leases import SlotLeases
from jabberd_tx.link.frames import BUSY, NOT_MINE, Route
from jabberd_tx.link.interfaces import Link, Links
from jabberd_tx.routing.lanes import BrokenLanes, in_order
from jabberd_tx.routing.policies.keys import key_of

# What may wait for the store; beyond it is refused as busy.
MOST_WAITING = 1000


class SlotGate:
    """See the module's text."""

    log = Logger()

    def __init__(
        self,
        links: Links,
        leases: SlotLeases,
        clock: IReactorTime,
        take: Callable[[Route, Link], None],
        policy: str,
        whole: bool = False,
        slots: int = 0,
    ) -> None:
        """take: called with what has waited.  policy ('to' or 'from'), whole (hash full JIDs), slots: as the name is
        shared out by routers; 0 slots: as many as their table has."""
        self._links, self.leases, self._clock, self._take = links, leases, clock, take
        self._attribute, self._whole, self._slots = policy, whole, slots
        self._waiting: dict[int, dict[bytes, tuple[Route, Link]]] = {}
        self._lanes = BrokenLanes()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def slot(self, frame: Route) -> int | None:
        """The slot that it is for; None: it has no key, and is anybody's."""
        key = key_of(frame, self._attribute, self._whole)
        if key is None:
            return None
        return slot_among(key, self._slots) if self._slots else slot_of(key)

    def admits(self, frame: Route, link: Link) -> bool:
        """Whether it may be taken now; else it waits and is taken later, or goes back."""
        slot = self.slot(frame)
        if slot is None:
            return True
        ours = slot not in self._waiting and self.leases.has(slot)
        holder = '' if ours or slot in self._waiting else self.leases.known_holder(slot)
        if holder:
            self._send_back(frame, slot, holder, link)
        elif self._lanes.lanes and self._lanes.blocks(_lane(frame, slot), self._clock.seconds()):
            self._links.bounce(frame, BUSY, via=link)
        elif ours:
            return True
        else:
            self._wait(frame, slot, link)
        return False

    def _wait(self, frame: Route, slot: int, link: Link) -> None:
        waiting = self._waiting.get(slot, {})
        if frame.uid not in waiting:
            if self._count >= MOST_WAITING:
                self._send_back(frame, slot, '', link)
                return
            self._count += 1
        waiting[frame.uid] = frame, link
        if slot not in self._waiting:
            self._waiting[slot] = waiting
            Deferred.fromCoroutine(self._ask(slot))

    async def _ask(self, slot: int) -> None:
        """Find out whose it is, and let go of what waits for that."""
        try:
            holder = await self.leases.take(slot)
        except Exception as error:
            self.log.warn('a slot of {name} is not leased: {error}', name=self.leases.name, error=str(error))
            holder = ''
        waiting = self._waiting.pop(slot)
        self._count -= len(waiting)
        for frame, link in in_order(waiting.values(), lambda one: one[0]):
            if holder == self.leases.holder.node:
                if self._lanes.lanes and self._lanes.blocks(_lane(frame, slot), self._clock.seconds()):
                    self._links.bounce(frame, BUSY, via=link)  # there was no room for one before it
                else:
                    self._take(frame, link)
            else:
                self._send_back(frame, slot, holder, link)

    def _send_back(self, frame: Route, slot: int, holder: str, link: Link) -> None:
        """To be addressed to the holder; or, where nobody can be reached for it, to be sent again in a while."""
        self._lanes.bounced(_lane(frame, slot), self._clock.seconds())
        if holder in self._links.instances(self.leases.name):
            self._links.bounce(frame, NOT_MINE, holder, link)
        else:
            self._links.bounce(frame, BUSY, via=link)


def make_gate(
    links: Links,
    leases: SlotLeases,
    clock: IReactorTime,
    take: Callable[[Route, Link], None],
    policy: str,
    options: Mapping[str, object],
) -> SlotGate:
    """A gate for a name that is bound with this policy and these options.  ValueError for a policy without slots."""
    if policy not in ('to', 'from'):
        raise ValueError(f"an exclusive name goes by 'to' or 'from', not {policy!r}")
    slots = options.get('slots') or 0
    assert isinstance(slots, int)
    return SlotGate(links, leases, clock, take, policy, options.get('key') == 'full', slots)


def _lane(frame: Route, slot: int) -> Route:
    """The frame, by whatever name or node it is addressed, as one of its slot's."""
    return frame._replace(dest='', key=str(slot))
