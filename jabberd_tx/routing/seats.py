"""Which instance of a name has which of its slots, where their number is fixed."""

from __future__ import annotations

from collections.abc import Sequence

from jabberd_tx.routing.asked import BAD_OPTION, CONFLICT, NO_SLOT, Refused


class Seats:
    """An instance says its slot; or has the place in [[route]]'s `order`; or gets the lowest that is free, which is
    the one it had before if nobody has taken that.

    The last is in order of arrival, so that two routers may see it differently.  With several routers instances say
    their slots, or the configuration lists them.
    """

    __slots__ = ('_before', '_order', '_slots', 'slots')

    def __init__(self, slots: int, order: Sequence[str]) -> None:
        self.slots = slots
        self._order = {node: slot for slot, node in reversed([*enumerate(order[:slots])])}
        self._slots: dict[str, int] = {}  # by node
        self._before: dict[int, str] = {}  # who had a slot last

    def take(self, node: str, wanted: int | None) -> int:
        """The node's slot, from now on.  Refused: it is somebody else's, there is no such slot, or none is free."""
        if wanted is not None and wanted >= self.slots:
            raise Refused(BAD_OPTION)
        taken = {slot: other for other, slot in self._slots.items() if other != node}
        if wanted is None:
            wanted = self._order.get(node, self._slots.get(node))
        if wanted is None:
            wanted = self._lowest_free(node, taken)
        if wanted in taken:
            raise Refused(CONFLICT)
        self._slots[node] = wanted
        self._before[wanted] = node
        return wanted

    def _lowest_free(self, node: str, taken: dict[int, str]) -> int:
        free = [slot for slot in range(self.slots) if slot not in taken and slot not in self._order.values()]
        if not free:
            raise Refused(NO_SLOT)
        return min(free, key=lambda slot: (self._before.get(slot) != node, slot))

    def leave(self, node: str) -> None:
        """It is gone; its slot is absent."""
        self._slots.pop(node, None)

    def of(self, node: str) -> int | None:
        """The node's slot, or None."""
        return self._slots.get(node)

    def seat(self, node: str) -> int:
        """The slot of a node that has one."""
        return self._slots[node]

    def by_slot(self) -> dict[int, str]:
        """slot -> node of all that are taken."""
        return {slot: node for node, slot in sorted(self._slots.items(), key=lambda item: item[1])}
