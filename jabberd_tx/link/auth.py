"""How the two ends of a link prove to each other that they know the secret.  No I/O.

    connecting                          listening
        HELLO  ──────────────────────────▶
               ◀──────────────────────────  HELLO
        AUTH   ──────────────────────────▶          the connecting side proves itself first, so that
               ◀──────────────────────────  AUTH    nobody gets a proof of the listening side to guess at

A proof is over both nonces, so that an old one is of no use, and over the role, so that neither side's own
proof can be sent back to it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from secrets import token_bytes

from jabberd_tx.link.decoding import VERSION, FrameError
from jabberd_tx.link.frames import AnyFrame, Auth, Hello

CONNECTING, LISTENING = b'connecting', b'listening'
NONCE_BYTES = 32
_PURPOSE = b'jabberd-tx link 1'


def proof(secret: bytes, role: bytes, connecting: Hello, listening: Hello) -> bytes:
    """The 32 bytes of AUTH that the side in `role` sends.

    HMAC-SHA-256 with the secret as its key, over the purpose, the role, the nonces of the connecting
    and the listening side, and their node names, each with its length as four bytes big-endian before it.
    """
    pieces = (
        _PURPOSE,
        role,
        connecting.nonce,
        listening.nonce,
        connecting.node.encode(),
        listening.node.encode(),
    )
    message = b''.join(len(piece).to_bytes(4, 'big') + piece for piece in pieces)
    return hmac.digest(secret, message, hashlib.sha256)


class Handshake:
    """One side of the exchange.  Frames in, frames out; FrameError says what to tell the other before closing.

    peer  the other side's HELLO, once it is there
    done  both sides have proved themselves
    """

    __slots__ = ('_connecting', '_own', '_secret', '_secret_of', 'done', 'peer')

    def __init__(
        self,
        connecting: bool,
        secret: str | Callable[[str], str],
        node: str,
        incarnation: bytes,
        features: tuple[str, ...] = (),
    ) -> None:
        """secret: the one of this link, or what gives it for the name that the other side says to be its own."""
        self._connecting = connecting
        self._secret_of = secret if callable(secret) else None
        self._secret = b'' if callable(secret) else secret.encode()
        self._own = Hello(VERSION, node, incarnation, token_bytes(NONCE_BYTES), list(features))
        self.peer: Hello | None = None
        self.done = False

    def begin(self) -> list[AnyFrame]:
        """What to send as soon as there is a connection."""
        return [self._own] if self._connecting else []

    def take(self, frame: AnyFrame) -> list[AnyFrame]:
        """What to answer to the other side's frame."""
        if type(frame) is Hello and self.peer is None:
            return self._take_hello(frame)
        if type(frame) is Auth and self.peer is not None:
            return self._take_auth(frame, self.peer)
        raise FrameError('unexpected-frame', f'{type(frame).__name__.upper()} is not expected now')

    def _take_hello(self, hello: Hello) -> list[AnyFrame]:
        if hello.node == self._own.node:
            raise FrameError('conflict', f'both sides are named {hello.node}')
        self.peer = hello
        if self._secret_of is not None:
            self._secret = self._secret_of(hello.node).encode()
        if self._connecting:
            return [Auth(proof(self._secret, CONNECTING, self._own, hello))]
        return [self._own]

    def _take_auth(self, auth: Auth, peer: Hello) -> list[AnyFrame]:
        if self._connecting:
            wanted = proof(self._secret, LISTENING, self._own, peer)
        else:
            wanted = proof(self._secret, CONNECTING, peer, self._own)
        if not hmac.compare_digest(wanted, auth.mac):
            raise FrameError('not-authorized', 'the secret is not the same on both sides')
        self.done = True
        return [] if self._connecting else [Auth(proof(self._secret, LISTENING, peer, self._own))]
