"""The session manager's own frames: answers, pushes, presence, IQs on their way.

Their uids are those of its own stream: its incarnation, and a count.  Like all that is sent they are kept until they
are confirmed, and sent again when their way is known to be lost; unlike messages they go to one place or nowhere: a
session that is gone needs no presence.  Whoever posts may want to know that nothing came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from jabberd_tx.base.backoff import Backoff
from jabberd_tx.components.sm.sending import HOPS
from jabberd_tx.link.frames import ABSENT, BUSY, DENIED, MOVED, NO_LINK, NOT_MINE, REPEAT, Bounce, Fanout, Route
from jabberd_tx.link.frames import HOPS as OVER
from jabberd_tx.link.interfaces import may_have_gone
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.sm.paths import Paths
    from jabberd_tx.link.interfaces import Link, Links
    from jabberd_tx.storage.sessions.interface import Session

# Targets of one fan-out frame: it stays far below the limit of a frame.
MOST_TARGETS = 1000
# What is kept in all; beyond, nothing more is posted: it is as if its sessions were gone.
MOST_KEPT = 200_000

# Told that nothing came of a post, with the reason of the last bounce (of `denied`, and where a slot is absent: the
# condition of the stanza error); and that it arrived.
Failed = Callable[[str], None]
Arrived = Callable[[], None]


class Post:
    """A frame that is not confirmed.

    owner    the bare JID that chooses the link
    link     the way it took; None: it waits for one
    busy_at  when it was first refused for lack of credit; 0: never
    name     the name that it goes to, '' when to a node; its frame goes straight to an instance where another one has
             told that that has what it is for
    """

    __slots__ = ('arrived', 'busy_at', 'failed', 'frame', 'link', 'name', 'owner')

    def __init__(self, owner: str, frame: Route | Fanout, failed: Failed | None, arrived: Arrived | None) -> None:
        self.owner, self.frame, self.failed, self.arrived = owner, frame, failed, arrived
        self.link: Link | None = None
        self.busy_at = 0.0
        self.name = ''


class Posts:
    """See the module's text."""

    log = Logger()

    def __init__(self, links: Links, reactor: IReactorTime, busy_seconds: Callable[[], float]) -> None:
        """`busy_seconds`: how long a busy node is tried; asked each time, since it may change."""
        self._links, self._reactor, self._busy_seconds = links, reactor, busy_seconds
        self.paths: Paths
        self._node = links.node
        self._number = 0
        self._backoff = Backoff(0.05, 2.0)
        self.kept: dict[bytes, Post] = {}
        self._paused: dict[str, IDelayedCall] = {}
        self._attempts: dict[str, int] = {}  # pauses of a destination since something arrived there

    def __len__(self) -> int:
        return len(self.kept)

    # ---- sending

    def new_uid(self) -> bytes:
        """The next one of our own stream."""
        self._number += 1
        return self._links.incarnation + self._number.to_bytes(8, 'big')

    def to_session(self, session: Session, stanza: Stanza, owner: str = '', failed: Failed | None = None) -> None:
        """To one session; the frames of `owner` (its own bare JID by default) choose the way."""
        self.to_stream(owner or session.bare, session.node, session.stream, session.epoch, stanza, failed=failed)

    def to_stream(
        self,
        owner: str,
        node: str,
        stream: bytes | None,
        epoch: int,
        stanza: Stanza,
        *,
        uid: bytes | None = None,
        flags: int = 0,
        failed: Failed | None = None,
        arrived: Arrived | None = None,
    ) -> None:
        """To the stream of a session, whether it is known here or not; with the uid of what is passed on."""
        frame = Route(node, stream, self._node, epoch, uid or self.new_uid(), HOPS, flags, stanza)
        self._post(Post(owner, frame, failed, arrived))

    def to_name(
        self,
        owner: str,
        name: str,
        key: str | None,
        stanza: Stanza,
        *,
        uid: bytes | None = None,
        flags: int = 0,
        failed: Failed | None = None,
        hops: int = HOPS,
    ) -> None:
        """To whoever serves the name; `key` is the bare JID to hash, or None for the name's own policy."""
        frame = Route(name, key, self._node, 0, uid or self.new_uid(), hops, flags, stanza)
        post = Post(owner, frame, failed, None)
        post.name = name
        self._post(post)

    def fan_out(self, owner: str, sessions: Iterable[Session], stanza: Stanza, to: str | None = None) -> None:
        """One stanza (without `to`) to many sessions: a frame for each node.  `to`: for all; by default the full JID
        of each."""
        nodes: dict[str, list[tuple[bytes, str]]] = {}
        for session in sessions:
            node = session.node
            if node in nodes:
                nodes[node].append((session.stream, to or session.jid))
            else:
                nodes[node] = [(session.stream, to or session.jid)]
        for node, targets in nodes.items():
            for start in range(0, len(targets), MOST_TARGETS):
                some = targets[start : start + MOST_TARGETS] if len(targets) > MOST_TARGETS else targets
                self._post(Post(owner, Fanout(node, self._node, self.new_uid(), some, stanza), None, None))

    def _post(self, post: Post) -> None:
        if len(self.kept) >= MOST_KEPT:
            self.log.warn('too much is not confirmed: a stanza for {dest} is not sent', dest=post.frame.dest)
            self._fail(post, BUSY)
            return
        self.kept[post.frame.uid] = post
        self._send(post)

    def _send(self, post: Post) -> None:
        frame = post.frame
        if self._paused and frame.dest in self._paused:
            return
        link = post.link = self.paths.choose(post.owner)
        if link is None:
            return
        if isinstance(frame, Route):
            link.route(frame)
        else:
            link.fanout(frame)

    # ---- what becomes of them

    def confirmed(self, uid: bytes, failed: Sequence[bytes] = ()) -> bool:
        """Whether it was one of these.  Sessions of a fan-out that failed are gone: they need it no more."""
        post = self.kept.pop(uid, None)
        if post is None:
            return False
        if self._attempts:
            self._attempts.pop(post.frame.dest, None)
        if post.arrived is not None:
            post.arrived()
        return True

    def bounced(self, bounce: Bounce, link: Link) -> bool:
        """Whether it was one of these."""
        post = self.kept.get(bounce.uid)
        if post is None or post.frame.dest != bounce.to:
            return False
        if isinstance(post.frame, Route) and post.frame.key != bounce.key:
            return False
        if bounce.reason == MOVED and bounce.detail not in ('', bounce.to):
            self._redirect(post, bounce.detail)
            return True
        if bounce.reason == DENIED:
            self._drop(post, bounce.detail)
            return True
        if post.name and self._turn_to(post, bounce):
            return True
        there = self._links.reachable(post.name) if post.name else bool(self._links.instances(bounce.to))
        reachable = there and bounce.detail not in (OVER, ABSENT)
        if bounce.reason == BUSY or (bounce.reason in (NO_LINK, NOT_MINE) and reachable):
            self._try_later(post, bounce, link)
        else:
            self._drop(post, 'recipient-unavailable' if bounce.detail == ABSENT else bounce.reason)
        return True

    def _turn_to(self, post: Post, bounce: Bounce) -> bool:
        """Whether it went to another instance of its name, which has what it is for; else it is the name's again."""
        assert isinstance(post.frame, Route)
        if bounce.reason == NOT_MINE and bounce.detail in self._links.instances(post.name) and not post.busy_at:
            post.busy_at = self._reactor.seconds()
            self._redirect(post, bounce.detail)
            return True
        if post.frame.dest != post.name and bounce.reason != BUSY:
            post.frame = post.frame._replace(dest=post.name)
        return False

    def moved(self, stream: bytes, node: str) -> None:
        """A session has another c2s: what is on its way to the one before goes to that one, before anything newer."""
        for post in list(self.kept.values()):
            if isinstance(post.frame, Route) and post.frame.key == stream and post.frame.dest != node:
                self._redirect(post, node)

    def _redirect(self, post: Post, node: str) -> None:
        assert isinstance(post.frame, Route)
        post.frame = post.frame._replace(dest=node, flags=post.frame.flags | REPEAT)
        post.link = None
        self._send(post)

    def _try_later(self, post: Post, bounce: Bounce, link: Link) -> None:
        now = self._reactor.seconds()
        post.link = None
        if not post.busy_at:
            post.busy_at = now
        elif now - post.busy_at > self._busy_seconds():
            self._drop(post, bounce.reason)
            return
        # Another way at once; but when that is no way either, not this one again without a pause.
        if bounce.reason != BUSY and link is self.paths.choose(post.owner):
            other = self.paths.other(post.owner, link)
            if other is not None:
                post.link = other
                self._hand_over(post, other)
                return
        self._pause(post.frame.dest)

    @staticmethod
    def _hand_over(post: Post, link: Link) -> None:
        if isinstance(post.frame, Route):
            link.route(post.frame)
        else:
            link.fanout(post.frame)

    def _pause(self, dest: str) -> None:
        """Send nothing there for a while; what comes back or is posted meanwhile goes in order afterwards."""
        if dest not in self._paused:
            attempt = self._attempts.get(dest, 0)
            self._attempts[dest] = attempt + 1
            self._paused[dest] = self._reactor.callLater(self._backoff.delay(min(attempt, 10)), self._resume, dest)

    def _resume(self, dest: str) -> None:
        del self._paused[dest]
        for post in list(self.kept.values()):
            if post.link is None and post.frame.dest == dest:
                self._send(post)

    def _drop(self, post: Post, reason: str) -> None:
        del self.kept[post.frame.uid]
        self._fail(post, reason)

    @staticmethod
    def _fail(post: Post, reason: str) -> None:
        if post.failed is not None:
            post.failed(reason)

    # ---- links and nodes

    def in_flight(self) -> Iterator[tuple[str, Link]]:
        """(owner, link) of what is on its way."""
        for post in self.kept.values():
            if post.link is not None:
                yield post.owner, post.link

    def link_lost(self, link: Link) -> None:
        """All that went over it goes again, in order."""
        self._again(lambda post: post.link is link)

    def path_lost(self, link: Link, dest: str) -> None:
        """A router can't reach a node (or an instance of a name) any more that others reach."""
        self._again(lambda post: post.link is link and (post.frame.dest == dest or self._is_with(post, dest)))

    def link_came(self) -> None:
        """What waits for a link is sent."""
        for post in list(self.kept.values()):
            if post.link is None:
                self._send(post)

    def node_lost(self, node: str) -> None:
        """What went there is for nobody any more."""
        for post in [post for post in self.kept.values() if post.frame.dest == node]:
            if post.name:
                self._redirect(post, post.name)
            elif post.frame.uid in self.kept:
                self._drop(post, MOVED)

    def name_lost(self, name: str) -> None:
        """An instance of the name is gone: another one gets what is not confirmed."""
        if self._links.reachable(name):
            self._again(lambda post: self._is_with(post, name))
        else:
            for post in [post for post in self.kept.values() if self._is_with(post, name)]:
                self._drop(post, NO_LINK)

    def _is_with(self, post: Post, name: str) -> bool:
        """Whether it may be with an instance of the name."""
        return bool(post.name) and may_have_gone(self._links, post.name, name)

    def _again(self, concerned: Callable[[Post], bool]) -> None:
        for post in list(self.kept.values()):
            if concerned(post):
                if isinstance(post.frame, Route):
                    dest = post.frame.dest
                    if post.name and dest not in self._links.instances(post.name):
                        dest = post.name
                    post.frame = post.frame._replace(dest=dest, flags=post.frame.flags | REPEAT)
                post.link = None
                self._send(post)

    def stop(self) -> None:
        """No more calls."""
        for call in self._paused.values():
            call.cancel()
        self._paused.clear()
