"""What the gateway counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jabberd_tx.base.metrics import Counters, Metrics

if TYPE_CHECKING:
    from jabberd_tx.components.gateway.service import Gateway

KINDS = ('message', 'presence', 'iq')


class Measures:
    """Stanzas by kind, and what can be read off the gateway."""

    __slots__ = ('_received', '_sent')

    def __init__(self, metrics: Metrics, gateway: Gateway) -> None:
        self._received = metrics.counters(
            'jabberd_gateway_stanzas_received', 'Stanzas from external components.', 'kind', KINDS
        )
        self._sent = metrics.counters('jabberd_gateway_stanzas_sent', 'Stanzas for external components.', 'kind', KINDS)
        metrics.gauge('jabberd_gateway_connections', 'Components that have their name.', gateway.count, 'name')
        metrics.gauge(
            'jabberd_gateway_unconfirmed', 'Stanzas from components that are not confirmed.', gateway.count_unconfirmed
        )
        metrics.gauge(
            'jabberd_gateway_waiting_bytes', 'What waits for components that read slowly.', gateway.count_waiting
        )

    def received(self, kind: str) -> None:
        """One from a component."""
        _count(self._received, kind)

    def sent(self, kind: str) -> None:
        """One for a component."""
        _count(self._sent, kind)


def _count(counts: Counters, kind: str) -> None:
    if kind == 'message':
        counts.message += 1
    elif kind == 'presence':
        counts.presence += 1
    else:
        counts.iq += 1
