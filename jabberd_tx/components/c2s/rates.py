"""How fast one client may go: bytes, stanzas, presence broadcasts and IQs a second (docs/limits.md).

A client that is above a rate is slowed down: nothing more is taken from it until it owes nothing.  One that wants more
all the time, for longer than our patience, is closed.  What a client uses is told here in lots, so that it costs
next to nothing for each stanza; a client that never fills a lot has no Rates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall

from jabberd_tx.base.token_bucket import TokenBucket

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.connection import ClientConnection

# How much is told at once: bytes, stanzas, IQs.  (Presence that goes to many is told one by one.)
LOT_BYTES = 16384
LOT_STANZAS = 32
LOT_IQS = 16
# Nobody waits longer than this at a time: what is still owed then is waited for later.
LONGEST_WAIT = 10.0
# A client that was not slowed down for so long has given in.
RESPITE = 2.0


class Rates:
    """Of one connection."""

    __slots__ = ('_buckets', '_call', '_conn', '_since', '_until')

    def __init__(self, conn: ClientConnection) -> None:
        self._conn = conn
        self._buckets: dict[str, TokenBucket] = {}
        self._call: IDelayedCall | None = None
        self._since = 0.0  # when it was first slowed down, without respite since
        self._until = -RESPITE

    def took(self, limit: str, amount: int) -> None:
        """The client has used so much of 'bytes', 'stanzas', 'presences' or 'iqs'."""
        c2s = self._conn.c2s
        options = c2s.options
        rate: float = getattr(options, f'rate_{limit}')
        burst: float = getattr(options, f'burst_{limit}')
        bucket = self._buckets.get(limit)
        if not rate:
            if bucket is not None:
                del self._buckets[limit]
            return
        now = c2s.reactor.seconds()
        if bucket is None:
            bucket = self._buckets[limit] = TokenBucket(burst, now)
        wait = bucket.take(amount, now, rate, burst)
        if wait:
            self._slow_down(limit, now, wait)

    def _slow_down(self, limit: str, now: float, wait: float) -> None:
        conn, c2s, session = self._conn, self._conn.c2s, self._conn.session
        if session is None:
            return
        if now - self._until > RESPITE:
            self._since = now
        patience = c2s.options.rate_patience
        until = now + min(wait, LONGEST_WAIT)
        if patience and now - self._since > patience:
            # Not while a stanza of its is at hand.
            self.stop()
            self._call = c2s.reactor.callLater(0, self._close, limit)
        elif self._call is None:
            c2s.limited.note(limit, session.jid)
            self._until = until
            self._call = c2s.reactor.callLater(until - now, self._go_on)
        elif until > self._until:
            self._until = until
            self._call.reset(until - now)
        conn.slow_down()

    def _go_on(self) -> None:
        self._call = None
        self._conn.speed_up()

    def _close(self, limit: str) -> None:
        self._call = None
        session = self._conn.session
        if session is not None:
            self._conn.c2s.limited.note('patience', session.jid)
            session.fail('policy-violation', f'too many {limit} a second, for too long')

    def stop(self) -> None:
        """Wait for nothing any more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
