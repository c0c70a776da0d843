"""Messages that were queued for clients who never acked them, on their way back to an sm; and errors for such IQs.

They are kept, stream or no stream, until an sm has confirmed them: it has stored them, or sent them to another
resource.  All of them carry REPEAT, so that sending one twice does no harm.  The session that had them is told, and
says so when they all are: what is newer waits for that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from jabberd_tx.base.backoff import Backoff
from jabberd_tx.link.frames import REPEAT, RETURNED, Route, given_back, mark_of
from jabberd_tx.xmpp.errors import error_reply
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.session import Session
    from jabberd_tx.link.interfaces import Links

# How many routers and clustering components a frame may pass.
HOPS = 8
# Frames that are sent again in one turn.
SLICE = 200


def give_back(session: Session, frame: Route) -> None:
    """What the client of a session did not ack goes back to an sm: a message as it is, a request as an error."""
    payload = frame.payload
    stanza = Stanza.unpack(payload) if isinstance(payload, bytes) else payload
    if stanza.name == 'iq':
        sender = stanza.attrs.get('from', session.bare)
        if stanza.attrs.get('type') not in ('get', 'set') or sender in (session.bare, session.domain):
            return  # nobody waits for an answer
        payload = error_reply(stanza, 'service-unavailable')
    flags, c2s = RETURNED | REPEAT, session.c2s
    mark = mark_of(session.stream)
    back = Route(session.domain, session.bare, c2s.node, mark, frame.uid, HOPS, flags, payload)
    if c2s.returned.add(back, session.taken_back):
        session.giving_back += 1


class ReturnedMessages:
    """By uid; one that went to several clients of ours is there as often."""

    log = Logger()

    def __init__(self, links: Links, reactor: Any, most_bytes: int) -> None:
        self._links, self._reactor, self._most_bytes = links, reactor, most_bytes
        self._frames: dict[bytes, list[tuple[Route, Callable[[], None]]]] = {}
        self._bytes = 0
        self._queue: deque[bytes] = deque()  # uids to be sent again
        self._backoff = Backoff(0.1, 10.0)
        self._attempts = 0
        self._retry: IDelayedCall | None = None
        self._slice: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._frames)

    def __contains__(self, uid: bytes) -> bool:
        return uid in self._frames

    def add(self, frame: Route, taken: Callable[[], None]) -> bool:
        """Send one back; `dest` is the domain, `key` the owner of the session that had it.

        taken   called when an sm has it
        returns False when there is no room for it
        """
        size = _size(frame)
        if self._bytes + size > self._most_bytes:
            self.log.error('a message for {owner} is lost: too many wait for a session manager', owner=frame.key)
            return False
        self._bytes += size
        self._frames.setdefault(frame.uid, []).append((frame, taken))
        self._send(frame)
        return True

    def confirm(self, confirmed: bytes) -> None:
        """An sm has it.  Whatever else is confirmed, such as the client's own stanza of that uid, is nothing to us."""
        uid = given_back(confirmed)
        frames = self._frames.get(uid) if uid is not None else None
        if uid is None or frames is None:
            return
        frame, taken = frames.pop(0)
        self._bytes -= _size(frame)
        self._attempts = 0
        if not frames:
            del self._frames[uid]
        taken()

    def bounced(self) -> None:
        """One could not be handed on: all are sent again, some time later."""
        if self._retry is None and self._frames:
            self._retry = self._reactor.callLater(self._backoff.delay(self._attempts), self.send_again)
            self._attempts += 1

    def send_again(self) -> None:
        """Where they went may be gone: send all of them, by the links that there are now."""
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
        self._retry = None
        self._queue = deque(self._frames)
        if self._slice is None:
            self._send_slice()

    def stop(self) -> None:
        """Give up; what is left is lost."""
        for call in (self._retry, self._slice):
            if call is not None and call.active():
                call.cancel()
        self._retry = self._slice = None
        if self._frames:
            self.log.error('{count} messages were not taken back by a session manager', count=len(self._frames))

    def _send_slice(self) -> None:
        self._slice = None
        for _ in range(min(SLICE, len(self._queue))):
            for frame, _ in self._frames.get(self._queue.popleft(), ()):
                self._send(frame)
        if self._queue:
            self._slice = self._reactor.callLater(0, self._send_slice)

    def _send(self, frame: Route) -> None:
        link = self._links.pick(str(frame.key))
        if link is None:
            self.bounced()
        else:
            link.route(frame)


def _size(frame: Route) -> int:
    payload = frame.payload
    return 256 + (len(payload.inner) if isinstance(payload, Stanza) else len(payload))
