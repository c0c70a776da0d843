"""One connection to Redis: commands go out together at the end of the turn, replies are matched in order.

txredisapi and hiredis speak RESP; what txredisapi does for each command (a queue, a timer, a conversion of
what looks like a number) is done for each connection here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from txredisapi import HiredisProtocol, ResponseError

from jabberd_tx.base.turn import Turn

__all__ = ['Command', 'RedisConnection', 'RedisLost', 'ResponseError']

Command = tuple[bytes, ...]

# Beyond so many commands without a reply no more are taken: something is wrong with the server.
MOST_WAITING = 20_000


class RedisLost(Exception):
    """The connection ended, or the server did not answer in time: what was asked may have been done, or not."""


class RedisConnection(HiredisProtocol):
    """Commands in, Deferreds out.

    closed   called with it when it is gone
    told     called with (channel, message) of what was subscribed to; a message is what hiredis makes of it
    """

    def __init__(
        self,
        clock: IReactorTime,
        turn: Turn,
        timeout: float,
        closed: Callable[[RedisConnection], None] | None = None,
        told: Callable[[bytes, Any], None] | None = None,
    ) -> None:
        """`timeout`: seconds that a command may wait for its reply."""
        super().__init__(charset=None, convertNumbers=False)
        self._clock, self._turn, self._timeout = clock, turn, timeout
        self._closed, self._told = closed, told
        self._waiting: deque[tuple[Deferred[Any], float]] = deque()
        self._out: list[bytes] = []
        self._watch: Any = None
        self._leaving: list[Deferred[None]] = []
        self.usable = False

    # ---- life

    def connectionMade(self) -> None:
        """See IProtocol."""
        self.usable = True

    def connectionLost(self, why: Failure = connectionDone) -> None:
        """See IProtocol.  What waits fails with RedisLost."""
        self.usable = False
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        waiting, self._waiting = self._waiting, deque()
        self._out.clear()
        if self._closed is not None:
            self._closed(self)
        for answer, _ in waiting:
            answer.errback(RedisLost(why.getErrorMessage()))
        leaving, self._leaving = self._leaving, []
        for gone in leaving:
            gone.callback(None)

    def when_gone(self) -> Deferred[None]:
        """Fires when it is no more, or at once."""
        gone: Deferred[None] = Deferred(lambda cancelled: self._leaving.remove(cancelled))
        if self.usable:
            self._leaving.append(gone)
        else:
            gone.callback(None)
        return gone

    def abandon(self) -> None:
        """End it at once."""
        if self.usable:
            self.transport.abortConnection()

    # ---- commands

    def ask(self, *command: bytes) -> Deferred[Any]:
        """The reply; ResponseError for one that is an error, RedisLost."""
        answer: Deferred[Any] = Deferred()
        if not self.usable or len(self._waiting) >= MOST_WAITING:
            answer.errback(RedisLost('not connected' if not self.usable else 'too many commands are waiting'))
            return answer
        if not self._out:
            self._turn.at_end(self._flush)
        self._out.append(encode(command))
        self._waiting.append((answer, self._clock.seconds()))
        if self._watch is None:
            self._watch = self._clock.callLater(self._timeout, self._look)
        return answer

    def ask_all(self, commands: Sequence[Command]) -> list[Deferred[Any]]:
        """Several, in one write."""
        return [self.ask(*command) for command in commands]

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self.usable and out:
            self.transport.write(b''.join(out))

    def _look(self) -> None:
        """One timer a connection: is the oldest command overdue?"""
        self._watch = None
        if not self._waiting:
            return
        left = self._waiting[0][1] + self._timeout - self._clock.seconds()
        if left <= 0:
            self.abandon()
        else:
            self._watch = self._clock.callLater(left, self._look)

    # ---- replies

    def replyReceived(self, reply: Any) -> None:
        """See txredisapi."""
        if self._told is not None and type(reply) is list and len(reply) == 3 and reply[0] == b'message':
            self._told(reply[1], reply[2])
            return
        if not self._waiting:
            self.abandon()
            return
        answer, _ = self._waiting.popleft()
        if isinstance(reply, ResponseError):
            answer.errback(reply)
        else:
            answer.callback(reply)

    def tryConvertData(self, data: Any) -> Any:
        """See txredisapi.  Bytes stay bytes."""
        return data

    def handleTransactionData(self, reply: Any) -> Any:
        """See txredisapi.  There are no transactions, but scripts."""
        return reply


def encode(command: Command) -> bytes:
    """The command in RESP."""
    parts = [b'*%d\r\n' % len(command)]
    for part in command:
        parts.append(b'$%d\r\n%b\r\n' % (len(part), part))
    return b''.join(parts)
