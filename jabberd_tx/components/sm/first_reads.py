"""What several parts want to know of a user whose session starts, read from storage in one go.

A part says which operation it would run for a user that it knows nothing of, and gets the result before the session
opens: one request in place of one for each.  It is no more than a head start: who has got nothing reads for itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from jabberd_tx.storage.operations import Operation, Run, Storage, StorageError, read


class _Part(NamedTuple):
    operation: Operation
    knows: Callable[[str], bool]
    learn: Callable[[str, Any], None]


class FirstReads:
    """alone: whether no other sm serves these users; else what is read ahead might be old when it is used."""

    def __init__(self, storage: Storage, alone: Callable[[], bool]) -> None:
        self._storage, self._alone = storage, alone
        self._parts: list[_Part] = []
        self._together: dict[tuple[Operation, ...], Operation] = {}

    def add(self, operation: Operation, knows: Callable[[str], bool], learn: Callable[[str, Any], None]) -> None:
        """operation: called with the owner alone; knows(owner): whether nothing is to be read; learn(owner, result)
        must leave alone what somebody has changed meanwhile."""
        self._parts.append(_Part(operation, knows, learn))

    async def of(self, owner: str) -> None:
        """Read what is not known, if that is more than one thing.  What can't be read is nobody's loss."""
        wanted = [part for part in self._parts if not part.knows(owner)]
        if len(wanted) < 2 or not self._alone():
            return
        operations = tuple([part.operation for part in wanted])
        together = self._together.get(operations)
        if together is None:
            together = self._together[operations] = _together(operations)
        try:
            results = await self._storage.run(together, owner)
        except StorageError:
            return
        for part, result in zip(wanted, results, strict=True):
            part.learn(owner, result)


def _together(operations: tuple[Operation, ...]) -> Operation:
    """One operation that runs them all."""

    def body(run: Run, owner: str) -> list[Any]:
        return [operation.body(run, owner) for operation in operations]

    return read('session.first')(body)
