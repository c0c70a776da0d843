"""Options of [c2s] for streams that clients may resume (XEP-0198 §5)."""

from __future__ import annotations

from jabberd_tx.base.options import Option

RESUMPTION = (
    Option(
        'resume_timeout',
        int,
        300,
        'How long a session waits for a client that has lost its connection (XEP-0198); 0: not at all.',
        unit='s',
        low=0,
        high=86400,
        reload=True,
    ),
    Option(
        'resume_location',
        str,
        '',
        'Where clients are to resume their streams: host or host:port. Empty: anywhere.',
        high=255,
        reload=True,
    ),
    Option(
        'away_sessions',
        int,
        100_000,
        'Sessions that wait for their client; beyond, the one that has waited longest ends.',
        low=1,
        high=10_000_000,
        reload=True,
    ),
    Option(
        'away_bytes',
        int,
        1 << 29,
        'Bytes that wait for clients which are away, of all of them together; beyond, the same.',
        unit='bytes',
        low=1 << 20,
        high=1 << 40,
        reload=True,
    ),
)
