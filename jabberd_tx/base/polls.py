"""An epoll reactor's turns made cheaper: no log context for each event, no delayed call for the turn's end, and
wake-ups that follow each other closely gathered.

Twisted wraps each event in a log context for the sake of `twisted.python.log.msg`, which nothing here calls: as dear
as the read itself.  And where stanzas come one by one, waking up costs several times what a stanza does: so that while
there is something to do all the time, the reactor polls at most every `gather` seconds, as a network card does with its
interrupts.  What comes after a silence is seen to at once.

Anywhere else (another reactor, a poll that somebody has replaced already) `start` changes nothing, and the turn ends
with a delayed call.
"""

from __future__ import annotations

from collections.abc import Callable
from select import EPOLLIN
from time import monotonic, sleep
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.logger import Logger

from jabberd_tx.base.turn import Turn

# Polls that find something are close to each other when no more than this many times `gather` lies between them.
CLOSE = 2.0


class TurnPolls:
    """Polls in the reactor's place, once `start` was called."""

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        turn: Turn,
        gather: float,
        now: Callable[[], float] = monotonic,
        sleep: Callable[[float], None] = sleep,
    ) -> None:
        """`gather`: seconds, 0 for never; `now` and `sleep`: for tests."""
        self.gather = gather
        self._reactor, self._turn = reactor, turn
        self._now, self._sleep = now, sleep
        self._found_at = 0.0  # when the last poll that found something did
        self._not_before = 0.0  # when the next poll may be
        self._left_over = False  # the turn's end was cut short

    def start(self) -> bool:
        """Take the reactor's polls over; False: it is of another kind, and stays as it is."""
        reactor, kind = self._reactor, type(self._reactor)
        if kind is not EPollReactor or reactor.doIteration != reactor.doPoll:
            return False
        reactor.doIteration = self.poll
        self._turn.ended_by_poll = True
        return True

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
        if self._not_before and timeout != 0:
            timeout = self._wait(timeout)
        selectables = reactor._selectables
        try:
            events = reactor._poller.poll(-1 if timeout is None else timeout, len(selectables))
        except InterruptedError:
            return
        if events:
            if self.gather:
                self._note()
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

    def _read(self, selectable: Any) -> None:
        """What nearly all events are, without the questions that the others need."""
        try:
            why = selectable.doRead()
        except Exception as error:
            self.log.failure('what was read could not be dealt with')
            why = error
        if why:
            self._reactor._disconnectSelectable(selectable, why, True)

    def _note(self) -> None:
        """A poll has found something: when may the next one be?"""
        now, gather = self._now(), self.gather
        self._not_before = now + gather if now - self._found_at < CLOSE * gather else 0.0
        self._found_at = now

    def _wait(self, timeout: float | None) -> float | None:
        """Let more come; how long the poll may take then."""
        wait = self._not_before - self._now()
        self._not_before = 0.0
        if wait <= 0:
            return timeout
        if timeout is None:
            self._sleep(wait)
            return None
        self._sleep(min(wait, timeout))
        return max(0.0, timeout - wait)
