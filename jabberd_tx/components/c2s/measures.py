"""What c2s counts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from jabberd_tx.base.metrics import Counters, Metrics
from jabberd_tx.components.c2s.client_state import StateMeasures
from jabberd_tx.components.c2s.status import count_copied, count_unacked, count_unconfirmed, count_waiting

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.service import C2S

KINDS = ('message', 'presence', 'iq')


class Measures:
    """received, sent: stanzas by kind; logins, resumptions: by outcome; client_state: what is held."""

    def __init__(self, metrics: Metrics, c2s: C2S) -> None:
        self.received: Counters = metrics.counters(
            'jabberd_c2s_stanzas_received', 'Stanzas from clients.', 'kind', KINDS
        )
        self.sent: Counters = metrics.counters('jabberd_c2s_stanzas_sent', 'Stanzas to clients.', 'kind', KINDS)
        self.logins: Counters = metrics.counters('jabberd_c2s_logins', 'Logins.', 'outcome', ('ok', 'failed'))
        self.client_state = StateMeasures(metrics)
        self._login_seconds = metrics.histogram('jabberd_c2s_login_seconds', 'From connection to bound resource.')
        metrics.gauge('jabberd_c2s_streams', 'Streams with a resource.', lambda: c2s.streams)
        self.resumptions: Counters = metrics.counters(
            'jabberd_c2s_resumptions', 'Wishes to resume a stream.', 'outcome', ('here', 'moved', 'recovered', 'failed')
        )
        metrics.gauge('jabberd_c2s_away', 'Sessions that wait for their client.', lambda: len(c2s.resumable.away))
        metrics.gauge(
            'jabberd_c2s_bytes_away', 'What waits for clients that are away.', lambda: c2s.resumable.away_bytes
        )
        metrics.gauge('jabberd_c2s_logins_under_way', 'Connections without one.', lambda: len(c2s.logins))
        metrics.gauge('jabberd_c2s_unconfirmed', 'Stanzas of clients, not confirmed.', partial(count_unconfirmed, c2s))
        metrics.gauge('jabberd_c2s_unacked', 'Stanzas that clients have not acked.', partial(count_unacked, c2s))
        metrics.gauge('jabberd_c2s_waiting_bytes', 'What waits for slow clients.', partial(count_waiting, c2s))
        metrics.gauge('jabberd_c2s_copied_bytes', 'Size of the log of copies.', partial(count_copied, c2s))
        metrics.gauge('jabberd_c2s_returned', 'Messages on their way back to an sm.', lambda: len(c2s.returned))

    def logged_in(self, seconds: float) -> None:
        """A resource is bound, so long after the client connected."""
        self.logins.ok += 1
        self._login_seconds.observe(seconds)
