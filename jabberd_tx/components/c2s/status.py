"""What c2s has at the moment, counted when somebody asks: for an operator, for metrics, and for its end."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.service import C2S


def status(c2s: C2S) -> dict[str, Any]:
    """For an operator."""
    sessions = c2s.sessions.values()
    return {
        'node': c2s.node,
        'domains': list(c2s.domains),
        'streams': c2s.streams,
        'logins': len(c2s.logins),
        'closing': len(c2s.closing),
        'away': len(c2s.resumable.away),
        'moving': len(c2s.moves.given),
        'pins': dict(Counter([session.pin.node for session in sessions])),
        'sessions_waiting': len([session for session in sessions if session.link is None]),
        'sessions_over': len([session for session in sessions if session.conn is None]),
        'unconfirmed': count_unconfirmed(c2s),
        'returned': len(c2s.returned),
        'draining': c2s.stopping,
    }


def count_unconfirmed(c2s: C2S) -> int:
    """Stanzas of clients that are not confirmed."""
    return sum([len(session.unconfirmed) for session in c2s.sessions.values()])


def count_unacked(c2s: C2S) -> int:
    """Stanzas that were sent to clients which have not acked them."""
    return sum([len(session.acks.unacked) for session in c2s.sessions.values() if session.acks is not None])


def count_waiting(c2s: C2S) -> int:
    """Bytes that wait for clients which read more slowly than others write."""
    return sum([session.waiting for session in c2s.sessions.values()])


def count_copied(c2s: C2S) -> int:
    """Bytes of the log of copies."""
    return c2s.copies.size() if c2s.copies is not None else 0
