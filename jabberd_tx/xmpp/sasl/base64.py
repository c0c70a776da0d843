"""Base64 as strict as SASL wants it: the alphabet, full groups of four, padding only where it belongs."""

from __future__ import annotations

import re
from binascii import a2b_base64

# The strict mode of binascii lets padding through that is not needed.
_BASE64 = re.compile(r'(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?')


def decode_base64(text: str) -> bytes:
    """The bytes; ValueError for anything else, white space included."""
    if _BASE64.fullmatch(text) is None:
        raise ValueError('not base64')
    return a2b_base64(text)
