"""What goes over the admin socket (docs/admin-protocol.md): requests and replies as bytes.  No I/O."""

from __future__ import annotations

import socket
import struct
from typing import Any, NamedTuple

from cbor2 import dumps, loads

# Of one request or reply, without the length before it.
MOST_BYTES = 1 << 20

LENGTH = struct.Struct('>I')
_CREDENTIALS = struct.Struct('iII')


class AdminError(Exception):
    """What an operation answers instead of a result.

    condition  'bad-request', 'unknown-operation', 'timed-out', 'storage', 'failed', or the operation's own
    """

    def __init__(self, condition: str, text: str = '') -> None:
        super().__init__(text or condition)
        self.condition, self.text = condition, text


class Peer(NamedTuple):
    """Who is at the other end of a unix socket, as the kernel says."""

    pid: int
    uid: int
    gid: int


def peer_of(unix_socket: socket.socket) -> Peer:
    """SO_PEERCRED (unix(7)): of the time when it connected, or began to listen."""
    return Peer(*_CREDENTIALS.unpack(unix_socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)))


def request(operation: str, arguments: dict[str, Any]) -> bytes:
    """With its length before it.  ValueError when it is too large."""
    return framed(dumps({'op': operation, 'args': arguments}))


def read_request(data: bytes) -> tuple[str, dict[str, Any]]:
    """Operation and arguments; AdminError when the bytes are no request."""
    try:
        asked = loads(data)
        operation, arguments = asked['op'], asked.get('args', {})
    except Exception:
        raise AdminError('bad-request', 'expected a CBOR map with op and args') from None
    if type(operation) is not str or type(arguments) is not dict or not all(type(key) is str for key in arguments):
        raise AdminError('bad-request', 'expected op to be text, and args to be a map with text for keys')
    return operation, arguments


def result(value: Any) -> bytes:
    """A reply that it was carried out.  ValueError for what has no CBOR form, or is too large."""
    return framed(dumps({'ok': value}))


def refusal(error: AdminError) -> bytes:
    """A reply that it was not."""
    return framed(dumps({'error': error.condition, 'text': error.text[:1000]}))


def read_reply(data: bytes) -> Any:
    """The value; AdminError as the other side raised it."""
    try:
        reply = loads(data)
        if 'ok' in reply:
            return reply['ok']
        condition, text = str(reply['error']), str(reply.get('text', ''))
    except Exception:
        raise AdminError('bad-reply', 'the reply is no CBOR map with ok or error') from None
    raise AdminError(condition, text)


def framed(data: bytes) -> bytes:
    """The bytes with their length before them."""
    if len(data) > MOST_BYTES:
        raise ValueError(f'{len(data)} bytes are more than the admin link takes ({MOST_BYTES})')
    return LENGTH.pack(len(data)) + data
