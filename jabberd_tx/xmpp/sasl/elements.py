"""What SASL puts on the wire (RFC 6120 §6.4): base64, and the elements of the server."""

from __future__ import annotations

from binascii import b2a_base64

from jabberd_tx.xmpp.ns import SASL
from jabberd_tx.xmpp.sasl.base64 import decode_base64
from jabberd_tx.xmpp.sasl.failure import SaslFailure
from jabberd_tx.xmpp.writer import escape


def decode(text: str) -> bytes | None:
    """The bytes of an <auth/> or <response/>; None where there is no text: no initial response (§6.4.2).

    A single '=' is an empty one.  Raises SaslFailure('incorrect-encoding') for anything that is not strict base64.
    """
    if not text:
        return None
    if text == '=':
        return b''
    try:
        return decode_base64(text)
    except ValueError:
        raise SaslFailure('incorrect-encoding') from None


def encode(data: bytes) -> bytes:
    """Base64 for a <challenge/> or <success/>; '=' for empty data."""
    return b2a_base64(data, newline=False) or b'='


def challenge(data: bytes) -> bytes:
    """The <challenge/> element."""
    return b"<challenge xmlns='%s'>%s</challenge>" % (_NS, encode(data))


def success(data: bytes | None = None) -> bytes:
    """The <success/> element, with additional data where the mechanism has some (§6.4.6)."""
    if data is None:
        return b"<success xmlns='%s'/>" % _NS
    return b"<success xmlns='%s'>%s</success>" % (_NS, encode(data))


def failure(reason: SaslFailure) -> bytes:
    """The <failure/> element (§6.5)."""
    text = f"<text xml:lang='en'>{escape(reason.text)}</text>" if reason.text else ''
    return f"<failure xmlns='{SASL}'><{reason.condition}/>{text}</failure>".encode()


_NS = SASL.encode()
