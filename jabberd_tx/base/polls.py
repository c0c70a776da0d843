"""An epoll reactor's turns made cheaper: no log context for each event, no delayed call for the turn's end.

Twisted wraps each event in a log context for the sake of `twisted.python.log.msg`, which nothing here calls: as dear
as the read itself.

Anywhere else (another reactor, a poll that somebody has replaced already) `start` changes nothing, and the turn ends
with a delayed call.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from select import EPOLLIN
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.logger import Logger

from jabberd_tx.base.turn import Turn


def up_time() -> float:
    """Seconds since the machine was started; they go on while it is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class TurnPolls:
    """Polls in the reactor's place, once `start` was called."""

    log = Logger()

    def __init__(self, reactor: Any, turn: Turn, now: Callable[[], float] = up_time) -> None:
        """`now`: seconds of any clock that goes on while the process or the machine stands still."""
        self._reactor, self._turn, self._now = reactor, turn, now
        self._stood_still: Callable[[float], None] | None = None
        self._longest = self._woke = 0.0
        self._left_over = False  # the turn's end was cut short

    def start(self) -> bool:
        """Take the reactor's polls over; False: it is of another kind, and stays as it is."""
        reactor, kind = self._reactor, type(self._reactor)
        if kind is not EPollReactor or reactor.doIteration != reactor.doPoll:
            return False
        reactor.doIteration = self.poll
        self._turn.ended_by_poll = True
        return True

    def watch(self, longest: float, stood_still: Callable[[float], None]) -> None:
        """From now on: where a turn, or the wait before it, took `longest` seconds more than it should have, call
        `stood_still` with how many, before anything that has come meanwhile is looked at."""
        self._longest, self._stood_still = longest, stood_still
        self._woke = self._now()

    def stop(self) -> None:
        """Give them back."""
        reactor = self._reactor
        # Somebody may have put something on top: then it goes on.
        if reactor.doIteration == self.poll:
            reactor.doIteration = reactor.doPoll
            self._turn.ended_by_poll = False
            if self._turn.due:
                reactor.callLater(0, self._turn.run)

    def poll(self, timeout: float | None) -> None:
        """IReactor's doIteration: wait for so long (None: for ever), read and write, end the turn."""
        turn, reactor = self._turn, self._reactor
        if turn.due:
            if not self._left_over:
                # Timers have put something off; it may set others.
                turn.run()
                timeout = reactor.timeout()
            if turn.due:
                timeout = 0
        selectables = reactor._selectables
        try:
            events = reactor._poller.poll(-1 if timeout is None else timeout, len(selectables))
        except InterruptedError:
            return
        if self._stood_still is not None:
            self._look_at_clock(timeout)
        for fd, event in events:
            selectable = selectables.get(fd)
            if selectable is not None:
                try:
                    if event == EPOLLIN:
                        self._read(selectable)
                    else:
                        reactor._doReadOrWrite(selectable, fd, event)
                except Exception:
                    self.log.failure('an event could not be dealt with')
        if turn.due:
            turn.run()
            self._left_over = turn.due

    def _look_at_clock(self, timeout: float | None) -> None:
        before, self._woke = self._woke, self._now()
        late = self._woke - before - (math.inf if timeout is None else max(timeout, 0.0))
        if late > self._longest and self._stood_still is not None:
            self._stood_still(late)

    def _read(self, selectable: Any) -> None:
        """What nearly all events are, without the questions that the others need."""
        try:
            why = selectable.doRead()
        except Exception as error:
            self.log.failure('what was read could not be dealt with')
            why = error
        if why:
            self._reactor._disconnectSelectable(selectable, why, True)
