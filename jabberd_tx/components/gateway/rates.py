"""How fast one component may send: above a rate nothing more is taken from it until it owes nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall

from jabberd_tx.base.token_bucket import TokenBucket

if TYPE_CHECKING:
    from jabberd_tx.components.gateway.connection import ComponentConnection

# Nobody waits longer than this at a time: what is still owed then is waited for later.
LONGEST_WAIT = 10.0


class Rates:
    """Of one connection.  Told once a read, not once a stanza."""

    __slots__ = ('_bytes', '_call', '_clock', '_conn', '_options', '_stanzas')

    def __init__(self, conn: ComponentConnection, options: SimpleNamespace) -> None:
        self._conn, self._options = conn, options
        self._clock = conn.gateway.reactor
        now = self._clock.seconds()
        self._stanzas = TokenBucket(options.burst_stanzas, now)
        self._bytes = TokenBucket(options.burst_bytes, now)
        self._call: IDelayedCall | None = None

    def took(self, stanzas: int, size: int) -> None:
        """So much has come at once."""
        options, now = self._options, self._clock.seconds()
        wait = max(
            self._stanzas.take(stanzas, now, options.rate_stanzas, options.burst_stanzas),
            self._bytes.take(size, now, options.rate_bytes, options.burst_bytes),
        )
        if wait and self._call is None:
            self._call = self._clock.callLater(min(wait, LONGEST_WAIT), self._go_on)
            self._conn.slow_down()

    def _go_on(self) -> None:
        self._call = None
        self._conn.speed_up()

    def stop(self) -> None:
        """The connection is over."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
