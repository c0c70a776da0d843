"""Rosters: kept for a while for users who are here, written through to storage, changed one change at a time.

Only one sm changes a user's roster at a time: a user's own changes and those of others both come by the user's
bare JID.  While there is more than one sm a roster that was read is trusted for a few seconds only, since
users may move from one sm to another; before each change it is read anew then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from secrets import token_hex
from typing import Any, NamedTuple

from jabberd_tx.components.sm.locks import KeyedLocks
from jabberd_tx.components.sm.subscriptions import shown
from jabberd_tx.storage import rosters
from jabberd_tx.storage.operations import Storage
from jabberd_tx.storage.rosters import Change, Item

# How long a roster may be used that another sm may have changed since.
TRUSTED_SECONDS = 5.0

# Given the item of a contact (or None), and the whole roster: the item as it is to be, or None to remove it.
Decide = Callable[[Item | None, Mapping[str, Item]], Item | None]


class Changed(NamedTuple):
    """The item before and after; None: there was none, or is none any more.

    version: the roster's after a change that clients see; '' when they don't.
    """

    old: Item | None
    new: Item | None
    version: str


class Update(NamedTuple):
    """What a client that has a version of the roster needs to have it all: the changes since, oldest first; or the
    whole roster, where that is less, or the version is not known (changes is None)."""

    version: str
    items: Mapping[str, Item]
    changes: Sequence[Change] | None


class _Kept(NamedTuple):
    version: str
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
            return (await self._read(owner)).items

    async def update(self, owner: str, version: str | None, then: Callable[[Update], Any]) -> None:
        """What a client needs that has that version (None: it has none, or wants none).

        `then` is called before the next change of this roster begins, so that what it sends comes before the pushes
        of that.  StorageError."""
        async with self._locks.holding(owner):
            kept = self._kept[owner] if self.peek(owner) is not None else await self._read(owner)
            changes: Sequence[Change] | None = None
            if version == kept.version:
                changes = ()
            elif version:
                changes = await self._storage.run(rosters.changes, owner, version)
                if changes is not None and len(changes) >= len(kept.items):
                    changes = None
            then(Update(kept.version, kept.items, changes))

    def knows(self, owner: str) -> bool:
        """Whether the roster is here, or on its way."""
        return owner in self._kept or not self._locks.are_free(owner)

    def learn(self, owner: str, loaded: tuple[str, list[Item]]) -> None:
        """What `rosters.load` has given."""
        if not self.knows(owner):
            self._keep(owner, loaded[0], {item.jid: item for item in loaded[1]})

    async def _read(self, owner: str) -> _Kept:
        """With the lock held."""
        version, items = await self._storage.run(rosters.load, owner)
        return self._keep(owner, version, {item.jid: item for item in items})

    def _keep(self, owner: str, version: str, items: dict[str, Item]) -> _Kept:
        kept = self._kept
        kept.pop(owner, None)
        while kept and len(kept) >= self._most():
            del kept[next(iter(kept))]
        made = kept[owner] = _Kept(version, items, self._seconds() + TRUSTED_SECONDS)
        return made

    async def change(
        self, owner: str, contact: str, decide: Decide, then: Callable[[Changed], Any], always: bool = False
    ) -> Changed:
        """Change one item.

        `decide` may raise (StanzaError), then nothing is changed.  `then` is called with what was done before the
        next change of this roster begins, so that pushes go out in the order of the changes.  `always`: it makes
        a new version of the roster also where clients see no difference.  StorageError.
        """
        async with self._locks.holding(owner):
            kept = self._kept[owner] if self._alone() and self.peek(owner) is not None else await self._read(owner)
            known, version = dict(kept.items), ''
            old = known.get(contact)
            new = decide(old, known)
            era = token_hex(8) if always or shown(old) != shown(new) else ''
            self._kept.pop(owner, None)  # unless it all goes well nobody knows what storage has
            if new is None and old is not None:
                version = await self._storage.run(rosters.remove, owner, contact, era) or ''
                del known[contact]
            elif new is not None and (era or new != old):
                version = await self._storage.run(rosters.put, owner, new, era)
                known[contact] = new
            self._keep(owner, version or kept.version, known)
            changed = Changed(old, new, version)
            then(changed)
            return changed

    def forget(self, owner: str) -> None:
        """The account is removed."""
        self._kept.pop(owner, None)

    def forget_all(self) -> None:
        """Who serves these users has changed: nothing that was read is trusted any more."""
        self._kept.clear()
