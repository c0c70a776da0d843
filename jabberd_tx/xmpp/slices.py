"""Whether a slice of a stream stands alone, or leans on what is declared around it.

When in doubt it leans: writing it anew takes longer, and gives the same XML.
"""

from __future__ import annotations

from collections.abc import Iterable

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.header import Context
from jabberd_tx.xmpp.stanza import Child
from jabberd_tx.xmpp.tokens import tag_end


def leans_outside(tag: bytes, uri: str, context: Context) -> bool:
    """Of a first-level element in namespace `uri`, by its start tag: a prefix, or other declarations than its own."""
    if 58 in tag and b':' in tag.split(None, 1)[0]:
        return True
    at = tag.find(b'xmlns')
    if at < 0:
        return uri not in ns.CONTENT or not context.default
    if tag.find(b'xmlns', at + 5) >= 0 or tag[at + 5] != 61:
        return True
    # xmlns='uri', in either kind of quotes
    space = uri.encode()
    return not tag.startswith(space, at + 7) or tag[at + 7 + len(space)] != tag[at + 6]


def leans_inside(inner: bytes, children: Iterable[Child], context: Context) -> bool:
    """By its content: it may use a prefix of the stream header's, or a child names the content namespace."""
    for prefix in context.outside:
        if prefix in inner:
            return True
    if b'xmlns' in inner:
        for space, _, start, end in children:
            if space == ns.CLIENT and b'xmlns' in inner[start:end]:
                # Its own declaration, or one that names a content namespace further down.
                if b'xmlns' in inner[start : tag_end(inner, start)] or b'jabber:' in inner[start:end]:
                    return True
    return False
