"""Redirects: names and addresses whose frames go straight to a node, for a while (REDIRECT in docs/link-protocol.md).

What a sender's links do about them.  A frame that is redirected is under way to the node, while its sender, who knows
nothing of it, has sent it to a name: so what comes back is told in the sender's words, and ends the redirect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from jabberd_tx.link.frames import BUSY, CLIENT, RETURNED, Bounce, Redirect, Route
from jabberd_tx.link.interfaces import Link
from jabberd_tx.xmpp.jid import InvalidJid, parse
from jabberd_tx.xmpp.stanza import Stanza

# Redirects that are honoured at a time, and for how long at most, in seconds; the oldest are let go.
MOST = 4096
LONGEST = 3600
# Redirected frames under way of which we know where their sender has sent them.
MOST_FLYING = 65536


class Way(NamedTuple):
    """The node, and by the clock until when."""

    node: str
    until: float


class RedirectTable:
    """name or bare JID -> where to.  `now`: the clock's seconds."""

    __slots__ = ('_now', 'ways')

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.ways: dict[str, Way] = {}

    def put(self, frame: Redirect) -> None:
        """One begins, goes on, or (0 seconds) is withdrawn."""
        ways = self.ways
        known = ways.pop(frame.name, None)
        if frame.seconds:
            if len(ways) >= MOST:
                del ways[next(iter(ways))]
            ways[frame.name] = Way(frame.node, self._now() + min(frame.seconds, LONGEST))
        elif known is not None and known.node != frame.node:
            ways[frame.name] = known  # that of another is not theirs to withdraw

    def find(self, name: str) -> str | None:
        """The node, unless its time is over."""
        way = self.ways.get(name)
        if way is None:
            return None
        if way.until > self._now():
            return way.node
        del self.ways[name]
        return None

    def end(self, node: str) -> list[str]:
        """None leads to that node any more; the names whose did."""
        names = [name for name, way in self.ways.items() if way.node == node]
        for name in names:
            del self.ways[name]
        return names


class _Sent(NamedTuple):
    """Where the sender has sent a frame, and where it went, over which link."""

    link: Link
    dest: str
    key: str | None
    epoch: int
    node: str


class Redirects:
    """Those that a component's links honour.

    active   whether there is anything to look at, which is all that the stanza path asks
    """

    __slots__ = ('_flying', '_node', '_table', 'active')

    def __init__(self, node: str, now: Callable[[], float]) -> None:
        """node: the component's own."""
        self._node, self._table = node, RedirectTable(now)
        self._flying: dict[bytes, _Sent] = {}
        self.active = False

    def put(self, frame: Redirect) -> None:
        """A router tells of one."""
        self._table.put(frame)
        self._look()

    def applied(self, frame: Route, link: Link) -> Route:
        """The frame as it is to be sent over that link.

        A frame for a session (its key is a stream id), or of one (from a client, or given back by it) stays as it is.
        """
        key = frame.key
        if isinstance(key, bytes) or frame.flags & (CLIENT | RETURNED):
            return frame
        flying = self._flying
        node = self._table.find(address) if (address := key or _address(frame)) else None
        node = node or self._table.find(frame.dest)
        if node is None or node == self._node:
            flying.pop(frame.uid, None)
            self._look()
            return frame
        if len(flying) >= MOST_FLYING:
            del flying[next(iter(flying))]
        flying[frame.uid] = _Sent(link, frame.dest, key, frame.epoch, node)
        return frame._replace(dest=node)

    def confirmed(self, uids: Iterable[bytes]) -> None:
        """They have arrived."""
        for uid in uids:
            self._flying.pop(uid, None)
        self._look()

    def translated(self, bounce: Bounce) -> Bounce:
        """What to tell the sender: of a frame that was redirected, that it may be sent again."""
        sent = self._flying.get(bounce.uid)
        if sent is None or sent.node != bounce.to:
            return bounce
        del self._flying[bounce.uid]
        self._table.end(sent.node)
        self._look()
        return self._back(bounce.uid, sent)

    def node_lost(self, node: str) -> list[tuple[Bounce, Link]]:
        """The node is gone: what to tell the sender of the frames that were under way to it, as if by their links."""
        self._table.end(node)
        lost = [(uid, sent) for uid, sent in self._flying.items() if sent.node == node]
        for uid, _ in lost:
            del self._flying[uid]
        self._look()
        return [(self._back(uid, sent), sent.link) for uid, sent in lost]

    def _back(self, uid: bytes, sent: _Sent) -> Bounce:
        return Bounce(self._node, '', BUSY, sent.dest, sent.key, sent.epoch, uid, '')

    def _look(self) -> None:
        self.active = bool(self._table.ways or self._flying)


def _address(frame: Route) -> str | None:
    """The bare JID that a frame without a key is for."""
    payload = frame.payload
    try:
        stanza = payload if isinstance(payload, Stanza) else Stanza.unpack(payload)
        return parse(stanza.attrs.get('to', '')).bare
    except (InvalidJid, ValueError):
        return None
