"""One at a time, by key: coroutines that change one user's roster, or handle one stream's stanzas in order."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from twisted.internet.defer import Deferred


class KeyedLocks:
    """A lock for each key, which exists only while somebody has it."""

    __slots__ = ('_waiting',)

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Deferred[None]]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def are_free(self, key: str) -> bool:
        """Whether nobody has this one."""
        return key not in self._waiting

    @asynccontextmanager
    async def holding(self, key: str) -> AsyncIterator[None]:
        """`async with locks.holding(key):` — in the order in which they ask."""
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting[key] = deque()
        else:
            turn: Deferred[None] = Deferred()
            waiting.append(turn)
            await turn
        try:
            yield
        finally:
            waiting = self._waiting[key]
            if waiting:
                waiting.popleft().callback(None)
            else:
                del self._waiting[key]
