"""What goes out to one client: written, waiting for a slow connection, or waiting for the client's ack.

A delivery is confirmed to its sm when the client's copy is safe with us: with acks (XEP-0198) when it is queued,
without when it is written to the connection.  Two queues, each with a bound; past it the stream is closed:

    backlog   while the connection is congested (the transport says so): bytes, and without acks the frame to confirm
    unacked   with acks: what the client has not acked; sent again when it resumes the stream, and when the stream is
              over its messages go back to an sm
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from jabberd_tx.base.replay import ReplayWindow
from jabberd_tx.components.c2s.held_back import HeldBack, holds
from jabberd_tx.link.frames import BUSY, NO_SESSION, OLDER, REPEAT, Fanout, Route
from jabberd_tx.link.stream_copies import OWN
from jabberd_tx.xmpp.acks import REQUEST, Acks, AcksError, parse_h
from jabberd_tx.xmpp.events import Nonza
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import to_xml

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.copies import Copies
    from jabberd_tx.components.c2s.service import C2S
    from jabberd_tx.link.interfaces import Link

# Streams of which it is remembered how far what has come back had gone.
MOST_BACK = 64
# A message or IQ that may have to go back (None for what is not worth it), and what was sent for it.
Unacked = tuple[Route | None, bytes]
# Bytes, and what to confirm once they are written: nothing, or a frame and the link that it came on.
Waiting = tuple[bytes, Route | None, 'Link | None']


class Outbox:
    """The outgoing half of a session.

    transport  the client's connection; None when the stream is over
    acks       XEP-0198's counters, once enabled
    held       what is not sent yet, while the client is inactive (held_back.py)
    copies     where all this is copied to, with acks: then nothing is written or confirmed before it is (copies.py)
    """

    __slots__ = (
        '_asked_in', '_back', '_backlog', '_backlog_bytes', '_congested', '_passed_on', '_passed_on_before',
        '_unacked_bytes', '_unasked', '_unasked_bytes', 'acks', 'asked_at', 'c2s', 'congested_at', 'copies',
        'held', 'stream', 'transport',
    )  # fmt: skip

    def __init__(self, c2s: C2S, transport: Any, stream: bytes) -> None:
        self.c2s = c2s
        self.transport = transport
        self.stream = stream
        self.acks: Acks[Unacked] | None = None
        self.copies: Copies | None = None
        self.held: HeldBack | None = None
        self.asked_at = self.congested_at = 0  # ticks: of the oldest <r/> without answer, of congestion; 0 for none
        self._congested = False
        self._backlog: deque[Waiting] | None = None
        self._backlog_bytes = 0
        self._unacked_bytes = 0
        self._unasked = self._unasked_bytes = 0  # sent since the last <r/>
        self._asked_in = 0  # the tick of that
        self._passed_on: ReplayWindow | None = None
        self._passed_on_before: ReplayWindow | None = None
        self._back: dict[bytes, bytes] | None = None  # stream id -> the highest number that had come back

    if TYPE_CHECKING:

        def fail(self, condition: str, text: str = '', inner: str = '') -> None:
            """End the stream with a stream error: the session's."""

        def give_back(self, message: Route) -> None:
            """A message that the client does not get goes back to an sm: the session's."""

    # ---- deliveries

    def deliver(self, frame: Route, stanza: Stanza, link: Link) -> None:
        """One stanza that an sm sends to this client."""
        links = self.c2s.links if self.copies is None else self.copies
        if (self._note(frame.uid) and frame.flags & REPEAT) or (frame.flags and self._came_before(frame, stanza)):
            links.confirm(frame.source, frame.uid, link)
            return
        if self.held is not None and holds(self, stanza, frame if stanza.name != 'presence' else None):
            links.confirm(frame.source, frame.uid, link)
            return
        data = to_xml(stanza)
        if self.acks is not None:
            links.confirm(frame.source, frame.uid, link)
            self._send_acked(data, frame if stanza.name != 'presence' else None)
        elif self._congested:
            self._wait(data, frame, link)
        else:
            self.transport.write(data)
            links.confirm(frame.source, frame.uid, link)

    def deliver_shared(self, frame: Fanout, stanza: Stanza, data: bytes, to: str) -> None:
        """This client's copy of a fan-out.  Who delivers confirms the whole of it at once.

        stanza  of the frame, as it is for all; data: its XML with this client's `to`
        """
        # A fan-out has no flag that says whether it is a repeat.
        if self._note(frame.uid):
            return
        if self.held is not None and holds(self, stanza, self._as_route(frame, stanza, to), data):
            return
        if self.acks is not None:
            self._send_acked(data, self._as_route(frame, stanza, to))
        elif self._congested:
            self._wait(data, None, None)
        else:
            self.transport.write(data)

    def deliver_share(self, frame: Route, stanza: Stanza) -> None:
        """This client's copy of a fan-out that was confirmed while the session was about to move."""
        if self._note(frame.uid):
            return
        kept = frame if stanza.name == 'message' else None
        if self.held is not None and holds(self, stanza, kept):
            return
        data = to_xml(stanza)
        if self.acks is not None:
            self._send_acked(data, kept)
        else:
            self.write(data)

    def _as_route(self, frame: Fanout, stanza: Stanza, to: str) -> Route | None:
        if stanza.name != 'message':
            return None
        if to:
            stanza = stanza.with_attrs(to=to)
        return Route(frame.dest, self.stream, frame.source, 0, frame.uid, 0, 0, stanza)

    def answer(self, stanza: Stanza) -> None:
        """A stanza of our own for this client."""
        if not self.send_held('answer'):
            return
        data = to_xml(stanza)
        if self.acks is not None:
            self._send_acked(data, None)
        else:
            self.write(data)

    def write(self, data: bytes) -> None:
        """Bytes that are no stanza of an sm's, in order with those that are."""
        if self.copies is not None:
            self.copies.write(self, data)
        else:
            self.emit(data)

    def emit(self, data: bytes) -> None:
        """Write it now."""
        if self._congested:
            self._wait(data, None, None)
        else:
            self.transport.write(data)

    # ---- client state (XEP-0352)

    def become_inactive(self) -> None:
        """Nobody looks at the client: hold back what can wait."""
        if self.held is None:
            self.held = HeldBack()

    def become_active(self) -> None:
        """Somebody does again."""
        if self.send_held('active'):
            self.held = None

    def send_held(self, reason: str) -> bool:
        """Send what is held, if anything; False when the stream has ended over it.

        reason  one of client_state.SENT
        """
        held = self.held
        if held is None or not len(held):
            return True
        self.c2s.measures.client_state.flushed.one_more(reason)
        while len(held) and self.held is held:
            data, frame = held.take()
            if self.acks is not None:
                self._send_acked(data, frame)
            else:
                self.write(data)
        if self.copies is not None:
            self.copies.release(self.stream)
        return self.held is held

    # ---- repeats

    def _note(self, uid: bytes) -> bool:
        """Remember that it was passed on; whether it was already."""
        window, before = self._passed_on, self._passed_on_before
        if window is None:
            window = self._passed_on = ReplayWindow()
        return window.mark(uid) or (before is not None and before.seen(uid))

    def _came_before(self, frame: Route, stanza: Stanza) -> bool:
        """Whether a message is the repeat of one that a client of the user's had got before.

        What comes back from another client had come to it after all that the same sender had sent before (a lane keeps
        its order): whatever is repeated of that now was settled then, though the sender's c2s has not heard of it.
        """
        if stanza.name != 'message':
            return False
        stream, number = frame.uid[:16], frame.uid[16:]
        back = self._back
        if not frame.flags & OLDER:
            return back is not None and number < back.get(stream, b'')
        if back is None:
            back = self._back = {}
        elif len(back) >= MOST_BACK and stream not in back:
            del back[next(iter(back))]
        back[stream] = max(number, back.get(stream, b''))
        return False

    def forget_uids(self) -> None:
        """Called every few minutes: what was passed on before the last call is not remembered any more."""
        self._passed_on_before, self._passed_on = self._passed_on, None
        self._back = None

    def passed_on(self) -> list[tuple[bytes, int, int]]:
        """What is remembered of that (ReplayWindow.states)."""
        return [state for window in (self._passed_on_before, self._passed_on) if window for state in window.states()]

    def restore_outbox(self, acks: Acks[Unacked], passed_on: Iterable[tuple[bytes, int, int]]) -> None:
        """Go on where another worker was."""
        self.acks = acks
        self._unacked_bytes = sum([len(data) for _, data in acks.unacked])
        window = self._passed_on = ReplayWindow()
        for state in passed_on:
            window.restore(*state)

    # ---- a slow connection

    @property
    def unacked_bytes(self) -> int:
        """Bytes that were sent and that the client has not acked."""
        return self._unacked_bytes

    @property
    def waiting(self) -> int:
        """Bytes that the connection has not taken yet."""
        return self._backlog_bytes

    def congest(self) -> None:
        """The transport holds more than it likes."""
        self._congested = True
        self.congested_at = self.c2s.tick

    def relieve(self) -> None:
        """The transport has sent all that it held."""
        self._congested = False
        self.congested_at = 0
        backlog = self._backlog
        if backlog is None:
            return
        confirm = self.c2s.links.confirm
        # Writing may congest it again.
        while backlog and not self._congested:
            data, frame, link = backlog.popleft()
            self._backlog_bytes -= len(data)
            self.transport.write(data)
            if frame is not None:
                confirm(frame.source, frame.uid, link)
        if not backlog:
            self._backlog = None

    def _wait(self, data: bytes, frame: Route | None, link: Link | None) -> None:
        if self._backlog is None:
            self._backlog = deque()
        self._backlog.append((data, frame, link))
        self._backlog_bytes += len(data)
        if self._backlog_bytes > self.c2s.options.outgoing_bytes:
            self.fail('resource-constraint', 'the client reads too slowly')

    # ---- acks

    def _send_acked(self, data: bytes, frame: Route | None) -> None:
        acks, copies, options, size = self.acks, self.copies, self.c2s.options, len(data)
        assert acks is not None
        written = data
        acks.sent((frame, data))
        self._unacked_bytes += size
        self._unasked_bytes += size
        self._unasked += 1
        if self._unasked >= options.ack_every_stanzas or self._unasked_bytes >= options.ack_every_bytes:
            self._note_asked()
            written += REQUEST
        elif self._unasked == 1:
            if self._asked_in == self.c2s.tick:
                self.c2s.unasked.append(self)
            else:
                # After a quiet second at once: a client that leaves soon would find again what it has not acked.
                self.c2s.turn.later(self.ask)
        if copies is not None:
            copies.send(self, OWN if frame is None else frame.uid, data, written)
        elif self._congested:
            self._wait(written, None, None)
        else:
            self.transport.write(written)
        if self._unacked_bytes > options.unacked_bytes or len(acks.unacked) > options.unacked_stanzas:
            self.fail('resource-constraint', 'too much is not acked')

    def ask(self) -> None:
        """Ask for an ack if something was sent since the last time."""
        if self.transport is not None and self._unasked:
            self.probe()

    def probe(self) -> None:
        """Ask for an ack."""
        self._note_asked()
        self.write(REQUEST)

    def _note_asked(self) -> None:
        self._unasked = self._unasked_bytes = 0
        self._asked_in = self.c2s.tick
        if not self.asked_at:
            self.asked_at = self._asked_in

    def take_ack(self, ack: Nonza) -> None:
        """The client's <a/>.  AcksError ends the stream."""
        acks = self.acks
        if acks is None:
            raise AcksError('policy-violation', 'acks are not enabled')
        gone = acks.acked(parse_h(ack))
        for _, data in gone:
            self._unacked_bytes -= len(data)
        if gone and self.copies is not None:
            self.copies.acked(self.stream, len(gone))
        self.asked_at = 0

    # ---- the end

    def switch(self, transport: Any) -> None:
        """Another transport takes the place of this one, from which nothing more comes: what waits for it is dropped.

        With acks that is in `unacked` as well; what came before they were enabled is bounced, to be sent once more.
        """
        self.transport = transport
        self._drop_backlog(BUSY)

    def _drop_backlog(self, reason: str) -> None:
        backlog, self._backlog = self._backlog, None
        for _, frame, link in backlog or ():
            if frame is not None:
                self.c2s.links.bounce(frame, reason, via=link)
        self._congested = False
        self._backlog_bytes = self._unasked = self._unasked_bytes = 0
        self.asked_at = self.congested_at = 0

    def send_again(self) -> None:
        """Everything that is not acked, on a transport that has had nothing of it, and a wish for an ack."""
        acks = self.acks
        if acks is not None and acks.unacked:
            # All of it is within bounds already: none of it waits in the backlog.
            copied = len(acks.unacked) - (self.copies.pending(self) if self.copies is not None else 0)
            for number, (_, data) in enumerate(acks.unacked):
                if number < copied:
                    self.transport.write(data)
                else:
                    self.write(data)
            self.probe()

    def hasten(self) -> None:
        """The stream is about to end: nothing waits for its copy any more."""
        copies, self.copies = self.copies, None
        if copies is not None:
            copies.hasten(self)

    def let_go(self) -> list[Route]:
        """The stream is over: what was not written is bounced; what was not acked, or not sent, and may go back, oldest
        first."""
        self.transport = self.copies = None
        self._drop_backlog(NO_SESSION)
        acks, self.acks = self.acks, None
        held, self.held = self.held, None
        self._passed_on = self._passed_on_before = self._back = None
        self._unacked_bytes = 0
        unacked = [frame for frame, _ in acks.unacked if frame is not None] if acks is not None else []
        return [*unacked, *held.frames] if held is not None else unacked
