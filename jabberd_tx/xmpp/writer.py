"""XML out: start tags, escaping, whole stanzas; no tree is built.

What leaves is well-formed whatever stands in a str: markup is escaped, CR, LF and TAB in attributes
leave as references (a parser would turn them into spaces), and characters that XML 1.0 does not
have become U+FFFD.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.stanza import Stanza

STREAM_END = b'</stream:stream>'

# Not XML 1.0 §2.2 Char, or of a meaning of its own there.
_TEXT = re.compile('[&<>\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]')
_VALUE = re.compile("[&<>'\r\n\t\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_REFERENCES = {
    '&': '&amp;', '<': '&lt;', '>': '&gt;', "'": '&apos;', '\r': '&#13;', '\n': '&#10;', '\t': '&#9;',
}  # fmt: skip


def _reference(match: re.Match[str]) -> str:
    return _REFERENCES.get(match[0], '\ufffd')


def escape(text: str) -> str:
    """Text for between tags."""
    return _TEXT.sub(_reference, text)


def quote(value: str) -> str:
    """An attribute's value, to stand in single quotes."""
    if value.isprintable() and '&' not in value and '<' not in value and "'" not in value and '>' not in value:
        return value
    return _VALUE.sub(_reference, value)


def start_tag(name: str, attrs: Mapping[str, str]) -> str:
    """'<name a='b'', without the closing '>' or '/>'.  An attribute '{namespace}name' gets a prefix of its own."""
    tag = '<' + name + ''.join([f" {key}='{value}'" for key, value in attrs.items()])
    # One look at the whole tag tells that nothing in it needs care.
    if (
        tag.isprintable()
        and '&' not in tag
        and '>' not in tag
        and '{' not in tag
        and tag.rfind('<') == 0
        and tag.count("'") == 2 * len(attrs)
    ):
        return tag
    return _careful_tag(name, attrs)


def _careful_tag(name: str, attrs: Mapping[str, str]) -> str:
    parts = ['<' + name]
    for count, (key, value) in enumerate(attrs.items()):
        if key.startswith('{'):
            uri, _, key = key[1:].rpartition('}')
            parts.append(f" xmlns:ns{count}='{quote(uri)}'")
            key = f'ns{count}:{key}'
        parts.append(f" {key}='{quote(value)}'")
    return ''.join(parts)


def to_xml(stanza: Stanza) -> bytes:
    """The whole stanza, in the stream's content namespace."""
    name, inner = stanza.name, stanza.inner
    tag = start_tag(name, stanza.attrs)
    if not inner:
        return (tag + '/>').encode()
    return b'%b>%b</%b>' % (tag.encode(), inner, name.encode())


def head_and_tail(stanza: Stanza) -> tuple[bytes, bytes]:
    """A stanza without `to`, cut where the `to` goes in: made once, for all targets of a fan-out."""
    attrs: Mapping[str, str] = stanza.attrs
    if 'to' in attrs:
        attrs = {key: value for key, value in attrs.items() if key != 'to'}
    head = start_tag(stanza.name, attrs).encode()
    if not stanza.inner:
        return head, b'/>'
    return head, b'>%b</%b>' % (stanza.inner, stanza.name.encode())


def addressed(head: bytes, to: str, tail: bytes) -> bytes:
    """One target's bytes, of what `head_and_tail` gave; without a `to` attribute where `to` is ''."""
    if not to:
        return head + tail
    return b"%b to='%b'%b" % (head, quote(to).encode(), tail)


def stream_header(content: str, attrs: Mapping[str, str]) -> bytes:
    """XML declaration and <stream:stream>, whose default namespace is `content` (RFC 6120 §4.7)."""
    tag = start_tag('stream:stream', {'xmlns': content, 'xmlns:stream': ns.STREAM, **attrs})
    return f"<?xml version='1.0'?>{tag}>".encode()
