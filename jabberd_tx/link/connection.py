"""One end of a link: a TCP connection that splits, proves itself, keeps time, gathers what is written, and ends.

    handshake ──both proved──▶ open ──fail, finish, ERROR from the peer──▶ closing ──▶ lost
        └──────────────fail, timeout───────────────────────────────────▶ closing

What the frames mean is for the `Side` that it was made for: a pool's link (link/outgoing.py) or a
router's port (link/server.py).  Frames of one turn leave in one write.  What the socket doesn't take waits here, up to
a limit, beyond which the link is cut.  A link is always read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IPushProducer, ITCPTransport, ITLSTransport
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from jabberd_tx.base.turn import Turn
from jabberd_tx.link.auth import Handshake
from jabberd_tx.link.decoding import FrameError, FrameSplitter, Malformed
from jabberd_tx.link.frames import AnyFrame, Copy, Error, Hello, Ping, Pong, Redirect, encode

# What is handed to the transport at a time.
CHUNK = 256 * 1024
# A peer that does not read its ERROR, or what was written before the end, is waited for so long.
CLOSE_TIMEOUT = 3.0
# Of the metric jabberd_link_waiting_bytes, which both ends have.
WAITING = 'Bytes that wait to be sent over links.'


class Side(Protocol):
    """Whose end of the link it is."""

    takes: dict[type, Callable[[Any, bytes], None]]
    """For each kind of frame that may come when the link is open: what to call with (frame, raw).  FrameError closes
    the link; any other exception is logged and the next frame taken."""

    def on_hello(self, peer: Hello) -> None:
        """The other side says who it is, and has yet to prove it.  FrameError refuses it."""

    def on_open(self, peer: Hello) -> None:
        """Both sides have proved themselves.  FrameError refuses it."""

    def before_write(self, last: bool) -> None:
        """Frames are about to leave, or `flush_soon` was called: what else is there to send?  `last`: or never."""

    def on_closing(self) -> None:
        """Once; after it nothing is sent or taken any more.  May be called from within `send`."""

    def on_lost(self) -> None:
        """The connection is gone; `connection.why` says why."""


@implementer(IPushProducer)
class LinkConnection(TwistedProtocol):
    """See the module's text.

    why  the ERROR that ended the link, ours or the peer's; condition 'closed' if there was none
    """

    log = Logger()

    def __init__(self, side: Side, handshake: Handshake, options: Any, clock: Any, turn: Turn, tls: Any = None) -> None:
        """`options`: values of link.options.  `tls`: what startTLS takes, or None for a plain link."""
        self.why: Error | None = None
        self.is_open = self.closing = self.lost = False
        self._side, self._handshake, self._options, self._tls = side, handshake, options, tls
        self._clock, self._turn = clock, turn
        self._splitter = FrameSplitter(options.frame_limit)
        self._takes: dict[type, Callable[[Any, bytes], None]] = {
            Ping: self._take_ping,
            Pong: self._take_nothing,
            Redirect: self._take_nothing,  # nobody has to honour them
            Copy: self._take_nothing,
            Error: self._take_error,
            Malformed: self._take_malformed,
            **side.takes,
        }
        self._out: deque[bytes] = deque()
        self._out_bytes = 0
        self._out_limit = options.outbound_limit
        self._due = False  # a flush at the end of this turn
        self._paused = False  # by the transport
        self._ended = False  # the transport was told that nothing follows
        self._timer: IDelayedCall | None = None
        self._heard = 0.0
        self._pings = 0
        self._waiting: list[Deferred[None]] = []

    @property
    def waiting(self) -> int:
        """Bytes that the transport has not taken yet."""
        return self._out_bytes

    # ---- life

    def connectionMade(self) -> None:
        """Secure it, and greet."""
        transport: Any = self.transport
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
        self._timer = self._clock.callLater(self._options.handshake_timeout, self._handshake_is_late)
        if self._tls is not None and ITLSTransport.providedBy(transport):
            transport.startTLS(self._tls)
        transport.registerProducer(self, True)
        self._send_all(self._handshake.begin())

    def _handshake_is_late(self) -> None:
        self._timer = None
        self.fail('timeout', f'no authentication within {self._options.handshake_timeout:g} s')

    def _open(self) -> None:
        self._stop_timer()
        self._splitter.authenticated()
        self.is_open = True
        self._heard = self._clock.seconds()
        self._timer = self._clock.callLater(self._options.heartbeat, self._beat)
        peer = self._handshake.peer
        assert peer is not None
        self._side.on_open(peer)

    def _beat(self) -> None:
        """Every heartbeat: ask a silent peer whether it lives; cut one that does not answer."""
        heartbeat, timeout = self._options.heartbeat, self._options.heartbeat_timeout
        silent = self._clock.seconds() - self._heard
        if silent >= timeout:
            self._timer = None
            self.fail('heartbeat-timeout', f'nothing came for {silent:.1f} s')
            return
        if silent >= heartbeat:
            self._pings += 1
            self.send(encode(Ping(self._pings)))
        self._timer = self._clock.callLater(min(heartbeat, timeout - silent), self._beat)

    def fail(self, condition: str, text: str) -> None:
        """Tell the peer why, and close."""
        if self.closing:
            return
        if not self.lost:
            self.send(encode(Error(condition, text)))
        self._close(Error(condition, text))

    def finish(self) -> Deferred[None]:
        """Send what was written, then close.  Fires when the connection is gone, after CLOSE_TIMEOUT at the latest."""
        done: Deferred[None] = Deferred()
        if self.lost:
            done.callback(None)
            return done
        self._waiting.append(done)
        if not self.closing:
            self._side.before_write(True)
            self._close(Error('closed', 'closed by this side'))
        return done

    def _close(self, why: Error) -> None:
        self._begin_closing(why)
        if not self.lost:
            self._timer = self._clock.callLater(CLOSE_TIMEOUT, self._abort)
            self._write_out()

    def _begin_closing(self, why: Error) -> None:
        if self.closing:
            return
        self.closing, self.is_open, self.why = True, False, why
        self._stop_timer()
        self._side.on_closing()

    def _cut(self, condition: str, text: str) -> None:
        """Close without sending what waits."""
        self._begin_closing(Error(condition, text))
        self._out.clear()
        self._out_bytes = 0
        self._abort()

    def _abort(self) -> None:
        self._timer = None
        self._ended = True
        transport: Any = self.transport
        transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is gone, whoever ended it."""
        self.lost = self._ended = True
        text = 'closed by the other side' if reason.check(ConnectionDone) else reason.getErrorMessage()
        self._begin_closing(Error('closed', text))
        self._stop_timer()
        self._out.clear()
        self._out_bytes = 0
        self._side.on_lost()
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done.callback(None)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # ---- reading

    def dataReceived(self, data: bytes) -> None:
        """Take the frames in it."""
        if self.closing:
            return
        if self.is_open:
            self._heard = self._clock.seconds()
            self._take_frames(iter(self._splitter.feed(data)))
        else:
            self._take_handshake(data)

    def _take_frames(self, found: Iterator[tuple[bytes, AnyFrame | Malformed]]) -> None:
        takes, unexpected = self._takes, self._take_unexpected
        while True:
            try:
                for raw, frame in found:
                    takes.get(type(frame), unexpected)(frame, raw)
                    if self.closing:
                        return
                return
            except FrameError as error:
                self.fail(error.condition, error.text)
                return
            except Exception:
                self.log.failure('a frame could not be dealt with')
                if self.closing:
                    return

    def _take_handshake(self, data: bytes) -> None:
        """Frame by frame, as the rules change with the last one."""
        found = self._splitter.feed(data)
        while found and not self.closing:
            frame = found[0][1]
            if isinstance(frame, Malformed):
                self.fail(frame.condition, frame.text)
                return
            if isinstance(frame, Error):
                self._take_error(frame, b'')
                return
            try:
                answers = self._handshake.take(frame)
                if isinstance(frame, Hello):
                    self._side.on_hello(frame)
                self._send_all(answers)
                if self._handshake.done:
                    self._open()
            except FrameError as error:
                self.fail(error.condition, error.text)
                return
            found = self._splitter.feed(b'')
            if self.is_open:
                self._take_frames(iter(found))
                return

    def _take_ping(self, frame: Ping, raw: bytes) -> None:
        self.send(encode(Pong(frame.number)))

    def _take_nothing(self, frame: AnyFrame, raw: bytes) -> None:
        """Having heard it is all there is to it."""

    def _take_error(self, frame: Error, raw: bytes) -> None:
        self._close(frame)

    def _take_malformed(self, frame: Malformed, raw: bytes) -> None:
        self.fail(frame.condition, frame.text)

    def _take_unexpected(self, frame: AnyFrame, raw: bytes) -> None:
        self.fail('unexpected-frame', f'{type(frame).__name__.upper()} is not for this side')

    # ---- writing

    def send(self, data: bytes) -> None:
        """Send whole frames, in order, at the end of the turn.  Does nothing once the link is closing."""
        if self.closing:
            return
        self._out.append(data)
        self._out_bytes += len(data)
        if not self._due:
            self.flush_soon()
        if self._out_bytes > self._out_limit:
            self._cut('overloaded', f'{self._out_bytes} bytes waited to be sent')

    def flush_soon(self) -> None:
        """Ask the side at the end of the turn what there is to send, and send it."""
        if not self._due:
            self._due = True
            self._turn.at_end(self._flush)

    def _send_all(self, answers: list[AnyFrame]) -> None:
        for answer in answers:
            self.send(encode(answer))

    def _flush(self) -> None:
        if not self.closing:
            self._side.before_write(False)
        self._due = False
        self._write_out()

    def _write_out(self) -> None:
        """Hand the transport as much as it likes; close when all is sent that was to be."""
        out = self._out
        transport: Any = self.transport
        while out and not self._paused and not self._ended:
            if self._out_bytes <= CHUNK:
                data = out[0] if len(out) == 1 else b''.join(out)
                out.clear()
            else:
                data = _first(out, CHUNK)
            self._out_bytes -= len(data)
            transport.write(data)
        if self.closing and not out and not self._ended:
            self._end()

    def _end(self) -> None:
        """No more will be written.  Reading goes on until the peer closes too: what it has sent meanwhile and nobody
        reads would make the kernel reset the connection, and the peer might never see the last frames."""
        self._ended = True
        transport: Any = self.transport
        transport.unregisterProducer()
        if self._tls is None and ITCPTransport.providedBy(transport):
            transport.loseWriteConnection()
        else:
            transport.loseConnection()

    def pauseProducing(self) -> None:
        """The transport holds enough."""
        self._paused = True

    def resumeProducing(self) -> None:
        """It has sent what it held."""
        self._paused = False
        if self._out or self.closing:
            self._write_out()

    def stopProducing(self) -> None:
        """The connection is gone; connectionLost says the rest."""


def _first(out: deque[bytes], most: int) -> bytes:
    """Take whole frames off the left, about `most` bytes of them, at least one."""
    pieces, size = [], 0
    while out and size < most:
        piece = out.popleft()
        pieces.append(piece)
        size += len(piece)
    return b''.join(pieces)
