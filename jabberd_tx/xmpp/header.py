"""What a stream header declares, and what that means for the stanzas that follow (RFC 6120 §4.7, §4.8)."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.names import SEPARATOR, split
from jabberd_tx.xmpp.writer import start_tag

# For each content namespace ('': none declared, any will do) the stanzas' names as expat reports them.
_STANZAS = {
    content: {space + SEPARATOR + name: name for space in spaces for name in ('message', 'presence', 'iq')}
    for content, spaces in [*((space, (space,)) for space in ns.CONTENT), ('', ns.CONTENT)]
}


class HeaderError(Exception):
    """No header of a stream that this server has; the argument is the condition of RFC 6120 §4.9.3."""


class Context(NamedTuple):
    """What holds around every first-level element of a stream.

    content  the content namespace, '' where the header declares none: each stanza then names its own
    stanzas  the names that stanzas have, as expat reports them, to 'message', 'presence' or 'iq'
    outside  b'prefix:' for each prefix that is declared here: a slice with one in it leans on this header
    default  whether the content namespace is the default one: if not, every slice leans on it
    header   a start tag that declares all that the client's header did
    """

    content: str
    stanzas: dict[str, str]
    outside: tuple[bytes, ...]
    default: bool
    header: bytes


NO_CONTEXT = Context('', {}, (), False, b'')
_LONGEST_CACHED = 512  # characters of all that a header declares


def context(name: str, declared: tuple[tuple[str, str], ...]) -> Context:
    """From the name of the root as expat reports it and what it declares: (prefix or '', namespace) each.

    HeaderError: invalid-namespace (§4.9.3.10), or bad-format for another element of the stream namespace.
    """
    if sum([len(prefix) + len(space) for prefix, space in declared]) > _LONGEST_CACHED:
        return _context(name, declared)
    return _cached(name, declared)


def _context(name: str, declared: tuple[tuple[str, str], ...]) -> Context:
    uri, local = split(name)
    spaces = dict(declared)
    default = spaces.get('', '')
    if uri != ns.STREAM or default not in ('', ns.STREAM, *ns.CONTENT):
        raise HeaderError('invalid-namespace')
    if local != 'stream':
        raise HeaderError('bad-format')
    is_default = default in ns.CONTENT
    content = default if is_default else next((space for space in spaces.values() if space in ns.CONTENT), '')
    tag, declarations = 'stream', {}
    for prefix, space in declared:
        declarations[f'xmlns:{prefix}' if prefix else 'xmlns'] = space
        if prefix and space == ns.STREAM:
            tag = f'{prefix}:stream'
    return Context(
        content,
        _STANZAS[content],
        tuple([prefix.encode() + b':' for prefix, _ in declared if prefix not in ('', 'xml')]),
        is_default,
        f'{start_tag(tag, declarations)}>'.encode(),
    )


# Most clients' headers declare the same: their streams share one Context.
_cached = lru_cache(64)(_context)
