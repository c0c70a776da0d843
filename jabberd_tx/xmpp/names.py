"""Names of elements and attributes as expat reports them, in one str, and what becomes of them."""

from __future__ import annotations

from jabberd_tx.xmpp import ns

# Between namespace and local name: a character that XML does not have.
SEPARATOR = '\x01'

_children: dict[str, tuple[str, str]] = {}  # what `child_name` gave, of the first names that it was asked
_MOST_REMEMBERED, _LONGEST_REMEMBERED = 1024, 256


def split(name: str) -> tuple[str, str]:
    """(namespace or '', local name)."""
    uri, _, local = name.rpartition(SEPARATOR)
    return uri, local


def child_name(name: str) -> tuple[str, str]:
    """(namespace, local name) of a stanza's direct child; the content namespaces are one, jabber:client.

    The names that most stanzas have are remembered, so that what is queued shares them.
    """
    known = _children.get(name)
    if known is not None:
        return known
    uri, local = split(name)
    if uri in ns.CONTENT:
        uri = ns.CLIENT
    if len(_children) < _MOST_REMEMBERED and len(name) <= _LONGEST_REMEMBERED:
        _children[name] = uri, local
    return uri, local


def as_written(attrs: dict[str, str]) -> dict[str, str]:
    """Attributes by the names that a Stanza has: 'to', 'xml:lang', '{namespace}name' for any other namespace."""
    written = {}
    for key, value in attrs.items():
        uri, local = split(key)
        if uri:
            key = f'xml:{local}' if uri == ns.XML else f'{{{uri}}}{local}'
        written[key] = value
    return written
