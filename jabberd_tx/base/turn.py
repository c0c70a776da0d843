"""The end of the reactor's turn: after all reads of one poll, before the next.

Two queues.  `later`: calls that must not happen inside the present one (frames between components
of one process, gathered confirms); they may ask for more.  `at_end`: the flush of connections, when
no `later` call is left, so that all that a turn has to say to one peer leaves in one write.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

# How many `later` calls one turn makes before it lets the reactor poll again.
MOST_CALLS = 5000
# A link joins its frames in the first round, and the socket that it writes them to is flushed in the second.
MOST_ROUNDS = 2


class Turn:
    """Runs what was put off, in order, at the end of the turn; an exception in one call stops no other."""

    log = Logger()

    def __init__(self, reactor: IReactorTime) -> None:
        self.reactor = reactor
        self._calls: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._flushes: list[Callable[[], None]] = []
        self.due = False  # something waits
        self.ended_by_poll = False  # `run` is called without our asking (base/polls.py)

    def later(self, call: Callable[..., None], *arguments: Any) -> None:
        """Call it at the end of this turn, after what was asked for before."""
        self._calls.append((call, arguments))
        if not self.due:
            self._arm()

    def at_end(self, flush: Callable[[], None]) -> None:
        """Call it when this turn has nothing else left to do.  The caller asks once a turn."""
        self._flushes.append(flush)
        if not self.due:
            self._arm()

    def _arm(self) -> None:
        self.due = True
        if not self.ended_by_poll:
            # A call with no delay, made while the reactor handles reads, runs before the next poll.
            self.reactor.callLater(0, self.run)

    def run(self) -> None:
        """End the turn now: all `later` calls (up to a bound), then all flushes."""
        calls = self._calls
        left = MOST_CALLS
        try:
            while calls and left:
                left -= 1
                call, arguments = calls.popleft()
                try:
                    call(*arguments)
                except Exception:
                    self.log.failure('a call put off to the end of the turn failed')
            for _ in range(MOST_ROUNDS):
                flushes, self._flushes = self._flushes, []
                for flush in flushes:
                    try:
                        flush()
                    except Exception:
                        self.log.failure('a flush at the end of the turn failed')
        finally:
            self.due = False
            if calls or self._flushes:
                self._arm()
