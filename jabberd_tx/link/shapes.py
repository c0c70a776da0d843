"""The shape of each frame: what its fields must be.  A table, and quick ways for the frames of the stanza path.

Items beyond a frame's fields are left for later versions of the protocol.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from jabberd_tx.link import frames
from jabberd_tx.link.frames import AnyFrame, Confirm, Fanout, Route

_UID, _STREAM, _MAC = 24, 16, 32
_HIGHEST = (1 << 63) - 1


class ShapeError(ValueError):
    """A frame has too few fields, or one that is not what it must be; the text says which."""


class Field(NamedTuple):
    """One field of a frame: what it must be, in words and as a test."""

    what: str
    good: Callable[[Any], bool]


def _bytes_of(size: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is bytes and len(value) == size


def _integer(most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and 0 <= value <= most


def _list_of(good: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: type(value) is list and all(map(good, value))


def _pair_of(first: Callable[[Any], bool], second: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: type(value) is list and len(value) == 2 and first(value[0]) and second(value[1])


def _is_text(value: Any) -> bool:
    return type(value) is str


def _is_key(value: Any) -> bool:
    return value is None or type(value) is str or type(value) is bytes


def _is_nonce(value: Any) -> bool:
    return type(value) is bytes and 16 <= len(value) <= 64


def _is_map(value: Any) -> bool:
    return type(value) is dict and all(map(_is_text, value))


_is_uid, _is_stream = _bytes_of(_UID), _bytes_of(_STREAM)

NAME = Field('a text that is not empty', lambda value: type(value) is str and value != '')
TEXT = Field('a text', _is_text)
TEXTS = Field('a list of texts', _list_of(_is_text))
KEY = Field('null, a text or bytes', _is_key)
PAYLOAD = Field('bytes', lambda value: type(value) is bytes)
ID = Field('16 bytes', _is_stream)
UID = Field('24 bytes', _is_uid)
UIDS = Field('a list of 24 bytes each', _list_of(_is_uid))
NONCE = Field('16 to 64 bytes', _is_nonce)
MAC = Field('32 bytes', _bytes_of(_MAC))
COUNT = Field('an integer from 0 to 2^63-1', _integer(_HIGHEST))
SMALL = Field('an integer from 0 to 255', _integer(255))
FLAG = Field('true or false', lambda value: type(value) is bool)
OPTIONS = Field('a map with texts as keys', _is_map)
TARGETS = Field('a list of [16 bytes, text]', _list_of(_pair_of(_is_stream, _is_text)))
FAILED = Field('a list of [24 bytes, 16 bytes]', _list_of(_pair_of(_is_uid, _is_stream)))

SHAPES: dict[int, tuple[Any, tuple[Field, ...]]] = {
    frames.HELLO: (frames.Hello, (COUNT, NAME, ID, NONCE, TEXTS)),
    frames.AUTH: (frames.Auth, (MAC,)),
    frames.BIND: (frames.Bind, (NAME, OPTIONS)),
    frames.UNBIND: (frames.Unbind, (NAME,)),
    frames.BOUND: (frames.Bound, (NAME, NAME)),
    frames.ROUTE: (frames.Route, (NAME, KEY, NAME, COUNT, UID, SMALL, COUNT, PAYLOAD)),
    frames.FANOUT: (frames.Fanout, (NAME, NAME, UID, TARGETS, PAYLOAD)),
    frames.CONFIRM: (frames.Confirm, (NAME, NAME, UIDS, FAILED)),
    frames.WORKING: (frames.Working, (NAME, NAME, UIDS)),
    frames.BOUNCE: (frames.Bounce, (NAME, TEXT, NAME, NAME, KEY, COUNT, UID, TEXT)),
    frames.PRESENT: (frames.Present, (NAME, NAME, ID, FLAG)),
    frames.PING: (frames.Ping, (COUNT,)),
    frames.CREDIT: (frames.Credit, (COUNT,)),
    frames.REDIRECT: (frames.Redirect, (NAME, NAME, COUNT)),
    frames.DRAIN: (frames.Drain, (NAME,)),
    frames.ERROR: (frames.Error, (NAME, TEXT)),
    frames.PONG: (frames.Pong, (COUNT,)),
    frames.COPY: (frames.Copy, (PAYLOAD,)),
}


def check(items: list[Any]) -> AnyFrame:
    """The frame of these items, the first of which is a known type.  ShapeError names the first bad field."""
    kind, fields = SHAPES[items[0]]
    values = items[1 : len(fields) + 1]
    if len(values) < len(fields):
        raise ShapeError(f'{kind.__name__.upper()} has {len(fields)} fields, not {len(values)}')
    for name, field, value in zip(kind._fields, fields, values, strict=True):
        if not field.good(value):
            raise ShapeError(f'{kind.__name__.upper()}: {name} must be {field.what}')
    frame: AnyFrame = kind(*values)
    return frame


def check_route(items: list[Any]) -> AnyFrame:
    """`check` for a ROUTE, in a third of the time."""
    if len(items) >= 9:
        _, dest, key, source, epoch, uid, hops, flags, payload = items if len(items) == 9 else items[:9]
        if (
            type(dest) is str
            and type(source) is str
            and type(uid) is bytes
            and type(payload) is bytes
            and (type(key) is str or key is None or type(key) is bytes)
            and type(epoch) is type(hops) is type(flags) is int
            and len(uid) == _UID
            and 0 <= epoch <= _HIGHEST
            and 0 <= hops <= 255
            and 0 <= flags <= _HIGHEST
            and dest
            and source
        ):
            return _new(Route, items[1:9])
    return check(items)


def check_fanout(items: list[Any]) -> AnyFrame:
    """`check` for a FANOUT, whose targets are tuples then."""
    frame: Any = check(items)
    fanout: Fanout = frame._replace(targets=[(stream, to) for stream, to in frame.targets])
    return fanout


def check_confirm(items: list[Any]) -> AnyFrame:
    """`check` for a CONFIRM, whose failed sessions are tuples then."""
    frame: Any = check(items)
    confirm: Confirm = frame._replace(failed=[(uid, stream) for uid, stream in frame.failed])
    return confirm


_new: Callable[[type[Route], list[Any]], Route] = tuple.__new__

CHECKS: dict[int, Callable[[list[Any]], AnyFrame]] = dict.fromkeys(SHAPES, check)
CHECKS |= {frames.ROUTE: check_route, frames.FANOUT: check_fanout, frames.CONFIRM: check_confirm}
