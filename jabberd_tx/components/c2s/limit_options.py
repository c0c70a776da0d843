"""Options of [c2s] that bound what clients may do (docs/limits.md)."""

from __future__ import annotations

from jabberd_tx.base.options import Option

CONNECTION_LIMITS = (
    Option('most_connections', int, 100_000, 'Connections at once; 0: no limit.', low=0, high=10_000_000, reload=True),
    Option(
        'address_connections',
        int,
        1000,
        'Connections at once from one address (of IPv6: from one /64); 0: no limit.',
        low=0,
        high=10_000_000,
        reload=True,
    ),
    Option(
        'unlimited_addresses',
        list,
        ['127.0.0.0/8', '::1'],
        'Addresses and networks that neither address_connections nor delays after failed logins hold for.',
        high=1000,
        reload=True,
    ),
)
