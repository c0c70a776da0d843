"""What was refused: counted for the metrics, and logged: at once, but of many alike only a first one a minute."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from jabberd_tx.base.metrics import Metrics

# Of the metric; what is not listed counts as the last one.
CONDITIONS = (
    'not-authorized', 'conflict', 'host-unknown', 'invalid-from', 'invalid-namespace', 'bad-format', 'not-well-formed',
    'policy-violation', 'restricted-xml', 'connection-timeout', 'resource-constraint', 'rate', 'other',
)  # fmt: skip
# Seconds from one line of a kind to the next.
EVERY = 60.0
# Kinds (who, and why) that are remembered.
MOST = 1000


class Refusals:
    """See the module's text."""

    log = Logger()

    def __init__(self, metrics: Metrics, clock: IReactorTime) -> None:
        self._clock = clock
        self._counts = metrics.counters(
            'jabberd_gateway_refused', 'What external components were refused.', 'condition', CONDITIONS
        )
        self._recent: dict[tuple[str, str], tuple[float, int]] = {}  # when it was logged, and how often since

    def note(self, who: str, condition: str, text: str = '') -> None:
        """One more.  `who`: a name and an address, as far as they are known."""
        counted = condition if condition in CONDITIONS else 'other'
        self._counts.one_more(counted)
        now = self._clock.seconds()
        logged, since = self._recent.pop((who, condition), (-EVERY, 0))
        if now - logged >= EVERY:
            again = f' ({since} more since the last line)' if since else ''
            self.log.warn('{who}: {condition}: {text}{again}', who=who, condition=condition, text=text, again=again)
            logged, since = now, -1
        if len(self._recent) >= MOST:
            del self._recent[next(iter(self._recent))]
        self._recent[who, condition] = (logged, since + 1)
