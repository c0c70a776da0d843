"""What the session manager counts."""

from __future__ import annotations

from collections.abc import Callable

from jabberd_tx.base.metrics import Metrics


class Measures:
    """stanzas: taken, by kind; messages: what became of them; limited: by limit; bounces: of messages; handling: of
    every 64th message."""

    def __init__(
        self,
        metrics: Metrics,
        pending: Callable[[], float],
        rosters: Callable[[], float],
        waiting: Callable[[], float],
    ) -> None:
        """pending: stanzas that are not confirmed; rosters: those in memory; waiting: streams with a stanza at work."""
        self.stanzas = metrics.counters(
            'jabberd_sm_stanzas',
            'Stanzas taken by the session manager.',
            'kind',
            ('message', 'presence', 'iq', 'session'),
        )
        self.messages = metrics.counters(
            'jabberd_sm_messages',
            'What became of messages to users.',
            'outcome',
            ('delivered', 'stored', 'refused', 'dropped'),
        )
        self.limited = metrics.counters(
            'jabberd_sm_limited',
            'How often users have met a limit.',
            'limit',
            ('resources', 'roster', 'groups', 'requests', 'directed'),
        )
        self.bounces = metrics.counters('jabberd_sm_bounces', 'Messages that a node or a router sent back.')
        self.handling = metrics.histogram(
            'jabberd_sm_handling_seconds', 'From when a message is taken until it is settled (1 in 64).'
        )
        metrics.gauge('jabberd_sm_pending', 'Stanzas that are not confirmed.', pending)
        metrics.gauge('jabberd_sm_waiting', 'Streams and users whose next stanzas wait for one at work.', waiting)
        metrics.gauge('jabberd_sm_rosters', 'Rosters in memory.', rosters)
