"""Limits that a stream feature tells of (XEP-0478)."""

from __future__ import annotations

from jabberd_tx.xmpp import ns


def limits(max_bytes: int, idle_seconds: int = 0) -> bytes:
    """The feature: bytes of an element, and seconds of silence until the stream counts as idle (0: never)."""
    idle = f'<idle-seconds>{idle_seconds}</idle-seconds>' if idle_seconds else ''
    return f"<limits xmlns='{ns.STREAM_LIMITS}'><max-bytes>{max_bytes}</max-bytes>{idle}</limits>".encode()
