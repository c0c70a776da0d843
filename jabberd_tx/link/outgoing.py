"""A component's end of one link: what it sends, what it takes, and what it owes the router."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from jabberd_tx.link.connection import LinkConnection
from jabberd_tx.link.credit import CreditGrants
from jabberd_tx.link.decoding import FrameError, decode
from jabberd_tx.link.frames import (
    Bind,
    Bounce,
    Bound,
    Confirm,
    Copy,
    Credit,
    Drain,
    Fanout,
    Hello,
    Present,
    Redirect,
    Route,
    Working,
    encode,
)
from jabberd_tx.link.interfaces import Component
from jabberd_tx.link.redirects import Redirects
from jabberd_tx.xmpp.stanza import Stanza

# Confirmations are sent without waiting for more when there are so many for one node …
MOST_CONFIRMS = 512
# … and ride along with other frames when there are so many in all.  Fewer make the router write to, and wake, each
# node that they are for, once more than need be.
RIDE_ALONG = 16
# What a router may say of who is there, before it says that that was all.
MOST_NEWS = 1_000_000


class Owner(Protocol):
    """What a link asks of its pool, and tells it."""

    node: str
    redirects: Redirects

    def is_linked(self, router: str) -> bool:
        """Whether another link goes to that router."""

    def on_open(self, link: RouterLink) -> None:
        """Authenticated: BINDs may be sent."""

    def on_synced(self, link: RouterLink, news: list[Present | Drain]) -> None:
        """The router has said what is there."""

    def on_news(self, link: RouterLink, frame: Present | Drain) -> None:
        """Something has changed since."""

    def on_closing(self, link: RouterLink) -> None:
        """Its `up` is False for good.  May be called from within a call of the component."""


class RouterLink:
    """One path to one router (link.interfaces.Link), and the Side of its connection.

    name      the router's node name
    up        from the router's list of who is there until the link is lost
    up_since  when that was, by the clock; None if it never was
    draining  the router is about to leave: only for what has no other way
    dropped   frames whose payload was no stanza
    """

    log = Logger()

    def __init__(
        self, pool: Owner, component: Component, options: Any, clock: Any, lost: Callable[[RouterLink], None]
    ) -> None:
        """lost: called when the connection is gone."""
        self.name, self.up, self.draining, self.dropped = '', False, False, 0
        self.up_since: float | None = None
        self.on_lost = partial(lost, self)
        self.connection: LinkConnection
        self._pool, self._component, self._clock = pool, component, clock
        self._redirects = pool.redirects
        self._longest = options.frame_limit + 4
        self._credit = CreditGrants(options.credit, self._send_credit, component.congested, clock)
        self._confirms: dict[str, Confirm] = {}
        self._gathered = 0  # uids in them; at least RIDE_ALONG when they are due
        self._confirm_delay = options.confirm_delay
        self._confirm_timer: IDelayedCall | None = None
        self._news: list[Present | Drain] | None = []
        self._sync_timeout = options.handshake_timeout
        self._sync_timer: IDelayedCall | None = None
        self.takes: dict[type, Callable[[Any, bytes], None]] = {
            Route: self._take_route,
            Fanout: self._take_fanout,
            Confirm: self._take_confirm,
            Working: self._take_working,
            Bounce: self._take_bounce,
            Present: self._take_news,
            Drain: self._take_news,
            Bound: self._take_bound,
            Credit: self._take_credit,
            Redirect: self._take_redirect,
            Copy: self._take_copy,
        }

    def __repr__(self) -> str:
        return f'<link to {self.name or "?"} {"up" if self.up else "down"}>'

    # ---- Link

    def route(self, frame: Route) -> None:
        """Send; ValueError for a frame that is longer than any link may take."""
        if self.up:
            if self._redirects.active:
                frame = self._redirects.applied(frame, self)
            data = encode(frame)
            if len(data) > self._longest:
                raise ValueError(f'a ROUTE of {len(data)} bytes: link.frame_limit is too small for the stanzas allowed')
            self.connection.send(data)

    def fanout(self, frame: Fanout) -> None:
        """Send, in as many parts as the targets need; ValueError when the payload alone is too long."""
        if not self.up:
            return
        payload = frame.payload.pack() if type(frame.payload) is Stanza else frame.payload
        parts = list(_parts(frame.targets, self._longest // 2 - len(payload)))  # type: ignore[arg-type]
        frames = [encode(Fanout(frame.dest, frame.source, frame.uid, part, payload)) for part in parts]
        if max(map(len, frames)) > self._longest:
            raise ValueError(f'a FANOUT of {len(payload)} bytes: link.frame_limit is too small')  # type: ignore[arg-type]
        for data in frames:
            self.connection.send(data)

    # ---- for the pool

    def confirm(self, node: str, uid: bytes) -> None:
        """Gathered until other frames leave, or confirm_delay is over."""
        gathered = self._confirms.get(node)
        if gathered is None:
            gathered = self._gather(node)
        gathered.uids.append(uid)
        self._gathered += 1
        if len(gathered.uids) == MOST_CONFIRMS:
            self._confirms_are_due()

    def failed(self, node: str, uid: bytes, sessions: list[bytes]) -> None:
        """Likewise."""
        gathered = self._confirms.get(node)
        if gathered is None:
            gathered = self._gather(node)
        gathered.uids.append(uid)
        gathered.failed.extend([(uid, session) for session in sessions])
        self._gathered += 1
        if len(gathered.failed) >= MOST_CONFIRMS:
            self._confirms_are_due()

    def bind(self, name: str, options: dict[str, object]) -> None:
        """Ask the router for the name."""
        self.connection.send(encode(Bind(name, options)))

    def _gather(self, node: str) -> Confirm:
        gathered = self._confirms[node] = Confirm(node, self._pool.node, [], [])
        if not self._confirm_delay:
            self._confirms_are_due()
        elif self._confirm_timer is None:
            self._confirm_timer = self._clock.callLater(self._confirm_delay, self._confirm_time)
        return gathered

    def _confirm_time(self) -> None:
        self._confirm_timer = None
        if self._confirms:
            self._confirms_are_due()

    def _confirms_are_due(self) -> None:
        self._gathered = max(self._gathered, RIDE_ALONG)
        self.connection.flush_soon()

    def _send_credit(self, size: int) -> None:
        self.connection.send(encode(Credit(size)))

    # ---- Side

    def on_hello(self, peer: Hello) -> None:
        """One link to each router, by whatever address."""
        if self._pool.is_linked(peer.node):
            raise FrameError('conflict', f'there is a link to {peer.node} already')
        self.name = peer.node

    def on_open(self, peer: Hello) -> None:
        """Say what will be taken and what is served; the router says who is there."""
        self._sync_timer = self._clock.callLater(self._sync_timeout, self._sync_is_late)
        self._credit.open()
        self._pool.on_open(self)

    def _sync_is_late(self) -> None:
        self._sync_timer = None
        self.connection.fail('timeout', 'the list of who is there has no end')

    def before_write(self, last: bool) -> None:
        """Confirmations ride along, if there are enough of them, or they have waited for long enough."""
        if self._gathered >= RIDE_ALONG or last:
            confirms, self._confirms = self._confirms, {}
            self._gathered = 0
            for frame in confirms.values():
                self.connection.send(encode(frame))

    def on_closing(self) -> None:
        """Nothing can be sent any more."""
        self.up = False
        self._confirms.clear()
        self._credit.close()
        for timer in (self._confirm_timer, self._sync_timer):
            if timer is not None:
                timer.cancel()
        self._confirm_timer = self._sync_timer = None
        self._pool.on_closing(self)

    # ---- frames

    def _take_route(self, frame: Route, raw: bytes) -> None:
        self._credit.take(len(raw))
        stanza = self._stanza(frame)
        if stanza is not None:
            dest, key, source, epoch, uid, hops, flags, _ = frame
            self._component.on_route(Route(dest, key, source, epoch, uid, hops, flags, stanza), self)

    def _take_fanout(self, frame: Fanout, raw: bytes) -> None:
        self._credit.take(len(raw))
        stanza = self._stanza(frame)
        if stanza is not None:
            self._component.on_fanout(frame._replace(payload=stanza), self)

    def _stanza(self, frame: Route | Fanout) -> Stanza | None:
        """What the payload holds; None if that is no stanza.  Such a frame is confirmed all the same: its sender would
        repeat it, and it would be no better."""
        try:
            return Stanza.unpack(frame.payload)  # type: ignore[arg-type]
        except ValueError as error:
            self.dropped += 1
            if self.dropped == 1:
                self.log.error('{source} sent what is no stanza: {error}', source=frame.source, error=str(error))
            self.confirm(frame.source, frame.uid)
            return None

    def _take_confirm(self, frame: Confirm, raw: bytes) -> None:
        if self._redirects.active:
            self._redirects.confirmed(frame.uids)
        self._component.on_confirm(frame)

    def _take_working(self, frame: Working, raw: bytes) -> None:
        self._component.on_working(frame)

    def _take_bounce(self, frame: Bounce, raw: bytes) -> None:
        if self._redirects.active:
            frame = self._redirects.translated(frame)
        self._component.on_bounce(frame, self)

    def _take_redirect(self, frame: Redirect, raw: bytes) -> None:
        self._redirects.put(frame)

    def _take_copy(self, frame: Copy, raw: bytes) -> None:
        self._credit.take(len(raw))
        on_copy = getattr(self._component, 'on_copy', None)
        if on_copy is not None:
            on_copy(decode(frame.frame) if isinstance(frame.frame, bytes) else frame.frame)

    def _take_news(self, frame: Present | Drain, raw: bytes) -> None:
        news = self._news
        if news is None:
            self._pool.on_news(self, frame)
        elif type(frame) is Present and frame.node == frame.name == self.name:
            self._news = None
            if self._sync_timer is not None:
                self._sync_timer.cancel()
                self._sync_timer = None
            self.up, self.up_since = True, self._clock.seconds()
            self._pool.on_synced(self, news)
        else:
            news.append(frame)
            if len(news) > MOST_NEWS:
                raise FrameError('resource-constraint', 'the list of who is there has no end')

    def _take_bound(self, frame: Bound, raw: bytes) -> None:
        if frame.outcome != 'ok':
            self.log.error(
                '{router} does not let {node} serve {name}: {outcome}',
                router=self.name,
                node=self._pool.node,
                name=frame.name,
                outcome=frame.outcome,
            )
            tell = getattr(self._component, 'on_refused', None)
            if tell is not None:
                tell(frame.name, frame.outcome)

    def _take_credit(self, frame: Credit, raw: bytes) -> None:
        """A router takes whatever comes; one that says so is not wrong."""


def _parts(targets: list[tuple[bytes, str]], room: int) -> list[list[tuple[bytes, str]]]:
    """Split so that no part takes more than about `room` bytes; at least one target each."""
    parts: list[list[tuple[bytes, str]]] = [[]]
    left = room
    for target in targets:
        # 16 bytes and their head, the array's and the text's heads, and up to four bytes a character.
        size = 24 + (len(target[1]) if target[1].isascii() else 4 * len(target[1]))
        left -= size
        if left < 0 and parts[-1]:
            parts.append([])
            left = room - size
        parts[-1].append(target)
    return parts
