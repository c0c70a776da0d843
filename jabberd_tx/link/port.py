"""What a router sees of a node at the far end of a TCP link: frames in, calls of the switch out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jabberd_tx.link.connection import LinkConnection
from jabberd_tx.link.decoding import FrameError
from jabberd_tx.link.frames import (
    Bind,
    Bounce,
    Bound,
    Confirm,
    Credit,
    Drain,
    Fanout,
    Hello,
    Present,
    Redirect,
    Route,
    Unbind,
    Working,
    encode,
)
from jabberd_tx.link.interfaces import Frame

if TYPE_CHECKING:
    from jabberd_tx.link.server import LinkServer


class ComponentPort:
    """The far end of a TCP link (link.interfaces.Port)."""

    local = False

    def __init__(self, server: LinkServer) -> None:
        self.node, self.incarnation = '', b''
        self._server, self._switch = server, server.switch
        self.attached = False
        self.takes: dict[type, Callable[[Any, bytes], None]] = {
            Route: self._take_route,
            Fanout: self._take_fanout,
            Confirm: self._take_confirm,
            Working: self._take_confirm,
            Bounce: self._take_confirm,
            Bind: self._take_bind,
            Unbind: self._take_unbind,
            Credit: self._take_credit,
            Drain: self._take_drain,
            Redirect: self._take_redirect,
        }
        self.connection: LinkConnection

    # ---- Port

    def send(self, frame: Frame, raw: bytes | None = None) -> None:
        """Hand a frame on, in order, by the end of the turn."""
        self.connection.send(encode(frame) if raw is None else raw)

    def end(self, condition: str, text: str) -> None:
        """Send ERROR and close."""
        self.connection.fail(condition, text)

    # ---- Side

    def on_hello(self, peer: Hello) -> None:
        """Any name may try to prove itself."""

    def on_open(self, peer: Hello) -> None:
        """Attach to the router, which says what there is; end that list with the router's own name."""
        server = self._server
        server.admit(self)
        self.node, self.incarnation = peer.node, peer.incarnation
        self.attached = True
        self._switch.attach(self)
        self.send(Present(server.node, server.node, server.incarnation, True))

    def before_write(self, last: bool) -> None:
        """A router has nothing to add."""

    def on_closing(self) -> None:
        """Tell the router, but not from within what it is doing."""
        self._server.dismiss(self)
        if self.attached:
            self.attached = False
            self._server.turn.later(self._switch.detach, self)

    def on_lost(self) -> None:
        """The connection is gone too."""
        self._server.forget(self)

    # ---- frames

    def _take_route(self, frame: Route, raw: bytes) -> None:
        if frame[2] != self.node:
            self._refuse(frame[2])
        self._switch.route(self, frame, raw, len(raw))

    def _take_fanout(self, frame: Fanout, raw: bytes) -> None:
        if frame[1] != self.node:
            self._refuse(frame[1])
        self._switch.fanout(self, frame, raw, len(raw))

    def _take_confirm(self, frame: Confirm | Working | Bounce, raw: bytes) -> None:
        if frame[1] != self.node:
            self._refuse(frame[1])
        self._switch.pass_on(self, frame, raw)

    def _refuse(self, source: str) -> None:
        raise FrameError('invalid-from', f'{self.node} may not speak for {source}')

    def _take_bind(self, frame: Bind, raw: bytes) -> None:
        outcome = self._switch.bind(self, frame.name, frame.options)
        self.connection.send(encode(Bound(frame.name, outcome)))

    def _take_unbind(self, frame: Unbind, raw: bytes) -> None:
        self._switch.unbind(self, frame.name)

    def _take_credit(self, frame: Credit, raw: bytes) -> None:
        self._switch.credit(self, frame.size)

    def _take_drain(self, frame: Drain, raw: bytes) -> None:
        if frame.node != self.node:
            self._refuse(frame.node)
        self._switch.drain(self)

    def _take_redirect(self, frame: Redirect, raw: bytes) -> None:
        self._switch.redirect(self, frame)
