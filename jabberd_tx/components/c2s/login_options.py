"""Options of [c2s]: the ways to log in (docs/logging-in.md)."""

from __future__ import annotations

from jabberd_tx.base.options import Option

LOGIN = (
    Option('sasl2', bool, True, 'Offer the Extensible SASL Profile: fewer round trips (XEP-0388).', reload=True),
    Option('bind2', bool, True, 'With it, resources may be bound in the same round trip (XEP-0386).', reload=True),
    Option('stream_limits', bool, True, 'Tell clients the size that a stanza may have (XEP-0478).', reload=True),
    Option(
        'downgrade_protection',
        bool,
        True,
        'Let clients notice when somebody has taken mechanisms from what they were offered (XEP-0474).',
        reload=True,
    ),
)
