"""Where clients have met a limit: counted for the metrics, and logged once a minute, however often it was."""

from __future__ import annotations

from twisted.logger import Logger

from jabberd_tx.base.metrics import Metrics

# Of the metric, and for the log.
LIMITS = {
    'connections': 'connections in all',
    'descriptors': 'connections that there are file descriptors for (LimitNOFILE=, ulimit -n)',
    'address-connections': 'connections from one address',
    'logins': 'connections that have not logged in',
    'login-delay': 'logins delayed after failures',
    'login-refused': 'logins refused after failures',
    'bytes': 'bytes a second',
    'stanzas': 'stanzas a second',
    'presences': 'changes of presence a second',
    'iqs': 'IQs a second',
    'registrations': 'accounts from one address an hour',
    'away-bytes': 'bytes that wait for clients which are away',
    'patience': 'above a rate for too long',
}
# Seconds from one line in the log to the next, for each limit.
EVERY = 60


class Limited:
    """See the module's text."""

    log = Logger()

    def __init__(self, metrics: Metrics) -> None:
        self.counts = metrics.counters(
            'jabberd_c2s_limited', 'How often clients have met a limit.', 'limit', tuple(LIMITS)
        )
        self._recent: dict[str, tuple[int, str]] = {}

    def note(self, limit: str, who: str) -> None:
        """One more.  `who`: an address or a JID, for the log."""
        self.counts.one_more(limit)
        count, _ = self._recent.get(limit, (0, ''))
        self._recent[limit] = (count + 1, who)

    def tick(self, tick: int) -> None:
        """Called once a second."""
        if not self._recent or tick % EVERY:
            return
        for limit, (count, who) in self._recent.items():
            self.log.warn(
                'limit reached: {what}: {count} times within a minute, at last by {who}',
                what=LIMITS[limit],
                count=count,
                who=who,
            )
        self._recent.clear()
