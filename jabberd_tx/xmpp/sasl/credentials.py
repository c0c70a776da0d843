"""What is kept of a password: for each SCRAM mechanism a verifier (RFC 5802 §3), never the password."""

from __future__ import annotations

from typing import NamedTuple


class Verifier(NamedTuple):
    """salt, iterations: as sent to the client; stored_key, server_key: as long as the mechanism's hash."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


# By 'SCRAM-SHA-1', 'SCRAM-SHA-256', 'SCRAM-SHA-512'.
Credentials = dict[str, Verifier]
