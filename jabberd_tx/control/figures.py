"""What `jabberd-ctl status` shows of every process alike: counts, whose growth is a rate, and what waits."""

from __future__ import annotations

from jabberd_tx.base.metrics import Metrics

# In the words of the table, and the metric.  A process has those of the services that run in it.
COUNTS = {
    'stanzas from clients': 'jabberd_c2s_stanzas_received',
    'stanzas to clients': 'jabberd_c2s_stanzas_sent',
    'stanzas from components': 'jabberd_gateway_stanzas_received',
    'stanzas to components': 'jabberd_gateway_stanzas_sent',
    'stanzas to plugins': 'jabberd_component_stanzas',
    'stanzas': 'jabberd_sm_stanzas',
    'frames': 'jabberd_router_frames',
}
QUEUES = {
    'unconfirmed': 'jabberd_c2s_unconfirmed',
    'bytes for clients': 'jabberd_c2s_waiting_bytes',
    'unconfirmed from components': 'jabberd_gateway_unconfirmed',
    'bytes for components': 'jabberd_gateway_waiting_bytes',
    'taken by plugins': 'jabberd_component_taken',
    'unconfirmed from plugins': 'jabberd_component_sent',
    'pending': 'jabberd_sm_pending',
    'frames on local links': 'jabberd_link_waiting_frames',
    'bytes on links': 'jabberd_link_waiting_bytes',
    'storage operations': 'jabberd_storage_waiting',
}


def counts_and_queues(metrics: Metrics) -> dict[str, dict[str, int]]:
    """{'counts': {words: number so far}, 'queues': {words: number now}}."""
    return {
        'counts': {words: int(metrics.value(name)) for words, name in COUNTS.items() if metrics.has(name)},
        'queues': {words: int(metrics.value(name)) for words, name in QUEUES.items() if metrics.has(name)},
    }
