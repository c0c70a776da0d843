"""SASL HT (draft-schmaus-kitten-sasl-ht): a token proves who somebody is, in one message, for FAST (XEP-0484)."""

from __future__ import annotations

import hmac
from collections.abc import Collection

from jabberd_tx.xmpp.sasl.failure import SaslFailure
from jabberd_tx.xmpp.sasl.saslprep import saslprep

# By mechanism, strongest first: the channel binding that it has, '' for none.
HT_BINDINGS = {
    'HT-SHA-256-EXPR': 'tls-exporter',
    'HT-SHA-256-ENDP': 'tls-server-end-point',
    'HT-SHA-256-NONE': '',
}


def ht_offered(bindings: Collection[str]) -> tuple[str, ...]:
    """Those that a stream with these channel binding types can have, strongest first."""
    return tuple(name for name, kind in HT_BINDINGS.items() if not kind or kind in bindings)


def parse_initiator(message: bytes) -> tuple[str, bytes]:
    """(user name, hashed token) of the initiator's message; SaslFailure('malformed-request')."""
    name, separator, hashed = message.partition(b'\0')
    try:
        prepared = saslprep(name.decode(), stored=False) if separator else ''
    except ValueError:
        prepared = ''
    if not prepared or not hashed:
        raise SaslFailure('malformed-request', 'expected a user name, NUL, and the hash of a token')
    return prepared, hashed


def initiator_hash(token: bytes, binding: bytes) -> bytes:
    """What who has the token sends; `binding`: the channel binding data, b'' for none."""
    return hmac.digest(token, b'Initiator' + binding, 'sha256')


def responder_hash(token: bytes, binding: bytes) -> bytes:
    """What the server answers, so that the client knows that it has the token, too."""
    return hmac.digest(token, b'Responder' + binding, 'sha256')
