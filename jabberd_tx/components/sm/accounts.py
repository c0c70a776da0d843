"""Whether a user exists, as storage says; those who do are remembered for a while."""

from __future__ import annotations

from collections.abc import Callable

from jabberd_tx.storage import accounts
from jabberd_tx.storage.operations import Storage

# Users who are remembered, and for how many seconds: as long as another process may take to hear of a removal.
MOST = 10_000
SECONDS = 60


class KnownAccounts:
    """Asks storage at most once a minute for a user who exists, and each time for one who doesn't."""

    __slots__ = ('_known', '_seconds', '_storage')

    def __init__(self, storage: Storage, seconds: Callable[[], float]) -> None:
        """`seconds`: the clock's."""
        self._storage, self._seconds = storage, seconds
        self._known: dict[str, float] = {}

    async def exist(self, owner: str) -> bool:
        """Whether there is an account of this bare JID; StorageError."""
        now = self._seconds()
        known = self._known
        if known.get(owner, now) > now:
            return True
        known.pop(owner, None)
        if not await self._storage.run(accounts.exists, owner):
            return False
        if len(known) >= MOST:
            del known[next(iter(known))]
        known[owner] = now + SECONDS
        return True

    def forget(self, owner: str) -> None:
        """The account is removed."""
        self._known.pop(owner, None)
