"""What bounces, lost links and lost nodes do to messages.

no-session, moved   the next session that RFC 6121 §8.5 names, or storage; the session store is asked anew
no-link             another router, if the node is known to be there; otherwise as if its sessions were gone; but where
                    the router says that a slot is absent, or too many hops, the sender gets an error
not-mine            the instance that is named has it, of an exclusive name
denied              a filter rule of a router: the sender gets its error
busy                the lane pauses, longer each time; in the end the sender gets an error
a lost link         everything on it goes again, in order, marked as a repeat
the last link       all is forgotten: whoever sent it has not had it confirmed, and repeats it
a lost node         the same, but not to the sessions that it had
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from jabberd_tx.base.backoff import Backoff
from jabberd_tx.components.sm.lanes import Item, Lane
from jabberd_tx.link.frames import (
    ABSENT,
    BUSY,
    DEFAULT_ROUTE,
    DENIED,
    ENDING,
    HOPS,
    MOVED,
    NO_LINK,
    NO_SESSION,
    NOT_MINE,
    Bounce,
    Fanout,
)
from jabberd_tx.link.interfaces import may_have_gone
from jabberd_tx.xmpp.errors import condition_of

if TYPE_CHECKING:
    from jabberd_tx.components.sm.delivery import Delivery
    from jabberd_tx.components.sm.service import SessionManager
    from jabberd_tx.link.interfaces import Link


class Bounces:
    """See the module's text."""

    def __init__(self, sm: SessionManager, delivery: Delivery) -> None:
        self._sm, self._delivery = sm, delivery
        self._backoff = Backoff(0.05, 2.0)

    # ---- a bounce

    def bounced(self, frame: Bounce, link: Link) -> bool:
        """Whether the frame was a message's; if so, it is seen to."""
        item = self._delivery.kept.get(frame.uid)
        if item is None or item.target is None or not self._is_of(frame, item):
            return False
        trouble = item.troubled()
        if trouble.parts:
            part = trouble.parts.pop(frame.to)
            if frame.reason in (NO_SESSION, MOVED, DENIED) or not self._sm.links.instances(frame.to):
                trouble.tried.update([(stream, frame.to) for stream in part.streams])
            if trouble.parts:
                return True  # the others decide
            if trouble.reached:
                self._delivery.settle(item)
                self._delivery.advance(item.lane)
                return True
        item.target = item.frame = None
        self._sm.measures.bounces.total += 1
        if frame.reason == DENIED:
            self._delivery.refuse(item, condition_of(frame.detail, 'not-allowed'))
        elif frame.reason == MOVED:
            self._ask_again(item)
        elif frame.reason == NO_SESSION:
            self._rule_out(item, frame)
        elif frame.reason == NOT_MINE and frame.detail in self._sm.links.instances(item.to.domain):
            item.lane.instance = frame.detail
            self._try_later(item)
        elif frame.reason == BUSY or (frame.reason in (NO_LINK, NOT_MINE) and self._is_there(item, frame, link)):
            self._try_later(item)
        else:
            self._rule_out(item, frame)
        self._delivery.advance(item.lane)
        return True

    @staticmethod
    def _is_of(frame: Bounce, item: Item) -> bool:
        """Not of an earlier attempt that went elsewhere."""
        if item.frame is not None:
            return frame.to == item.frame.dest and frame.key == item.frame.key
        part = item.trouble.parts.get(frame.to) if item.trouble is not None else None
        return part is not None and (isinstance(part.frame, Fanout) or part.frame.key == frame.key)

    def _is_there(self, item: Item, frame: Bounce, link: Link) -> bool:
        """Whether the node (or the name) is to be had by another router; that is taken then."""
        links = self._sm.links
        there = links.reachable(frame.to) if frame.to == item.to.domain else bool(links.instances(frame.to))
        if frame.to == item.lane.instance:
            item.lane.instance, there = '', True  # to the name again
        if frame.detail in (HOPS, ABSENT) or not there:
            return False
        lane = item.lane
        if lane.link is link:
            other = self._sm.paths.other(lane.owner, link)
            if other is not None:
                lane.link, lane.epoch = other, self._sm.paths.epoch
        return True

    def _rule_out(self, item: Item, frame: Bounce) -> None:
        if isinstance(frame.key, bytes):
            item.troubled().tried.add((frame.key, frame.to))
            if frame.reason == NO_SESSION and frame.source == frame.to and frame.detail != ENDING:
                self._sm.spawn(self._sm.lifecycle.lost(frame.key, item.to.bare, frame.to))
        elif frame.reason == NO_LINK and frame.detail == HOPS:
            self._delivery.refuse(item, 'remote-server-timeout', 'too many hops')
        elif frame.reason == NO_LINK and frame.detail == ABSENT:
            self._delivery.refuse(item, 'recipient-unavailable')

    def _ask_again(self, item: Item) -> None:
        """The session lives elsewhere; what is known of it here is old."""
        trouble = item.troubled()
        if trouble.attempts:
            self._try_later(item)  # the store is behind as well
        else:
            trouble.attempts, trouble.since = 1, self._delivery.tick
            self._delivery.deciding.ask_sessions(item)

    # ---- busy

    def _try_later(self, item: Item) -> None:
        """Pause the lane.  Items behind this one come back as well, or wait."""
        trouble, lane, delivery = item.troubled(), item.lane, self._delivery
        if not trouble.attempts:
            trouble.since = delivery.tick
        trouble.attempts += 1
        if delivery.tick - trouble.since >= self._sm.options.busy_seconds:
            self._give_up(item)
        elif lane.pause is None:
            delay = self._backoff.delay(min(trouble.attempts - 1, 10))
            lane.pause = self._sm.reactor.callLater(delay, self._resume, lane)

    def _give_up(self, item: Item) -> None:
        self._delivery.refuse(item, 'resource-constraint', 'the recipient is too busy')

    def _resume(self, lane: Lane) -> None:
        lane.pause = None
        self._delivery.advance(lane)

    def stop(self) -> None:
        """No more calls."""
        for lane in self._delivery.lanes.values():
            if lane.pause is not None:
                lane.pause.cancel()
                lane.pause = None

    # ---- links and nodes

    def link_lost(self, link: Link) -> None:
        """What went over it may or may not have arrived."""
        if self._sm.links.pick(self._sm.links.node) is None:
            self._delivery.forget_all()
        self._send_again(lambda item: item.link is link)

    def link_came(self) -> None:
        """What had no way has one now."""
        stranded = list(self._delivery.stranded)
        self._delivery.stranded.clear()
        for lane in stranded:
            self._delivery.advance(lane)

    def node_lost(self, node: str) -> None:
        """Its sessions are gone with it."""

        def was_there(item: Item) -> bool:
            if item.frame is not None and item.frame.dest == node:
                if isinstance(item.frame.key, bytes):
                    item.troubled().tried.add((item.frame.key, node))
                return True
            trouble = item.trouble
            if trouble is None or node not in trouble.parts:
                return False
            part = trouble.parts.pop(node)
            trouble.tried.update([(stream, node) for stream in part.streams])
            return not trouble.parts

        self._send_again(was_there)

    def moved(self, stream: bytes, node: str) -> None:
        """A session has another c2s, which has all that the one before had: what is not confirmed goes there."""
        self._send_again(
            lambda item: item.frame is not None and item.frame.key == stream and item.frame.dest != node
        )

    def name_lost(self, name: str) -> None:
        """An instance of a name is gone: it may be the one that took what is not confirmed."""
        self._send_again(lambda item: item.target is not None and self._is_with(item, name))

    def _is_with(self, item: Item, name: str) -> bool:
        """Whether it went to a name, and may be with an instance of that one."""
        return isinstance(item.target, str) and may_have_gone(self._sm.links, item.target, name)

    def path_lost(self, link: Link, dest: str) -> None:
        """A router can't reach a node (or an instance of a name) any more that others reach."""

        def went_there(item: Item) -> bool:
            if item.link is not link:
                return False
            if item.frame is not None:
                return item.frame.dest == dest or (dest == DEFAULT_ROUTE and self._is_with(item, dest))
            return item.trouble is not None and dest in item.trouble.parts

        self._send_again(went_there)

    def _send_again(self, concerned: Callable[[Item], bool]) -> None:
        lanes: dict[Lane, None] = {}
        for item in self._delivery.kept.values():
            if item.target is None or not concerned(item):
                continue
            trouble = item.troubled()
            for node, part in trouble.parts.items():
                # Those who have it will drop the repeat; the rest of the parts is decided anew.
                trouble.tried.difference_update([(stream, node) for stream in part.streams])
            trouble.parts.clear()
            trouble.repeat = True
            item.target = item.frame = None
            lanes[item.lane] = None
        for lane in lanes:
            self._delivery.advance(lane)
