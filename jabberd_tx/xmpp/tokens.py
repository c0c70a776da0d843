"""Where tags end, told without a parser, so that expat gets whole tokens only."""

from __future__ import annotations

import re

# From inside a tag, outside of quotes: up to its '>', or as far as the quotes are closed.
_IN_TAG = re.compile(rb"""[^"'>]*(?:(?:"[^"]*"|'[^']*')[^"'>]*)*""")

# How often a tag that comes in parts is looked at, beyond its attributes, before that is left until
# twice as much has come.
PATIENCE = 64


def tag_end(data: bytes, start: int) -> int:
    """The end, past its '>', of the tag that starts there; else minus the quote that is open, or -1 for none."""
    match = _IN_TAG.match(data, start)
    assert match is not None  # it matches nothing at all
    end = match.end()
    if end == len(data):
        return -1
    return end + 1 if data[end] == 62 else -data[end]


def declaration_end(data: bytes) -> int:
    """The end, past its '?>', of what starts with '<?'; -1 for none."""
    end = data.find(b'?>')
    return end if end < 0 else end + 2


def unfinished(data: bytes, start: int) -> int:
    """0 when the tag that starts there is whole, or it is no tag (CDATA, or what may not be); else as `tag_end`."""
    return 0 if data[start + 1] in b'!?' else min(tag_end(data, start), 0)


class Held:
    """What has come and is not yet for expat: no '>' ends a tag in it.

    Looking again at each bit of a long tag that comes in small parts would take time that grows with
    the square of its length: so nobody looks before the open quote is closed, and after many
    looks not before twice as much has come.
    """

    __slots__ = ('bytes', 'quote', 'scanned', 'scans')

    def __init__(self, data: bytes, state: int = 0, scans: int = 0) -> None:
        """`state`: what `unfinished` said of the first tag in it, or 0 for not asked."""
        self.bytes = bytearray(data)
        self.scans = scans
        self.scanned = len(data)
        # The quote that is open, or 0.  Where another '<' follows, the tag was none (but CDATA).
        self.quote = -state if state < -1 and data.count(60) == 1 else 0

    def add(self, data: bytes, attributes: int) -> bool:
        """Take more; whether a tag may now be whole."""
        self.bytes += data
        if 60 in data:
            # No tag's value has a '<': what looked like an open quote was none, and a tag may start here.
            self.quote = self.scans = 0
        elif self.quote:
            if self.quote not in data:
                return False
            self.quote = 0
        if 62 not in data:
            return False
        return self.scans < attributes + PATIENCE or len(self.bytes) >= 2 * self.scanned
