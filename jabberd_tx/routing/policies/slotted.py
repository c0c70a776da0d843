"""The policies `to` and `from`: a hash of the JID, so that one JID's frames meet at one instance."""

from __future__ import annotations

from collections.abc import Callable

from zope.interface import implementer

from jabberd_tx.base.slots import SlotTable, slot_of
from jabberd_tx.link.frames import Route
from jabberd_tx.routing.policies.interface import IRoutingPolicy, ISharingChooser, Settings
from jabberd_tx.routing.policies.keys import key_of


@implementer(ISharingChooser)
class SlotChooser:
    """A slot table over the instances, and where the key is taken from."""

    def __init__(self, attribute: str, settings: Settings) -> None:
        self._attribute, self._whole = attribute, settings.whole
        self._table = SlotTable(settings.clock)
        self.join, self.leave, self.close = self._table.join, self._table.leave, self._table.close
        self.shares = self._table.shares

    def pick(self, frame: Route) -> str | None:
        key = key_of(frame, self._attribute, self._whole)
        return None if key is None else self._table.pick(key)

    def share(self, node: str) -> Callable[[Route], bool]:
        slots = self._table.slots_of(node)

        def is_of_it(frame: Route) -> bool:
            key = key_of(frame, self._attribute, self._whole)
            return key is not None and slot_of(key) in slots

        return is_of_it


@implementer(IRoutingPolicy)
class SlotPolicy:
    """name: 'to' or 'from', which is also the attribute that a frame without a key is hashed by."""

    def __init__(self, name: str) -> None:
        self.name = name

    def chooser(self, settings: Settings) -> SlotChooser:
        return SlotChooser(self.name, settings)
