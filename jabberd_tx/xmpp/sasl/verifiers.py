"""What is stored instead of a password: a SCRAM verifier for each hash (RFC 5802 §3)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import NamedTuple

from jabberd_tx.xmpp.sasl.saslprep import saslprep

# By mechanism, strongest first.
HASHES = {'SCRAM-SHA-512': 'sha512', 'SCRAM-SHA-256': 'sha256', 'SCRAM-SHA-1': 'sha1'}

# Verifiers for all three hashes take 13.5 ms of CPU with this many (3.3 + 3.3 + 6.9 ms): 2,000 accounts in 27 s on
# one core, half that on two, since PBKDF2 runs without the interpreter's lock.
DEFAULT_ITERATIONS = 10000
LEAST_ITERATIONS = 4096  # RFC 5802 §5.1
SALT_BYTES = 16


class Verifier(NamedTuple):
    """Proves or checks one password with one hash."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes

    @classmethod
    def of(cls, hash_name: str, salt: bytes, iterations: int, salted: bytes) -> Verifier:
        """From the SaltedPassword; `hash_name`: one of the values of HASHES."""
        client_key = hmac.digest(salted, b'Client Key', hash_name)
        server_key = hmac.digest(salted, b'Server Key', hash_name)
        return cls(salt, iterations, hashlib.new(hash_name, client_key).digest(), server_key)


Credentials = dict[str, Verifier]  # by 'SCRAM-SHA-1', 'SCRAM-SHA-256', 'SCRAM-SHA-512'

# What a PLAIN password is compared with when there is no such account: nothing hashes to it.
_NOBODY: Credentials = {'SCRAM-SHA-1': Verifier(bytes(SALT_BYTES), DEFAULT_ITERATIONS, bytes(20), bytes(20))}


def derive(password: str, iterations: int = DEFAULT_ITERATIONS) -> Credentials:
    """Verifiers for a new password, with a salt for each.  Slow: never on the reactor's thread.

    Raises ValueError for a password that is empty or that SASLprep refuses, and for fewer iterations than 4096.
    """
    if iterations < LEAST_ITERATIONS:
        raise ValueError(f'at least {LEAST_ITERATIONS} iterations')
    prepared = saslprep(password).encode()
    if not prepared:
        raise ValueError('the password is empty')
    return {name: _derive(hash_name, prepared, iterations) for name, hash_name in HASHES.items()}


def _derive(hash_name: str, prepared: bytes, iterations: int) -> Verifier:
    salt = secrets.token_bytes(SALT_BYTES)
    return Verifier.of(hash_name, salt, iterations, hashlib.pbkdf2_hmac(hash_name, prepared, salt, iterations))


def verify(password: str, credentials: Credentials | None) -> bool:
    """Whether this is the password (for PLAIN).  Slow: never on the reactor's thread.

    Takes as long when there is no such account (None), or no account that a password could open.
    """
    known = [name for name in reversed(HASHES) if credentials and name in credentials]
    name = known[0] if known else 'SCRAM-SHA-1'
    verifier = credentials[name] if credentials and known else _NOBODY[name]
    try:
        prepared = saslprep(password).encode()
    except ValueError:
        prepared = b''
    hash_name = HASHES[name]
    salted = hashlib.pbkdf2_hmac(hash_name, prepared, verifier.salt, verifier.iterations)
    stored_key = hashlib.new(hash_name, hmac.digest(salted, b'Client Key', hash_name)).digest()
    return hmac.compare_digest(stored_key, verifier.stored_key) and bool(prepared)
