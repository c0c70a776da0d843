"""Options of [c2s]: the ways to log in (docs/logging-in.md)."""

from __future__ import annotations

from jabberd_tx.base.options import Option

LOGIN = (
    Option('sasl2', bool, True, 'Offer the Extensible SASL Profile: fewer round trips (XEP-0388).', reload=True),
    Option('bind2', bool, True, 'With it, resources may be bound in the same round trip (XEP-0386).', reload=True),
    Option('fast', bool, True, 'With sasl2, clients may get tokens to log in with later (XEP-0484).', reload=True),
    Option(
        'fast_days',
        int,
        21,
        'How long a token may be used; half-way there is a new one.',
        unit='days',
        low=1,
        high=3650,
        reload=True,
    ),
    Option(
        'fast_key',
        str,
        'fast.key',
        'File with the key that tokens are made with; made if it is not there. The same for all workers of a site.',
        low=1,
        path=True,
    ),
    Option(
        'upgrades',
        bool,
        True,
        'With sasl2, clients of accounts without verifiers for stronger mechanisms may add them (XEP-0480).',
        reload=True,
    ),
    Option(
        'registration',
        str,
        'closed',
        'Who may make an account before logging in (XEP-0077): nobody, whoever has an invitation (XEP-0445; '
        'jabberd-ctl invite), or anybody.',
        choices=('closed', 'invited', 'open'),
        reload=True,
    ),
    Option(
        'registrations_hourly',
        int,
        5,
        'Attempts to make an account from one address (of IPv6: from one /64) within an hour; 0: no limit.',
        low=0,
        high=1_000_000,
        reload=True,
    ),
    Option(
        'anonymous_domains',
        list,
        [],
        'Domains of [server] where people may log in without an account (SASL ANONYMOUS).',
        high=1000,
        reload=True,
    ),
    Option(
        'anonymous_reach',
        list,
        [],
        'Domains and JIDs that they reach, beside their own server; as prepared: in small letters.',
        high=1000,
        reload=True,
    ),
    Option('stream_limits', bool, True, 'Tell clients the size that a stanza may have (XEP-0478).', reload=True),
    Option(
        'downgrade_protection',
        bool,
        True,
        'Let clients notice when somebody has taken mechanisms from what they were offered (XEP-0474).',
        reload=True,
    ),
)
