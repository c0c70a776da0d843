"""Messages, from when they are taken until they are settled (docs/delivery.md).

Theory of operation.  Each message is an Item, in `kept` by its uid and in its Lane.  On the stanza path `take` finds
the one session that it is for, sends it there and is done; its confirmation settles it (settling.py).  Everything else
goes through `advance`, which sees to one lane: item after item it asks `_place`, which sends the item, settles it, or
says that it has to wait: for those before it, for a link, for the session store, a module, or the end of an offline
flush (gates.py).  Whatever ends such a wait calls `advance` again.  What bounces and lost links do to items is in
bounces.py, what takes time to decide in deciding.py, how items are sent in sending.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from jabberd_tx.base.replay import ReplayWindow
from jabberd_tx.components.sm.deciding import Deciding
from jabberd_tx.components.sm.gates import Gates
from jabberd_tx.components.sm.hooks import ELSEWHERE
from jabberd_tx.components.sm.lanes import Item, Lane, Target
from jabberd_tx.components.sm.messages import DELIVER, DROP, STORE, choose
from jabberd_tx.components.sm.sending import HOPS, Sending
from jabberd_tx.components.sm.settling import SAMPLE, Settling
from jabberd_tx.link.frames import CLIENT, REPEAT, RETURNED, Route, confirmation, mark_of
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.jid import Jid
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.sm.service import SessionManager
    from jabberd_tx.link.interfaces import Link
    from jabberd_tx.storage.sessions.interface import Session

# Types whose message to a bare JID goes to the only session that there is, if it takes messages.
TO_THE_ONLY_ONE = frozenset((None, 'normal', 'chat', 'headline'))


class Delivery:
    """See the module's text."""

    def __init__(self, sm: SessionManager) -> None:
        self._sm = sm
        self._links, self._paths = sm.links, sm.paths
        self._options, self._counts = sm.options, sm.measures.messages
        self._domains = sm.domains
        self._peek = sm.sessions.peek
        self._node = sm.links.node
        self._confirm = sm.links.confirm
        self._seconds = sm.reactor.seconds
        chains = sm.hooks.chains
        self._hooked = (chains['message_sent'], chains['message_to'], chains['message_placed'])
        self._concerns, self._placed_hooks = chains['message_concerns'], chains['message_placed']
        self._all_hooks, self._taker_hooks = sm.hooks.unconcerned, chains['message_takers']
        self.settled = ReplayWindow(sm.options.replay_streams)
        self.kept: dict[bytes, Item] = {}
        self.lanes: dict[tuple[bytes, str], Lane] = {}
        self.stranded: dict[Lane, None] = {}
        self.tick = 0
        self.gates = Gates(sm, self)
        self._closed = self.gates.closed
        self.deciding, self.sending = Deciding(sm, self), Sending(sm, self)
        self.settling = Settling(sm, self)
        self.settle, self.refuse = self.settling.settle, self.settling.refuse
        self._began = self.settling.began

    # ---- in

    def take(self, frame: Route, via: Link, stanza: Stanza, to: Jid, owner: str) -> None:
        """A message that was never here.

        to     its recipient: a user of ours, or anybody at another domain
        owner  the bare JID whose frames choose the link: the sender, or for one from outside its recipient
        """
        uid = frame.uid
        key = (uid[:16], to.bare)
        lane = self.lanes.get(key)
        if lane is None:
            lane = self.lanes[key] = Lane(key, owner)
        item = Item(frame, via, stanza, to, lane, self.tick)
        self.kept[uid] = lane.items[uid] = item
        if not (uid[15] + uid[23]) % SAMPLE:
            self._began[uid] = self._seconds()
        if lane.held or frame.flags != CLIENT or self._all_hooks or to.bare in self._closed:
            self._take_slowly(item)
            return
        sessions = self._peek(to.bare)
        if self._concerns and self._is_of_concern(stanza, owner, to, sessions):
            self._take_slowly(item)
            return
        session = self._only_session(stanza, to, sessions)
        if session is not None:
            items = lane.items
            if len(items) == 1:
                if lane.epoch != self._paths.epoch:
                    lane.link, lane.epoch = self._paths.choose(owner), self._paths.epoch
            elif lane.target != session.stream or lane.node != session.node:
                session = None
            link = lane.link
            if session is not None and link is not None and link.up:
                item.link = link
                item.target = lane.target = session.stream
                node = lane.node = session.node
                item.frame = out = Route(
                    node, session.stream, self._node, session.epoch, uid, HOPS, 0, stanza
                )  # fmt: skip
                link.route(out)
                return
        self.advance(lane)

    def _is_of_concern(self, stanza: Stanza, owner: str, to: Jid, sessions: Sequence[Session] | None) -> bool:
        """Whether a module wants to see it.  `sessions`: the recipient's."""
        own = self._peek(owner)
        if not sessions and to.domain not in self._domains:
            sessions = ELSEWHERE
        try:
            for concerns in self._concerns:
                if concerns(stanza, own, sessions):
                    return True
        except Exception:
            self._sm.hooks.failed('message_concerns', concerns)
            return True
        return False

    @staticmethod
    def _only_session(stanza: Stanza, to: Jid, sessions: Sequence[Session] | None) -> Session | None:
        """The one session that gets it, where that is easily told."""
        if sessions:
            if to.resource:
                full = to.full
                for session in sessions:
                    if session.jid == full:
                        return None if session.behind else session
            elif len(sessions) == 1 and stanza.attrs.get('type') in TO_THE_ONLY_ONE:
                session = sessions[0]
                if session.priority is not None and session.priority >= 0 and not session.behind:
                    return session
        return None

    def _take_slowly(self, item: Item) -> None:
        flags, lane = item.arrived.flags, item.lane
        if flags & REPEAT:
            item.troubled().repeat = True
        if flags & RETURNED or any(self._hooked):
            item.troubled().ready = False
        if flags & RETURNED:
            # It may be older than what waits; uids of one stream sort by number.
            lane.items = dict(sorted(lane.items.items()))
            self.advance(lane)
        elif not lane.held:
            self.advance(lane)

    def again(self, frame: Route, via: Link) -> bool:
        """Whether a frame that was sent before has been here; if so, it is seen to."""
        uid, flags = frame.uid, frame.flags
        item = self.kept.get(uid)
        if not flags & RETURNED and self.settled.seen(uid):
            self._confirm(frame.source, uid, via)
            return True
        if item is None:
            return False
        if flags & RETURNED or item.arrived.flags & RETURNED or item.arrived.source != frame.source:
            item.troubled().also.append((frame.source, confirmation(frame), via))
        else:
            item.via = via  # the way that it came before is gone
        if flags & RETURNED:
            # Others may have been given it back as well, and have sent it on.
            trouble = item.troubled()
            trouble.repeat = trouble.returned = True
            self._came_back(item, frame)
        return True

    def _came_back(self, item: Item, returned: Route) -> None:
        """It is given back before we heard that it was passed on; when we do, that is no news of its arrival."""
        trouble, node, out = item.troubled(), returned.source, item.frame
        if out is not None and out.dest == node and isinstance(out.key, bytes) and mark_of(out.key) == returned.epoch:
            trouble.tried.add((out.key, node))
            trouble.stale.add(node)
            item.target = item.frame = None
            self.advance(item.lane)
        elif node in trouble.parts:
            streams = trouble.parts[node].streams
            trouble.tried.update([(stream, node) for stream in streams if mark_of(stream) == returned.epoch])

    # ---- a lane

    def advance(self, lane: Lane) -> None:
        """Send what may be sent."""
        if lane.running:
            lane.again = True
            return
        lane.running = True
        try:
            while True:
                lane.again = False
                self._run(lane)
                if not lane.again:
                    break
        finally:
            lane.running = False

    def _run(self, lane: Lane) -> None:
        lane.held = bool(lane.items)
        if lane.pause is not None:
            return
        way: Target | None = None
        mixed = False
        for item in list(lane.items.values()):
            target = item.target
            if target is None:
                if not self._place(item, way, mixed):
                    return
                target = item.target
                if target is None:
                    continue  # settled
            node = item.frame.dest if item.frame is not None else ''
            if way is None:
                way, lane.node = target, node
            elif way != target or lane.node != node:
                mixed = True
        lane.held = mixed

    def _place(self, item: Item, way: Target | None, mixed: bool) -> bool:
        """Send the item, or settle it; False: it waits.

        way    where those before it are on their way to; None: there are none
        mixed  they are on more than one way
        """
        trouble = item.trouble
        if trouble is not None and (trouble.deciding or not (trouble.ready or self.deciding.ask_hooks(item))):
            return False
        if item.uid not in self.kept:
            return True  # settled meanwhile
        if item.to.domain not in self._domains or (trouble is not None and trouble.elsewhere):
            done = self.sending.outside(item, way, mixed)
            if item.target is not None:
                self._placed(item, ())
            return done
        if self.gates.hold(item):
            return False
        sessions: Sequence[Session] | None = self._peek(item.to.bare)
        if trouble is not None:
            if trouble.sessions is not None:
                sessions, trouble.sessions = trouble.sessions, None
            if trouble.tried and sessions:
                sessions = [one for one in sessions if (one.stream, one.node) not in trouble.tried]
        if sessions is None:
            if way is None:
                self.deciding.ask_sessions(item)
            return False
        if not sessions and self._is_to_be_looked_up(item):
            if way is None:
                self.deciding.ask_account(item)
            return False
        everybody = self._options.bare_jid == 'all'
        action, takers = choose(item.stanza.attrs.get('type'), item.to.resource and item.to.full, sessions, everybody)
        if action is DELIVER and self._taker_hooks and not item.to.resource:
            left = self._left_by_modules(item, takers)
            if not left:
                return True  # refused
            takers = left
        if action is DELIVER:
            if self.gates.hold_for(item, takers):
                return False
            sent = self.sending.to_sessions(item, takers, way, mixed)
            if sent:
                self._placed(item, takers)
            return sent
        if way is not None:
            return False
        if trouble is not None and trouble.reached:
            self.settle(item)
        elif action is DROP:
            self._counts.dropped += 1
            self.settle(item)
        elif action is STORE:
            self._placed(item, ())
            self.deciding.ask_storage(item)
            return False
        else:
            self.refuse(item, 'service-unavailable')
        return True

    def _is_to_be_looked_up(self, item: Item) -> bool:
        """Whether it may be for somebody who is known elsewhere, and nobody has asked yet."""
        if item.trouble is not None and item.trouble.elsewhere is not None:
            return False
        return self._sm.elsewhere.may_be(item.arrived, item.to)

    def _left_by_modules(self, item: Item, takers: Sequence[Session]) -> Sequence[Session]:
        """Those that modules let have a message to the bare JID; none: it is refused."""
        try:
            answer, _ = self._sm.hooks.ask_now('message_takers', item, takers)
        except StanzaError as error:
            self.refuse(item, error.condition, error.text, error.type, error.application)
            return ()
        return takers if answer is None else answer

    def _placed(self, item: Item, takers: Sequence[Session]) -> None:
        """Tell modules that have seen it, the first time that it goes somewhere."""
        trouble = item.trouble
        if self._placed_hooks and trouble is not None and trouble.asked:
            trouble.asked, trouble.placed = False, True
            self._sm.hooks.tell('message_placed', item, takers)

    # ---- alone

    def forget_all(self) -> None:
        """No link is left: others may see us gone, and whoever sent us something repeats it elsewhere or here.

        So it is not ours any more; else it might come to a client when others are through with what came long after.
        What is being decided stays: it may be stored by now.
        """
        lanes: dict[Lane, None] = {}
        for uid, item in list(self.kept.items()):
            if item.trouble is None or not item.trouble.deciding:
                del self.kept[uid], item.lane.items[uid]
                self._began.pop(uid, None)
                lanes[item.lane] = None
        self.stranded.clear()
        for lane in lanes:
            self.advance(lane)

    # ---- now and then

    def in_flight(self) -> Iterator[tuple[str, Link]]:
        """(owner, link) of what is on its way."""
        for item in self.kept.values():
            if item.target is not None and item.link is not None:
                yield item.lane.owner, item.link

    def sweep(self) -> None:
        """Called once a second: what has been here since the last time is not forgotten; idle lanes are."""
        late: dict[str, list[bytes]] = {}
        tick = self.tick
        for uid, item in self.kept.items():
            if item.tick >= tick:
                break  # they are in the order in which they came
            late.setdefault(item.arrived.source, []).append(uid)
        for node, uids in late.items():
            self._links.working(node, uids)
        lanes = self.lanes
        for key in [key for key, lane in lanes.items() if not lane.items and lane.pause is None]:
            del lanes[key]
        self.tick = tick + 1
