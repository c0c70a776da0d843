"""Which condition of RFC 6120 §4.9.3 goes with what a client did."""

from __future__ import annotations

import codecs
import re
from xml.parsers import expat

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.events import Violation

_UNDEFINED_ENTITY = 11
_MARKUP_DECLARATION = re.compile(rb'<![A-Za-z]')
_PREFIXES = frozenset((27, 28, 38, 39, 40))  # unbound, undeclared, reserved, or bound to a reserved namespace

POLICY = 'policy-violation'
RESTRICTED = Violation('restricted-xml', 'a comment, a processing instruction or a DTD')
TEXT_BETWEEN = Violation('bad-format', 'text between stanzas')
TEXT_BEFORE = Violation('not-well-formed', 'text before the stream header')
SECOND_HEADER = Violation('bad-format', 'a second stream header')
ENCODING = Violation('unsupported-encoding', 'not UTF-8')


def of_expat(code: int, data: bytes, at: int) -> Violation:
    """From expat's error code and where in the data it stumbled."""
    text = expat.ErrorString(code) or 'broken XML'
    if code == _UNDEFINED_ENTITY:
        return Violation('restricted-xml', 'an entity that XML does not define')
    if code in _PREFIXES:
        return Violation('bad-namespace-prefix', text)
    if _MARKUP_DECLARATION.search(data, max(at - 2, 0), at + 3):
        return RESTRICTED
    try:
        codecs.utf_8_decode(data[at : at + 8], 'strict', False)
    except UnicodeDecodeError:
        return ENCODING
    return Violation('not-well-formed', text)


def of_start(data: bytes) -> Violation | None:
    """Of what stands before a stream header; None when it may be one, or an XML declaration."""
    if data[0] >= 0xFE or 0 in data[:4]:
        return ENCODING  # UTF-16 or UTF-32, with or without a byte order mark
    if data[:1] != b'<' or data[:3] == b'<![':
        return TEXT_BEFORE
    return RESTRICTED if data[:2] == b'<!' else None


def of_between(data: bytes) -> Violation | None:
    """Of what stands between two stanzas; None when it may be a tag."""
    if data[:1] != b'<' or data[:3] == b'<![':
        return TEXT_BETWEEN
    return RESTRICTED if data[:2] in (b'<!', b'<?') else None


def of_element(uri: str, local: str, content: str) -> Violation | None:
    """Of a first-level element that is no stanza, in a stream with that content namespace; None when it may be."""
    if uri == ns.STREAM and local == 'stream':
        return SECOND_HEADER  # said at its start: its end may never come
    if uri and uri not in ns.CONTENT:
        return None
    if not uri or uri != content != '':
        return Violation('invalid-namespace', 'not in the content namespace of the stream')
    if local == 'handshake' and uri in ns.HANDSHAKES:
        return None
    return Violation('unsupported-stanza-type', local)
