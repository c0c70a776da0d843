"""Which mechanisms and channel bindings a stream is offered, and whom a client may act as."""

from __future__ import annotations

from collections.abc import Collection

from jabberd_tx.xmpp.jid import InvalidJid, parse
from jabberd_tx.xmpp.ns import CHANNEL_BINDING
from jabberd_tx.xmpp.sasl.failure import SaslFailure
from jabberd_tx.xmpp.sasl.verifiers import HASHES


def offered(tls: bool, allow_plain: bool, bindings: Collection[str], known: Collection[str] = HASHES) -> list[str]:
    """Mechanism names, strongest first: those with channel binding, then the others, PLAIN last.

    tls          the stream is encrypted
    allow_plain  PLAIN may be used without TLS as well
    bindings     the channel binding types that this stream has
    known        the SCRAM mechanisms that verifiers are kept for
    """
    scram = [name for name in HASHES if name in known]
    bound = [name + '-PLUS' for name in scram] if bindings else []
    return bound + scram + (['PLAIN'] if tls or allow_plain else [])


def channel_bindings(types: Collection[str]) -> bytes:
    """The stream feature that lists channel binding types (XEP-0440); nothing if there are none."""
    if not types:
        return b''
    inner = ''.join(f"<channel-binding type='{name}'/>" for name in types)
    return f"<sasl-channel-binding xmlns='{CHANNEL_BINDING}'>{inner}</sasl-channel-binding>".encode()


def check_authzid(authzid: str, owner: str) -> None:
    """A client may act as itself and nobody else (RFC 6120 §6.3.8); `owner` is a prepared bare JID.

    Raises SaslFailure('invalid-authzid').
    """
    try:
        if not authzid or parse(authzid).full == owner:
            return
    except InvalidJid:
        pass
    raise SaslFailure('invalid-authzid')
