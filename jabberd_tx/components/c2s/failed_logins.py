"""Failed logins, and how long the next attempt waits for them (docs/limits.md).

Counted are the failures of an account *from an address*, and those of an address whatever the account; each is
forgiven after a while.  An account as such has no count: whoever knows its name could then slow down its owner, from
anywhere.  Attempts at one account from one address come one after the other once they are delayed, so that many
connections guess no faster than one; those of an address wait side by side, since others may share it.
"""

from __future__ import annotations

from types import SimpleNamespace, TracebackType
from typing import Any

from twisted.internet.task import deferLater

from jabberd_tx.base.token_bucket import TokenBucket
from jabberd_tx.components.c2s.limited import Limited
from jabberd_tx.xmpp.sasl import SaslFailure

# Of what is remembered of accounts, and of addresses; beyond, what failed longest ago is forgotten.
MOST = 20_000
# Of one account from one address so many attempts at once are nothing special; more count as failed while they last.
AT_ONCE = 20
# The first delay; each further failure doubles it.
FIRST_DELAY = 1.0


class Failures:
    """How often each of many has failed lately: a bounded table, without a clock of its own."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._buckets: dict[str, TokenBucket] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def add(self, who: str, now: float, free: int, seconds: float) -> None:
        """One more.  `free` of them are forgiven in `seconds`."""
        rate, buckets = free / seconds, self._buckets
        bucket = buckets.pop(who, None) or TokenBucket(free, now)
        bucket.take(1, now, rate, free)
        buckets[who] = bucket
        # Those that are all forgiven are let go, the oldest first, faster than new ones come.
        for oldest in [key for key, _ in zip(buckets, range(2), strict=False)]:
            old = buckets[oldest]
            if len(buckets) > self._most or old.left + (now - old.at) * rate >= free:
                del buckets[oldest]

    def beyond(self, who: str, now: float, free: int, seconds: float) -> float:
        """How many there are with one more, above those that are free; zero or less while there are none."""
        bucket = self._buckets.get(who)
        if bucket is None:
            return 1 - free
        return 1 - min(free, bucket.left + (now - bucket.at) * free / seconds)

    def forget(self, who: str) -> None:
        """It has not failed."""
        self._buckets.pop(who, None)


def delay(beyond: float, longest: float) -> float:
    """Seconds that an attempt waits which would, if it failed too, be so many above those that are free."""
    if beyond <= 0:
        return 0.0
    return min(longest, FIRST_DELAY * 2 ** min(beyond - 1, 32))


class FailedLogins:
    """Of one c2s."""

    def __init__(self, options: SimpleNamespace, limited: Limited, reactor: Any) -> None:
        self.options, self.limited, self.reactor = options, limited, reactor
        self.accounts, self.addresses = Failures(), Failures()
        # Account and address -> attempts under way, and when the next one may begin.
        self.under_way: dict[str, int] = {}
        self.next: dict[str, float] = {}

    def attempt(self, address: str, account: str) -> Attempt:
        """`async with` it: waits, then counts how it went.  SaslFailure when too many wait already.

        address  what the client's counts as; '': there is no limit for it
        account  the bare JID, whether there is such an account or not
        """
        return Attempt(self, address, account)


class Attempt:
    """One attempt to log in.  Failed is what ends in SaslFailure('not-authorized')."""

    __slots__ = ('_address', '_all', '_key')

    def __init__(self, all: FailedLogins, address: str, account: str) -> None:
        self._all, self._address, self._key = all, address, f'{address} {account}'

    async def __aenter__(self) -> None:
        if not self._address:
            return
        wait = self._wait()
        under_way = self._all.under_way
        under_way[self._key] = under_way.get(self._key, 0) + 1
        if not wait:
            return
        try:
            await deferLater(self._all.reactor, wait, lambda: None)
        except BaseException:
            self._leave()
            raise

    def _wait(self) -> float:
        """Seconds, from now on."""
        all, key = self._all, self._key
        options, now = all.options, all.reactor.seconds()
        longest: float = options.failures_delay
        if not longest:
            return 0.0
        forgiven = options.failures_forgiven
        beyond = all.accounts.beyond(key, now, options.failures_account, forgiven)
        beyond += max(all.under_way.get(key, 0) - AT_ONCE, 0)
        wait = delay(beyond, longest)
        if wait:
            begin = max(all.next.get(key, 0.0), now) + wait
            wait = begin - now
            if wait > 2 * longest:
                all.limited.note('login-refused', self._address)
                raise SaslFailure('temporary-auth-failure', 'too many failed logins')
            all.next[key] = begin
        wait = max(wait, delay(all.addresses.beyond(self._address, now, options.failures_address, forgiven), longest))
        if wait:
            all.limited.note('login-delay', self._address)
        return wait

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._address:
            return
        self._leave()
        all, options = self._all, self._all.options
        if error is None:
            all.accounts.forget(self._key)
        elif isinstance(error, SaslFailure) and error.condition == 'not-authorized':
            now = all.reactor.seconds()
            all.accounts.add(self._key, now, options.failures_account, options.failures_forgiven)
            all.addresses.add(self._address, now, options.failures_address, options.failures_forgiven)

    def _leave(self) -> None:
        all, key = self._all, self._key
        left = all.under_way[key] - 1
        if left:
            all.under_way[key] = left
        else:
            # Whoever comes next finds its delay by the failures alone.
            del all.under_way[key]
            all.next.pop(key, None)
