"""FAST (XEP-0484): its parts of stream features, <authenticate/> and <success/>."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from twisted.words.xish.domish import Element

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.sasl.failure import SaslFailure


class Fast(NamedTuple):
    """<fast/>: the client logs in with a token.

    uses        how often it has used it, in its own words (`count`); None: it does not say
    invalidate  it will not use it again
    """

    uses: int | None = None
    invalidate: bool = False


def parse_fast(element: Element) -> Fast:
    """SaslFailure('malformed-request')."""
    text = str(element.getAttribute('count') or '').strip()
    if text and not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise SaslFailure('malformed-request', 'count is a number')
    invalidate = str(element.getAttribute('invalidate') or '').strip() in ('1', 'true')
    return Fast(int(text) if text else None, invalidate)


def feature(mechanisms: tuple[str, ...]) -> bytes:
    """Among the inline features of XEP-0388 (§3.1)."""
    names = ''.join([f'<mechanism>{name}</mechanism>' for name in mechanisms])
    return f"<fast xmlns='{ns.FAST}'>{names}</fast>".encode()


def token(value: str, expires: float) -> bytes:
    """In <success/>: the client's new token, and when it ends (seconds since 1970 UTC; §3.3)."""
    at = datetime.fromtimestamp(int(expires), UTC).strftime('%Y-%m-%dT%H:%M:%SZ')
    return f"<token xmlns='{ns.FAST}' expiry='{at}' token='{value}'/>".encode()
