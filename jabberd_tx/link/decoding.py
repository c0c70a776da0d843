"""Bytes in, frames out: splits what comes over a link and checks each frame's shape.  No I/O.

    splitter = FrameSplitter(options.frame_limit)
    for raw, frame in splitter.feed(data):      # raw: the frame's own bytes, to be written on as they are
        ...

A frame of a wrong size or shape ends the list with a `Malformed`, whose two fields are those of the ERROR
to be sent; after it the splitter gives nothing more.
"""

from __future__ import annotations

from secrets import token_bytes
from struct import Struct
from typing import Any, NamedTuple

from cbor2 import loads

from jabberd_tx.link import frames
from jabberd_tx.link.frames import AnyFrame
from jabberd_tx.link.shapes import CHECKS, ShapeError

VERSION = 1
# Unknown types from here on may be ignored (after authentication).
OPTIONAL = 128
# Before authentication no frame is longer than this.
HANDSHAKE_LIMIT = 4096
HANDSHAKE_TYPES = frozenset((frames.HELLO, frames.AUTH, frames.ERROR))

# Arrays and maps in one another: deeper than any frame goes, with room for trailing items.
MOST_DEPTH = 16
# A frame is decoded as the first of two items, the second of which nobody can guess: whatever stands
# in the frame beside its one array shows, at no cost.
_HEAD = b'\x82'
_MARK = token_bytes(8)
_TAIL = b'\x48' + _MARK


class FrameError(Exception):
    """A frame that closes the link.  condition, text: those of the ERROR frame."""

    def __init__(self, condition: str, text: str) -> None:
        super().__init__(text)
        self.condition, self.text = condition, text


class Malformed(NamedTuple):
    """Last of what `feed` gives when something is wrong: the fields of the ERROR to send before closing."""

    condition: str
    text: str


def _refuse(*_: Any) -> Any:
    # A tag makes something else of what stands in a field, at a cost that its sender chooses; frames have none.
    raise ValueError('a CBOR tag')


_TAGS_OF_CBOR2 = (
    0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799,
)  # fmt: skip
_NO_TAGS = dict.fromkeys(_TAGS_OF_CBOR2, _refuse)


def decode(body: bytes, authenticated: bool = True) -> AnyFrame | None:
    """The frame in these bytes (without the length prefix); None for an unknown one that may be ignored.

    Raises FrameError.
    """
    try:
        items, mark = loads(
            _HEAD + body + _TAIL, max_depth=MOST_DEPTH, semantic_decoders=_NO_TAGS, tag_hook=_refuse
        )
    except Exception as error:
        raise FrameError('bad-frame', f'not a CBOR array: {error}') from None
    if mark != _MARK or type(items) is not list or not items or type(items[0]) is not int:
        raise FrameError('bad-frame', 'not one CBOR array that begins with a number')
    kind = items[0]
    if not authenticated:
        _check_handshake(items)
    check = CHECKS.get(kind)
    if check is not None:
        try:
            return check(items)
        except ShapeError as error:
            raise FrameError('bad-frame', str(error)) from None
    if kind < OPTIONAL:
        raise FrameError('unknown-frame', f'no frame has type {kind}')
    return None


def _check_handshake(items: list[Any]) -> None:
    """Refuse what may not come before authentication, and a HELLO of another version, whatever else it has."""
    kind = items[0]
    if kind not in HANDSHAKE_TYPES:
        raise FrameError('not-authorized', f'a frame of type {kind} before authentication')
    if kind == frames.HELLO and len(items) > 1 and type(items[1]) is int and items[1] != VERSION:
        raise FrameError('unsupported-version', f'this side speaks version {VERSION}, the other {items[1]}')


class FrameSplitter:
    """Splits the bytes of one link.  Holds at most one frame, and no more than its limit."""

    __slots__ = ('_authenticated', '_held', '_limit', '_need', '_normal_limit')

    def __init__(self, limit: int) -> None:
        """limit: bytes of a frame without its length prefix, once `authenticated` was called."""
        self._held = bytearray()
        self._need = 4
        self._normal_limit = limit
        self._limit = min(limit, HANDSHAKE_LIMIT)
        self._authenticated = False

    def authenticated(self) -> None:
        """From here on all frames are taken, up to the limit."""
        self._limit = self._normal_limit
        self._authenticated = True

    def feed(self, data: bytes) -> list[tuple[bytes, AnyFrame | Malformed]]:
        """The frames that are whole now: (bytes with the length prefix, frame), in order.

        Before authentication one at a time, as the next may be subject to other rules: feed b'' until
        nothing comes.
        """
        if self._need == _NEVER:
            return []
        held = self._held
        found: list[tuple[bytes, AnyFrame | Malformed]] = []
        if held or len(data) < self._need:
            held += data
            if len(held) < self._need:
                return []
            data = bytes(held)
            held.clear()
        at, size, limit, authenticated = 0, len(data), self._limit, self._authenticated
        need = 4
        try:
            while size - at >= 4:
                length = _length(data, at)[0]
                if not 0 < length <= limit:
                    raise FrameError('frame-size', f'a frame of {length} bytes; allowed are 1 to {limit}')
                end = at + 4 + length
                if end > size:
                    need = 4 + length
                    break
                frame = decode(data[at + 4 : end], authenticated)
                if frame is not None:
                    found.append((data[at:end], frame))
                at = end
                if not authenticated:
                    break
        except FrameError as error:
            found.append((b'', Malformed(error.condition, error.text)))
            self._need = _NEVER
            return found
        if at < size:
            held += data[at:]
        self._need = need
        return found


_length = Struct('>I').unpack_from
_NEVER = 1 << 62
