"""SASL, the server's side, without I/O: SCRAM with and without channel binding, and PLAIN (RFC 6120 §6)."""

from jabberd_tx.xmpp.sasl.downgrade import offer_hash
from jabberd_tx.xmpp.sasl.elements import challenge, decode, encode, failure, success
from jabberd_tx.xmpp.sasl.failure import CONDITIONS, SaslFailure
from jabberd_tx.xmpp.sasl.mechanisms import channel_bindings, check_authzid, offered
from jabberd_tx.xmpp.sasl.plain import parse_plain
from jabberd_tx.xmpp.sasl.saslprep import saslprep
from jabberd_tx.xmpp.sasl.scram import ScramServer
from jabberd_tx.xmpp.sasl.verifiers import (
    DEFAULT_ITERATIONS,
    HASHES,
    LEAST_ITERATIONS,
    SALT_BYTES,
    Credentials,
    Verifier,
    derive,
    verify,
)

__all__ = [
    'CONDITIONS',
    'DEFAULT_ITERATIONS',
    'HASHES',
    'LEAST_ITERATIONS',
    'SALT_BYTES',
    'Credentials',
    'SaslFailure',
    'ScramServer',
    'Verifier',
    'challenge',
    'channel_bindings',
    'check_authzid',
    'decode',
    'derive',
    'encode',
    'failure',
    'offer_hash',
    'offered',
    'parse_plain',
    'saslprep',
    'success',
    'verify',
]
