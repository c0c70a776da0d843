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

FAILED_LOGINS = (
    Option(
        'failures_account',
        int,
        5,
        'Failed logins of an account from one address until further ones are delayed: by a second, then two, …',
        low=1,
        high=1000,
        reload=True,
    ),
    Option(
        'failures_address',
        int,
        50,
        'Failed logins from one address, of whatever accounts, until further ones are delayed.',
        low=1,
        high=100_000,
        reload=True,
    ),
    Option(
        'failures_forgiven',
        float,
        900.0,
        'So many of either are forgiven in this time.',
        unit='s',
        low=1,
        high=86400,
        reload=True,
    ),
    Option('failures_delay', float, 15.0, 'The longest delay; 0: none.', unit='s', low=0, high=600, reload=True),
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

_MIB = 1 << 20


def _rate(name: str, default: int, what: str, unit: str = '') -> Option:
    help = f'{what} that a client may send in a second, on and on; 0: no limit.'
    return Option(f'rate_{name}', int, default, help, unit=unit, low=0, high=1 << 40, reload=True)


def _burst(name: str, default: int, what: str, unit: str = '') -> Option:
    help = f'{what} that it may send at once, after a rest.'
    return Option(f'burst_{name}', int, default, help, unit=unit, low=1, high=1 << 40, reload=True)


RATES = (
    _rate('bytes', 262144, 'Bytes', 'bytes'),
    _burst('bytes', 4 * _MIB, 'Bytes', 'bytes'),
    _rate('stanzas', 200, 'Stanzas'),
    _burst('stanzas', 4000, 'Stanzas'),
    _rate('presences', 2, 'Changes of presence, which go to all contacts,'),
    _burst('presences', 60, 'Changes of presence'),
    _rate('iqs', 50, 'IQs'),
    _burst('iqs', 2000, 'IQs'),
    Option(
        'rate_patience',
        float,
        120.0,
        'A client that wants more than a rate for so long, on and on, is closed; 0: only slowed down.',
        unit='s',
        low=0,
        high=86400,
        reload=True,
    ),
)
