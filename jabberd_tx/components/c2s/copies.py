"""Copies outside of this process of what its clients have not acked, and of what they need to resume their streams.

Theory of operation.  All that happens to sessions with acks goes into one log (link/stream_copies.py), at the end of a
turn, as one chunk; while one is under way the next one gathers.  What waits for a chunk is done when it is stored, and
in order: bytes are written to clients, and messages confirmed to their sm.  So whatever a client has seen, or an sm
believes to be safe, is in the log.

Each session begins with a *base*, all that there is to know of it; the log is needed from the oldest base on.  When it
has grown too long the oldest sessions get a new base at its end, so that its beginning can be dropped.  When the store
has lost the log all sessions do.

If the store can't be reached for as long as its calls have patience, work goes on without copies until it can be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from jabberd_tx.components.c2s.copied_state import asked_of, base_of
from jabberd_tx.link import stream_copies as log
from jabberd_tx.storage.copies.interface import CopyStore, Start

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.outbox import Outbox
    from jabberd_tx.components.c2s.service import C2S
    from jabberd_tx.components.c2s.session import Session
    from jabberd_tx.link.interfaces import Link

# New bases in one chunk.
SLICE = 50
# How long a log may become beyond BASES times all bases.
LEAST_BYTES, BASES = 4 << 20, 4
# How stanzas begin, among all that is written.
STANZAS = (b'<message', b'<presence', b'<iq')


class _Waiting:
    """What is done when a chunk is stored, or is not waited for any more."""

    __slots__ = ('calls', 'confirms', 'failures', 'writes')

    def __init__(self) -> None:
        self.writes: list[tuple[Outbox, Any, bytes]] = []
        self.confirms: list[tuple[str, bytes, Link]] = []
        self.failures: list[tuple[str, bytes, list[bytes], Link]] = []
        self.calls: list[Callable[[], None]] = []


class Copies:
    """Of one start of a c2s."""

    log = Logger()

    def __init__(self, c2s: C2S, store: CopyStore) -> None:
        self._c2s, self._store, self._links = c2s, store, c2s.links
        self.start = Start(c2s.node, c2s.links.incarnation)
        self._out: list[bytes] = []
        self._waiting = _Waiting()
        self._under_way: _Waiting | None = None
        self._due = False
        self._number = 0
        self._away = self._probing = False
        self._bases: dict[Session, tuple[int, int]] = {}  # number of the chunk and size, oldest first
        self._again: dict[Session, None] = {}
        self._asking: set[Session] = set()  # the log says that they wait for answers to IQs
        self._sizes: dict[int, int] = {}  # of the chunks that are needed
        self._bytes = self._base_bytes = 0
        store.on_renewed(self._lost)

    def size(self) -> int:
        """Bytes of the log."""
        return self._bytes

    # ---- sessions

    def begin(self, session: Session) -> None:
        """Copy a session from now on; it has acks."""
        session.copies = self
        self._rebase(session)

    def forget(self, session: Session) -> None:
        """Nothing of it is left here."""
        self._again.pop(session, None)
        self._asking.discard(session)
        if session in self._bases:
            self._base_bytes -= self._bases.pop(session)[1]
            self._add(log.over(session.stream))

    def _rebase(self, session: Session) -> None:
        said = base_of(session)
        data = log.base(session.stream, said)
        if said.asked:
            self._asking.add(session)
        before = self._bases.pop(session, None)
        if before is not None:
            self._base_bytes -= before[1]
        self._bases[session] = self._number + 1, len(data)
        self._base_bytes += len(data)
        self._add(data)

    # ---- what happens

    def send(self, outbox: Outbox, uid: bytes, data: bytes, written: bytes) -> None:
        """A stanza for the client.  written: its bytes, and perhaps a wish for an ack."""
        if not self._due:
            self._arm()
        self._out += (log.sent(outbox.stream, uid, len(data)), data)
        self._waiting.writes.append((outbox, outbox.transport, written))

    def write(self, outbox: Outbox, data: bytes) -> None:
        """Bytes for the client that are no stanza of its session, in order with those that are."""
        if not self._due:
            self._arm()
        self._waiting.writes.append((outbox, outbox.transport, data))

    def confirm(self, node: str, uid: bytes, via: Link) -> None:
        """As Links.confirm."""
        if not self._due:
            self._arm()
        self._waiting.confirms.append((node, uid, via))

    def failed(self, node: str, uid: bytes, sessions: list[bytes], via: Link) -> None:
        """As Links.failed."""
        if not self._due:
            self._arm()
        self._waiting.failures.append((node, uid, sessions, via))

    def hold(self, stream: bytes, uid: bytes, data: bytes) -> None:
        """A stanza is held back."""
        self._add(log.held(stream, uid, len(data)) + data)

    def release(self, stream: bytes) -> None:
        """What was held back is sent."""
        self._add(log.released(stream))

    def acked(self, stream: bytes, count: int) -> None:
        """The client has so many more."""
        self._add(log.acked(stream, count))

    def tell(self, session: Session, number: int) -> None:
        """The client is about to be told that its stanzas up to this number are taken."""
        self._add(log.told(session.stream, number))
        if session.iqs is not None or session in self._asking:
            waiting = asked_of(session, number)
            self._add(log.asked(session.stream, waiting))
            if waiting:
                self._asking.add(session)
            else:
                self._asking.discard(session)

    def presence(self, stream: bytes, packed: bytes) -> None:
        """Its last broadcast presence."""
        self._add(log.presence(stream, packed))

    def keep(self, stream: bytes, record: bytes) -> None:
        """What its sm wants told to the next one."""
        self._add(log.kept(stream, record))

    def _add(self, record: bytes) -> None:
        if not self._due:
            self._arm()
        self._out.append(record)

    # ---- waiting for it

    def store_anew(self, session: Session) -> Deferred[None]:
        """Fires when the session as it is now is stored; all that it has sent is counted from then on."""
        if session.acks is not None:
            session.acks.count(session.number)
            self._rebase(session)
        return self.stored()

    def stored(self) -> Deferred[None]:
        """Fires when all that was said up to now is stored."""
        done: Deferred[None] = Deferred()
        if not self._due:
            self._arm()
        self._waiting.calls.append(lambda: done.callback(None))
        return done

    def pending(self, outbox: Outbox) -> int:
        """How many stanzas for a client, its last ones, are not stored yet."""
        count = 0
        for waiting in (self._under_way, self._waiting):
            if waiting is not None:
                count += sum([one is outbox and data.startswith(STANZAS) for one, _, data in waiting.writes])
        return count

    def hasten(self, outbox: Outbox) -> None:
        """The stream is about to end: write at once what waits to be written."""
        for waiting in (self._under_way, self._waiting):
            if waiting is not None:
                mine = [data for one, transport, data in waiting.writes if one is outbox and transport is one.transport]
                if mine:
                    waiting.writes = [write for write in waiting.writes if write[0] is not outbox]
                for data in mine:
                    outbox.emit(data)

    # ---- to the store

    def _arm(self) -> None:
        self._due = True
        if self._under_way is None:
            self._c2s.turn.later(self._flush)

    def _flush(self) -> None:
        if self._under_way is not None:
            return
        self._base_some()
        # What has no new base yet is due when this chunk is stored.
        self._due = bool(self._again)
        data, self._out = b''.join(self._out), []
        waiting, self._waiting = self._waiting, _Waiting()
        if not data or self._away:
            self._stored_or_not(waiting)
            return
        number = self._number = self._number + 1
        self._sizes[number] = len(data)
        self._bytes += len(data)
        keep_from = self._keep_from()
        self._under_way = waiting
        appended = self._store.append(self.start, number, data, keep_from)
        appended.addErrback(self._not_stored)
        appended.addCallback(self._stored)
        appended.addErrback(lambda failure: self.log.failure('what waited for copies failed', failure))

    def _keep_from(self) -> int:
        first = next(iter(self._bases.values()))[0] if self._bases else self._number
        sizes = self._sizes
        while (oldest := next(iter(sizes))) < first and oldest < self._number:
            self._bytes -= sizes.pop(oldest)
        return min(first, self._number)

    def _base_some(self) -> None:
        """New bases for sessions that need one: those of a lost log, or the oldest ones of a long one."""
        for _ in range(min(SLICE, len(self._again))):
            session = next(iter(self._again))
            del self._again[session]
            if session.acks is not None:
                self._rebase(session)
        if not self._again and self._bytes > LEAST_BYTES + BASES * self._base_bytes:
            for session in list(self._bases)[:SLICE]:
                if session.acks is None:
                    break  # it is over, and what is left of it goes back to an sm
                self._rebase(session)

    def _stored(self, result: object) -> None:
        waiting, self._under_way = self._under_way, None
        assert waiting is not None
        self._stored_or_not(waiting)

    def _stored_or_not(self, waiting: _Waiting) -> None:
        self._do(waiting)
        if self._due and self._under_way is None:
            self._c2s.turn.later(self._flush)

    def _do(self, waiting: _Waiting) -> None:
        for outbox, transport, data in waiting.writes:
            # Else that connection is gone, and the next one gets it all again.
            if outbox.transport is transport and transport is not None:
                outbox.emit(data)
        confirm = self._links.confirm
        for node, uid, via in waiting.confirms:
            confirm(node, uid, via)
        for failure in waiting.failures:
            self._links.failed(*failure)
        for call in waiting.calls:
            call()

    # ---- trouble

    def _not_stored(self, failure: Any) -> None:
        self.log.error('going on without copies: {error}', error=failure.getErrorMessage())
        self._away = True

    def tick(self) -> None:
        """Called once a second: is the store back?"""
        if self._away and not self._probing:
            self._probing = True
            self._number += 1
            self._sizes[self._number] = 0
            probe = self._store.append(self.start, self._number, b'', 1)
            probe.addCallbacks(self._back, lambda failure: None)
            probe.addBoth(self._probed)

    def _back(self, result: object) -> None:
        self._away = False
        self.log.info('there are copies again')
        self._lost()

    def _probed(self, result: object) -> None:
        self._probing = False

    def _lost(self) -> None:
        """The log is gone, or lacks something: all sessions begin anew."""
        self._again = dict.fromkeys(self._bases)
        if self._again and not self._due:
            self._arm()

    async def stop(self) -> None:
        """The very end.  With nothing left the log is dropped; else sms see to it."""
        try:
            await self.stored()
            if not self._bases and not self._away:
                await self._store.drop(self.start)
        except Exception:
            self.log.failure('the copies are left to session managers')
