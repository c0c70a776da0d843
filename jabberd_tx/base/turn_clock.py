"""How much CPU time each turn of the reactor takes: everything else waits for as long.

A turn is what happens between two polls.  It is measured in the time of the reactor's own thread, so that
neither the poll's sleep nor another process's work counts.  That costs 1 µs a turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from jabberd_tx.base.metrics import Metrics

# A turn longer than this holds up everybody: it is logged.
LONG = 0.1
BOUNDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, LONG, 0.25, 0.5, 1.0)


class TurnClock:
    """Notes every turn from `start` on: a histogram, the longest, and the CPU time of the whole thread."""

    log = Logger()

    def __init__(self, metrics: Metrics, now: Callable[[], float] = time.thread_time) -> None:
        """`now`: CPU seconds of the calling thread."""
        self.longest = 0.0
        self._now = now
        self._last: float | None = None
        self._restore: Callable[[], None] = lambda: None
        self._observe = metrics.histogram('jabberd_turn_cpu_seconds', 'CPU time of a reactor turn.', BOUNDS).observe
        metrics.gauge('jabberd_turn_cpu_longest_seconds', 'The longest turn so far.', lambda: self.longest)

    def start(self, reactor: Any) -> bool:
        """Measure this reactor's turns.  False: it is of a kind (asyncio, …) whose turns can't be told apart.

        Call it before or after the reactor starts, on its thread; the turn that is going on does not count."""
        poll = getattr(reactor, 'doIteration', None)
        if poll is None or not hasattr(reactor, 'mainLoop'):
            return False

        def turn(timeout: float | None) -> None:
            self.tick()
            poll(timeout)

        def restore() -> None:
            # Another clock may have come on top: then this one goes on without being heard.
            if reactor.doIteration is turn:
                reactor.doIteration = poll

        reactor.doIteration, self._restore = turn, restore
        return True

    def stop(self) -> None:
        """Measure this reactor's turns no more."""
        self._restore()

    def forget(self) -> None:
        """The longest turn so far, and the one that is going on, do not count: only now it serves."""
        self.longest, self._last = 0.0, None

    def tick(self) -> None:
        """A turn is over, and the next one begins."""
        now = self._now()
        if self._last is not None:
            took = now - self._last
            self._observe(took)
            if took > self.longest:
                self.longest = took
                if took > LONG:
                    self.log.warn('a reactor turn took {ms:.0f} ms of CPU time', ms=took * 1000)
        self._last = now
