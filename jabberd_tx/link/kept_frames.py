"""Stanzas on their way to names, kept until they are confirmed: what a component with no sessions needs to send.

One lane for each recipient, in order.  A lane has a stream id of its own, no more of it is under way than a replay
window tells apart, and it goes over one link at a time.  When something comes back, or the way is lost, the lane is
sent again from its first frame: at once over another link, or after a while.  Where an instance says that another one
has what the lane is for, that one is addressed until it is gone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from secrets import token_bytes

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from jabberd_tx.base.backoff import Backoff
from jabberd_tx.base.replay import WIDTH
from jabberd_tx.link.frames import ABSENT, BUSY, DENIED, NO_LINK, NOT_MINE, REPEAT, Bounce, Route, make_uid, uid_number
from jabberd_tx.link.frames import HOPS as OVER
from jabberd_tx.link.interfaces import Link, Links, may_have_gone
from jabberd_tx.xmpp.stanza import Stanza

# How many more routers or clustering components a frame may pass.
HOPS = 8
# Lanes with nothing in them are forgotten beyond so many.
MOST_LANES = 4096

# Told of a stanza that nobody took, and the reason of its last bounce; of one that a router's rules do not let pass the
# condition of the stanza error.
GaveUp = Callable[[Stanza, str], None]


class TooManyKept(Exception):
    """No more is taken until some of it is confirmed."""


class _Lane:
    """`flying`: sent, by uid, in order; `since`: when the present trouble began, 0 for none; `owner`: the instance that
    has the slot of an exclusive name, as another one has told, or ''."""

    __slots__ = (
        'attempts', 'avoid', 'dest', 'flying', 'key', 'link', 'number', 'owner', 'pause', 'since', 'stream', 'waiting',
    )  # fmt: skip

    def __init__(self, dest: str, key: str) -> None:
        self.dest, self.key, self.owner = dest, key, ''
        self.stream, self.number = token_bytes(16), 0
        self.flying: dict[bytes, Route] = {}
        self.waiting: deque[Route] = deque()
        self.link: Link | None = None
        self.avoid: Link | None = None
        self.pause: IDelayedCall | None = None
        self.attempts, self.since = 0, 0.0


class KeptFrames:
    """See the module's text.  `len` is how many are kept; `size`: their content, in bytes."""

    def __init__(
        self, links: Links, reactor: IReactorTime, gave_up: GaveUp, patience: float = 60.0, most: int = 10_000
    ) -> None:
        """patience: seconds for which what comes back is sent again; most: how many are kept."""
        self._links, self._reactor, self._gave_up = links, reactor, gave_up
        self._patience, self._most = patience, most
        self._backoff = Backoff(0.05, 2.0)
        self._lanes: dict[tuple[str, str], _Lane] = {}
        self._by_stream: dict[bytes, _Lane] = {}
        self._count = self.size = 0

    def __len__(self) -> int:
        return self._count

    def send(self, dest: str, key: str, stanza: Stanza, by_stanza: bool = False) -> None:
        """To whoever serves the name `dest`; `key`: the bare JID that it is for.  TooManyKept.

        by_stanza  the name's policy takes its key from the stanza (a transport's by its sender), not this one
        """
        if self._count >= self._most:
            raise TooManyKept(f'{self._count} stanzas are not confirmed')
        lane = self._lanes.get((dest, key)) or self._new_lane(dest, key)
        lane.number += 1
        uid = make_uid(lane.stream, lane.number)
        lane.waiting.append(Route(dest, None if by_stanza else key, self._links.node, 0, uid, HOPS, 0, stanza))
        self._count += 1
        self.size += len(stanza.inner)
        self._push(lane)

    def _new_lane(self, dest: str, key: str) -> _Lane:
        if len(self._lanes) >= MOST_LANES:
            for name, lane in list(self._lanes.items()):
                if not lane.flying and not lane.waiting:
                    del self._lanes[name], self._by_stream[lane.stream]
        lane = self._lanes[dest, key] = _Lane(dest, key)
        self._by_stream[lane.stream] = lane
        return lane

    def _push(self, lane: _Lane) -> None:
        """Send what may be sent."""
        while lane.waiting and lane.pause is None:
            if not lane.flying:
                lane.link = self._links.pick(lane.key)
            elif uid_number(lane.waiting[0].uid) - uid_number(next(iter(lane.flying))) >= WIDTH:
                return
            if lane.link is None or not lane.link.up:
                return
            frame = lane.waiting.popleft()
            if lane.owner:
                frame = frame._replace(dest=lane.owner)
            lane.flying[frame.uid] = frame
            lane.link.route(frame)

    def _again(self, lane: _Lane) -> None:
        """Send all that is not confirmed, by the way there is now."""
        lane.pause = None
        avoid, lane.avoid = lane.avoid, None
        link = self._links.pick(lane.key, avoid)
        lane.link = link = link if link is not None else self._links.pick(lane.key)
        if link is None:
            return
        if lane.owner not in self._links.instances(lane.dest):
            lane.owner = ''
        dest = lane.owner or lane.dest
        for uid, frame in lane.flying.items():
            lane.flying[uid] = frame = frame._replace(dest=dest, flags=REPEAT)
            link.route(frame)
        self._push(lane)

    # ---- what becomes of them

    def confirmed(self, uid: bytes) -> None:
        """It has arrived."""
        lane = self._by_stream.get(uid[:16])
        frame = lane.flying.pop(uid, None) if lane is not None else None
        if lane is not None and frame is not None:
            self._count -= 1
            self.size -= len(frame.payload.inner)  # type: ignore[union-attr]
            lane.attempts, lane.since = 0, 0.0
            self._push(lane)

    def bounced(self, bounce: Bounce, link: Link) -> None:
        """It could not be handed on."""
        lane = self._by_stream.get(bounce.uid[:16])
        if lane is None or bounce.uid not in lane.flying or lane.link is not link:
            return
        if bounce.reason == DENIED:
            frame = lane.flying.pop(bounce.uid)
            self._count -= 1
            assert isinstance(frame.payload, Stanza)
            self.size -= len(frame.payload.inner)
            self._gave_up(frame.payload, bounce.detail)
            self._push(lane)
            return
        if lane.pause is not None:
            return
        now = self._reactor.seconds()
        if bounce.detail in (OVER, ABSENT) or (lane.since and now - lane.since > self._patience):
            self._give_up(lane, 'recipient-unavailable' if bounce.detail == ABSENT else bounce.reason)
            return
        lane.since = lane.since or now
        lane.owner = bounce.detail if bounce.reason == NOT_MINE else lane.owner if bounce.reason == BUSY else ''
        lane.avoid = link if bounce.reason == NO_LINK else None
        lane.pause = self._reactor.callLater(self._backoff.delay(min(lane.attempts, 10)), self._again, lane)
        lane.attempts += 1

    def _give_up(self, lane: _Lane, reason: str) -> None:
        frames = [*lane.flying.values(), *lane.waiting]
        lane.flying.clear()
        lane.waiting.clear()
        lane.attempts, lane.since = 0, 0.0
        self._count -= len(frames)
        for frame in frames:
            assert isinstance(frame.payload, Stanza)
            self.size -= len(frame.payload.inner)
            self._gave_up(frame.payload, reason)

    # ---- links and names

    def link_came(self) -> None:
        """What had no way has one."""
        for lane in self._lanes.values():
            if lane.pause is None and (lane.link is None or not lane.link.up):
                self._again(lane)

    def link_lost(self, link: Link) -> None:
        """What went over it may or may not have arrived."""
        self._all_again(lambda lane: lane.link is link)

    def path_lost(self, link: Link, dest: str) -> None:
        """A router can't reach an instance of a name any more that others reach."""
        self._all_again(lambda lane: lane.link is link and may_have_gone(self._links, lane.dest, dest))

    def name_lost(self, name: str) -> None:
        """An instance is gone: it may be the one that took what is not confirmed."""
        self._all_again(lambda lane: may_have_gone(self._links, lane.dest, name))

    def name_came(self, name: str) -> None:
        """Somebody serves it again."""
        for lane in self._lanes.values():
            if lane.pause is not None and may_have_gone(self._links, lane.dest, name):
                lane.pause.cancel()
                self._again(lane)

    def _all_again(self, concerned: Callable[[_Lane], bool]) -> None:
        for lane in self._lanes.values():
            if lane.pause is None and lane.flying and concerned(lane):
                self._again(lane)

    def stop(self) -> None:
        """No more calls."""
        for lane in self._lanes.values():
            if lane.pause is not None:
                lane.pause.cancel()
                lane.pause = None
