"""PLAIN (RFC 4616): only for streams that are encrypted, or where the operator said so."""

from __future__ import annotations

from jabberd_tx.xmpp.sasl.failure import SaslFailure
from jabberd_tx.xmpp.sasl.saslprep import saslprep


def parse_plain(message: bytes) -> tuple[str, str, str]:
    """(authzid, authcid, password): `[authzid] NUL authcid NUL password` in UTF-8.

    The authcid is prepared, the password is not: `verify` does it.  Raises SaslFailure('malformed-request').
    """
    try:
        authzid, authcid, password = message.decode().split('\0')
        authcid = saslprep(authcid, stored=False)
    except ValueError:
        raise SaslFailure('malformed-request', 'expected authzid, NUL, user name, NUL, password in UTF-8') from None
    if not authcid or not password:
        raise SaslFailure('malformed-request', 'the user name and the password may not be empty')
    return authzid, authcid, password
