"""Options of [c2s]: what clients may do (docs/limits.md), and what is held for them (docs/client-state.md)."""

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

CLIENT_STATE = (
    Option('csi', bool, True, 'Clients may say that nobody looks at them (XEP-0352).', reload=True),
    Option(
        'csi_stanzas',
        int,
        100,
        'Stanzas held for an inactive client; at so many it gets them.',
        low=1,
        high=1000,
        reload=True,
    ),
    Option(
        'csi_bytes', int, 65536, '… or so many bytes …', unit='bytes', low=1024, high=1 << 20, reload=True
    ),
    Option(
        'csi_seconds',
        float,
        600.0,
        '… or when the oldest has been held for so long.',
        unit='s',
        low=1,
        high=86400,
        reload=True,
    ),
)
