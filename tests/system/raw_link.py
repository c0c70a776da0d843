"""A node on a plain socket, which says what it likes to a router.

    with RawLink(port, 'c2s-1', secret) as link:
        link.say(Bind('example.net', {}))
        link.until(Bound)
"""

from __future__ import annotations

import socket
import time
from collections import deque
from secrets import token_bytes
from typing import Any, TypeVar

from jabberd_tx.link.auth import Handshake
from jabberd_tx.link.decoding import FrameSplitter
from jabberd_tx.link.frames import Confirm, Credit, Ping, Pong, Present, Route, encode, make_uid
from jabberd_tx.xmpp.stanza import Stanza

F = TypeVar('F')
PATIENCE = 20.0
WINDOW = 8 << 20


class RawLink:
    """incarnation, stream   its own, random
    came    frames that were taken in and not asked for yet
    """

    def __init__(self, port: int, node: str, secret: str, prove: bool = True, credit: int = WINDOW) -> None:
        """prove: go through the handshake, and wait until the router has said who is there."""
        self.node, self.incarnation, self.stream = node, token_bytes(16), token_bytes(16)
        self.came: list[Any] = []
        self._count = 0
        self._read: deque[Any] = deque()
        self._splitter = FrameSplitter(1 << 20)
        self.socket = socket.create_connection(('127.0.0.1', port), timeout=PATIENCE)
        if prove:
            handshake = Handshake(True, secret, node, self.incarnation)
            self.say(*handshake.begin())
            while not handshake.done:
                self.say(*handshake.take(self._next()))
            self._splitter.authenticated()
            self.say(Credit(credit))
            while True:
                present = self.until(Present)
                if present.name == present.node and present.node.startswith('router'):
                    return

    def say(self, *frames: Any) -> None:
        """Send them."""
        self.write(b''.join(map(encode, frames)))

    def write(self, data: bytes) -> None:
        """Send bytes of any kind."""
        self.socket.sendall(data)

    def route(self, dest: str, stanza: Stanza, key: str | bytes | None = None) -> bytes:
        """Send a ROUTE; its uid."""
        self._count += 1
        uid = make_uid(self.stream, self._count)
        self.say(Route(dest, key, self.node, 0, uid, 4, 0, stanza))
        return uid

    def until(self, kind: type[F], seconds: float = PATIENCE) -> F:
        """The next frame of that kind; others before it are kept in `came`, PINGs answered, ROUTEs not confirmed."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                frame = self._next(deadline)
            except TimeoutError:
                raise AssertionError(f'no {kind.__name__} within {seconds} s, but {self.came}') from None
            if isinstance(frame, kind):
                return frame
            self.came.append(frame)

    def confirm(self, frame: Route) -> None:
        """It has arrived."""
        self.say(Confirm(frame.source, self.node, [frame.uid], []))

    def ended(self) -> Any:
        """The last frame before the router closes the connection."""
        last = None
        while True:
            try:
                last = self._next()
            except EOFError:
                return last

    def _next(self, deadline: float = 0.0) -> Any:
        """The next frame but PINGs, which are answered; EOFError at the end, TimeoutError when the time has come."""
        while True:
            while not self._read:
                if deadline and time.monotonic() > deadline:
                    raise TimeoutError
                self._read.extend(frame for _, frame in self._splitter.feed(b''))
                if not self._read:
                    data = self.socket.recv(65536)
                    if not data:
                        raise EOFError
                    self._read.extend(frame for _, frame in self._splitter.feed(data))
            frame = self._read.popleft()
            if not isinstance(frame, Ping):
                return frame
            self.say(Pong(frame.number))

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> RawLink:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
