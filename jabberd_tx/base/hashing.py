"""The hash that says which of several instances a key belongs to (docs/routing.md has it with vectors).

BLAKE2b (RFC 7693) with an 8-byte digest: published, in every language's libraries, and half a microsecond a key
from Python's own hashlib.  Keys that users choose are spread evenly whatever they look like.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

_to_int = int.from_bytes


def hash64(text: str) -> int:
    """The key's hash, 0 … 2⁶⁴ - 1: BLAKE2b-64 of its UTF-8, big-endian.

    `text`: a JID or name as PRECIS left it; what looks different hashes differently.
    """
    return _to_int(blake2b(text.encode(), digest_size=8).digest(), 'big')


def rendezvous(key: str, names: Sequence[str]) -> str:
    """The name with the highest hash64(name NUL key), whatever order the names come in.

    ValueError when there are none.  Costs a hash for each name: for few names and rare questions;
    for many questions there is slots.SlotTable.
    """
    return max(names, key=lambda name: (hash64(f'{name}\0{key}'), name))


def slot_among(key: str, slots: int) -> int:
    """The slot of a key where somebody has fixed how many there are: hash64 modulo that number, 0 … slots - 1."""
    return hash64(key) % slots
