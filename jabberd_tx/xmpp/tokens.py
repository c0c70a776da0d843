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

    def __init__(self, data: bytes, quote: int = 0, scans: int = 0) -> None:
        self.bytes = bytearray(data)
        self.quote = quote  # the quote that is open, or 0
        self.scans = scans
        self.scanned = len(data)

    def add(self, data: bytes, attributes: int) -> bool:
        """Take more; whether a tag may now be whole."""
        self.bytes += data
        if self.quote:
            if self.quote not in data and b'<' not in data:  # it was none, then: a value has no '<'
                return False
            self.quote = 0
        if b'>' not in data:
            return False
        return self.scans < attributes + PATIENCE or b'<' in data or len(self.bytes) >= 2 * self.scanned
