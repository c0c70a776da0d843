"""Block lists (XEP-0191) as the session manager has them at hand.

A user's list is a frozenset of prepared JIDs.  It stands in each of the user's session records: who has those, as for
every message, has the list, and asks nobody.  The list of a user without a session is read from storage and kept for
a while; no more are kept than an option says.

What is promised: a change is in storage and in all of the user's records before its result is sent.  With one sm it
is in force from then on.  With several it is when they have heard of the changed records (docs/delivery.md), and for a
user who has no session any more, after TRUSTED_SECONDS.  A session that is opened while the list changes is put right
when it has started; one whose list could not be read, as soon as somebody wants to know it and storage works again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.logger import Logger

from jabberd_tx.components.sm.locks import KeyedLocks
from jabberd_tx.storage import blocks
from jabberd_tx.storage.operations import Operation, StorageError
from jabberd_tx.storage.sessions.interface import Session, StaleEpoch

if TYPE_CHECKING:
    from jabberd_tx.components.sm.service import SessionManager

# How long a list may be used that another sm may have changed since.
TRUSTED_SECONDS = 5.0
# How often records are looked at again that move or come while they are changed.
TRIES = 5

Blocked = frozenset[str]
# The list of nearly all users: one and the same, so that it is told by a glance.
NOBODY: Blocked = frozenset()


class Change(NamedTuple):
    """A list before and after."""

    before: Blocked
    after: Blocked


class _Kept(NamedTuple):
    blocked: Blocked
    until: float


class BlockLists:
    """See the module's text."""

    log = Logger()

    def __init__(self, sm: SessionManager, most: Callable[[], int]) -> None:
        """most: how many lists of users without a session are kept."""
        self._sm, self._most = sm, most
        self._kept: dict[str, _Kept] = {}
        self._locks = KeyedLocks()
        self._putting_right: set[str] = set()

    def __len__(self) -> int:
        return len(self._kept)

    # ---- asking

    def peek(self, owner: str) -> Blocked | None:
        """The list of a user of ours, if it is known here and now."""
        sessions = self._sm.sessions.peek(owner)
        if sessions and sessions[0].blocked is not None:
            return sessions[0].blocked
        return self._peek_kept(owner)

    def _peek_kept(self, owner: str) -> Blocked | None:
        kept = self._kept.get(owner)
        if kept is None or (kept.until <= self._sm.reactor.seconds() and not self._sm.is_alone()):
            return None
        # Used last: forgotten last.
        self._kept[owner] = self._kept.pop(owner)
        return kept.blocked

    async def get(self, owner: str) -> Blocked:
        """The list of a user of ours; StorageError."""
        blocked = self.peek(owner)
        if blocked is None:
            async with self._locks.holding(owner):
                blocked = self.peek(owner)
                if blocked is None:
                    blocked = await self._read(owner)
        return blocked

    async def for_record(self, owner: str) -> Blocked:
        """The list for a session record, where it stays: read anew unless nobody else changes lists; StorageError."""
        if self._sm.is_alone():
            return await self.get(owner)
        async with self._locks.holding(owner):
            return await self._read(owner)

    def knows(self, owner: str) -> bool:
        """Whether the list is here, or on its way."""
        return self.peek(owner) is not None or not self._locks.are_free(owner)

    def learn(self, owner: str, jids: Sequence[str]) -> None:
        """What `blocks.get` has given."""
        if not self.knows(owner):
            self._keep(owner, jids)

    async def _read(self, owner: str) -> Blocked:
        """With the lock held."""
        return self._keep(owner, await self._sm.storage.run(blocks.get, owner))

    def _keep(self, owner: str, jids: Sequence[str]) -> Blocked:
        kept, blocked = self._kept, frozenset(jids) or NOBODY
        kept.pop(owner, None)
        while kept and len(kept) >= self._most():
            del kept[next(iter(kept))]
        kept[owner] = _Kept(blocked, self._sm.reactor.seconds() + TRUSTED_SECONDS)
        return blocked

    # ---- changing

    async def change(
        self, owner: str, operation: Operation, arguments: Sequence[Any], then: Callable[[], None]
    ) -> Change | None:
        """Run an operation of storage/blocks.py, and put its outcome into the user's records; None: it has refused.

        `then` is called before the next change of this list begins, so that pushes go out in the order of the changes.
        StorageError.
        """
        async with self._locks.holding(owner):
            self._kept.pop(owner, None)  # unless it all goes well nobody knows what storage has
            changed = await self._sm.storage.run(operation, owner, *arguments)
            if changed is None:
                return None
            after = self._keep(owner, changed.after)
            await self._record(owner, after)
            then()
            return Change(frozenset(changed.before), after)

    async def _record(self, owner: str, blocked: Blocked) -> None:
        """Into all records, those that have come meanwhile included; with the lock held."""
        for _ in range(TRIES):
            behind = [session for session in await self._sm.sessions.fetch(owner) if session.blocked != blocked]
            if not behind:
                return
            for session in behind:
                try:
                    await self._sm.sessions.update(session.stream, owner, session.epoch, blocked=blocked)
                except StaleEpoch:
                    pass  # it is gone, or has moved: then it is looked at once more

    def check(self, session: Session) -> None:
        """Put the user's records right if this one may have been made while the list changed, or storage failed."""
        owner, kept = session.bare, self._peek_kept(session.bare)
        wrong = session.blocked is None or (kept is not None and kept != session.blocked)
        if wrong and owner not in self._putting_right:
            self._putting_right.add(owner)
            self._sm.spawn(self._put_right(owner))

    async def _put_right(self, owner: str) -> None:
        try:
            async with self._locks.holding(owner):
                await self._record(owner, await self._read(owner))
        except StorageError as error:
            self.log.warn('whom {owner} has blocked is not known: {error}', owner=owner, error=str(error))
        finally:
            self._putting_right.discard(owner)

    # ---- forgetting

    def forget(self, owner: str) -> None:
        """The account may be removed."""
        self._kept.pop(owner, None)

    def forget_all(self) -> None:
        """Who serves these users has changed: nothing that was read is trusted any more."""
        self._kept.clear()
