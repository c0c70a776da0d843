"""Rosters: kept for a while for users who are here, written through to storage, changed one change at a time.

Only one sm changes a user's roster at a time: a user's own changes and those of others both come by the user's
bare JID.  While there is more than one sm a roster that was read is trusted for a few seconds only, since
users may move from one sm to another; before each change it is read anew then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jabberd_tx.components.sm.locks import KeyedLocks
from jabberd_tx.storage import rosters
from jabberd_tx.storage.operations import Storage
from jabberd_tx.storage.rosters import Item

# How long a roster may be used that another sm may have changed since.
TRUSTED_SECONDS = 5.0

# Given the item of a contact (or None), and the whole roster: the item as it is to be, or None to remove it.
Decide = Callable[[Item | None, Mapping[str, Item]], Item | None]


class Changed(NamedTuple):
    """The item before and after; None: there was none, or is none any more."""

    old: Item | None
    new: Item | None


class _Kept(NamedTuple):
    items: dict[str, Item]
    until: float


class Rosters:
    """See the module's text."""

    __slots__ = ('_alone', '_kept', '_locks', '_most', '_seconds', '_storage')

    def __init__(
        self, storage: Storage, seconds: Callable[[], float], most: Callable[[], int], alone: Callable[[], bool]
    ) -> None:
        """seconds: the clock's; most: how many rosters are kept; alone: whether no other sm serves these users."""
        self._storage, self._seconds, self._most, self._alone = storage, seconds, most, alone
        self._kept: dict[str, _Kept] = {}
        self._locks = KeyedLocks()

    def __len__(self) -> int:
        return len(self._kept)

    def peek(self, owner: str) -> Mapping[str, Item] | None:
        """The user's items by bare JID if they are known here and now.  Not to be changed."""
        kept = self._kept.get(owner)
        if kept is None or (kept.until <= self._seconds() and not self._alone()):
            return None
        # Used last: forgotten last.
        del self._kept[owner]
        self._kept[owner] = kept
        return kept.items

    async def get(self, owner: str) -> Mapping[str, Item]:
        """The user's items by bare JID; StorageError.  Not to be changed."""
        items = self.peek(owner)
        if items is not None:
            return items
        async with self._locks.holding(owner):
            return await self._read(owner)

    async def _read(self, owner: str) -> dict[str, Item]:
        """With the lock held."""
        items = {item.jid: item for item in await self._storage.run(rosters.get, owner)}
        self._keep(owner, items)
        return items

    def _keep(self, owner: str, items: dict[str, Item]) -> None:
        kept = self._kept
        kept.pop(owner, None)
        while kept and len(kept) >= self._most():
            del kept[next(iter(kept))]
        kept[owner] = _Kept(items, self._seconds() + TRUSTED_SECONDS)

    async def change(self, owner: str, contact: str, decide: Decide, then: Callable[[Changed], Any]) -> Changed:
        """Change one item.

        `decide` may raise (StanzaError), then nothing is changed.  `then` is called with what was done before the
        next change of this roster begins, so that pushes go out in the order of the changes.  StorageError.
        """
        async with self._locks.holding(owner):
            items = self.peek(owner) if self._alone() else None
            known = dict(items if items is not None else await self._read(owner))
            old = known.get(contact)
            new = decide(old, known)
            if new is None and old is not None:
                await self._storage.run(rosters.remove, owner, contact)
                del known[contact]
            elif new is not None and new != old:
                await self._storage.run(rosters.put, owner, new)
                known[contact] = new
            self._keep(owner, known)
            changed = Changed(old, new)
            then(changed)
            return changed

    def forget(self, owner: str) -> None:
        """The account is removed."""
        self._kept.pop(owner, None)

    def forget_all(self) -> None:
        """Who serves these users has changed: nothing that was read is trusted any more."""
        self._kept.clear()
