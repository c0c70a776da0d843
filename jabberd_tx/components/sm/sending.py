"""How messages are sent: to one session, to several, or to a name that somebody else serves.

Each of these sends an item, or says that it must wait for those before it in its lane.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jabberd_tx.components.sm.lanes import Item, Lane, Part, Target
from jabberd_tx.link.frames import DEFAULT_ROUTE, OLDER, REPEAT, Fanout, Route

if TYPE_CHECKING:
    from jabberd_tx.components.sm.delivery import Delivery
    from jabberd_tx.components.sm.service import SessionManager
    from jabberd_tx.link.interfaces import Link
    from jabberd_tx.storage.sessions.interface import Session

# How many routers and clustering components a frame may pass.
HOPS = 8


class Sending:
    """See the module's text.  `way` and `mixed` are as in Delivery._place."""

    def __init__(self, sm: SessionManager, delivery: Delivery) -> None:
        self._delivery, self._links, self._paths = delivery, sm.links, sm.paths
        self._node = sm.links.node

    def outside(self, item: Item, way: Target | None, mixed: bool) -> bool:
        """To a name that is not ours, or the default route: whoever serves it, or nobody."""
        name, hops = item.to.domain, HOPS
        if item.trouble is not None and item.trouble.elsewhere:
            name, hops = DEFAULT_ROUTE, item.arrived.hops - 1
        if way is not None and (mixed or way != name):
            return False
        if not self._links.reachable(name):
            if way is not None:
                return False
            self._delivery.refuse(item, 'remote-server-not-found')
            return True
        link = self._way_out(item.lane, way)
        if link is None:
            return False
        dest, lane = name, item.lane
        if lane.instance:
            if lane.instance in self._links.instances(name):
                dest = lane.instance
            else:
                lane.instance = ''
        self._route(item, link, name, Route(dest, None, self._node, 0, item.uid, hops, self._flags(item), item.stanza))
        return True

    def to_sessions(self, item: Item, takers: Sequence[Session], way: Target | None, mixed: bool) -> bool:
        target: Target
        if len(takers) == 1:
            target, node = takers[0].stream, takers[0].node
        else:
            target, node = tuple([session.stream + session.node.encode() for session in takers]), ''
        if way is not None and (mixed or way != target or item.lane.node != node):
            return False
        link = self._way_out(item.lane, way)
        if link is None:
            return False
        if len(takers) == 1:
            to = takers[0]
            flags = self._flags_inside(item)
            frame = Route(to.node, to.stream, self._node, to.epoch, item.uid, HOPS, flags, item.stanza)
            self._route(item, link, target, frame)
        else:
            self._to_several(item, link, target, takers)
        return True

    def _route(self, item: Item, link: Link, target: Target, frame: Route) -> None:
        item.frame, item.link = frame, link
        item.target = item.lane.target = target
        item.lane.node = frame.dest
        link.route(frame)

    def ask_again(self, item: Item, node: str) -> None:
        """What that node has confirmed may have been an earlier copy: if another one is on its way there, it goes once
        more, to be confirmed or bounced, whatever has become of it."""
        link, trouble = item.link, item.troubled()
        if link is None or not link.up:
            return  # it goes again anyway
        if item.frame is not None and item.frame.dest == node:
            link.route(item.frame._replace(flags=item.frame.flags | REPEAT))
        elif node in trouble.parts:
            frame = trouble.parts[node].frame
            if isinstance(frame, Route):
                link.route(frame._replace(flags=REPEAT))
            else:
                link.fanout(frame)

    def _to_several(self, item: Item, link: Link, target: Target, takers: Sequence[Session]) -> None:
        """One frame a node: a confirm names the node and the message, not the session."""
        item.frame, item.link = None, link
        item.target = item.lane.target = target
        item.lane.node = ''
        nodes: dict[str, list[Session]] = {}
        for session in takers:
            nodes.setdefault(session.node, []).append(session)
        parts = item.troubled().parts
        for node, sessions in nodes.items():
            streams = frozenset([session.stream for session in sessions])
            if len(sessions) == 1:
                to = sessions[0]
                flags = self._flags_inside(item)
                route = Route(node, to.stream, self._node, to.epoch, item.uid, HOPS, flags, item.stanza)
                parts[node] = Part(route, streams)
                link.route(route)
            else:
                written = item.stanza.attrs.get('to', '')
                targets = [(session.stream, written) for session in sessions]
                fanout = Fanout(node, self._node, item.uid, targets, item.stanza.with_attrs(to=None))
                parts[node] = Part(fanout, streams)
                link.fanout(fanout)

    def _way_out(self, lane: Lane, way: Target | None) -> Link | None:
        """The lane's link; another one only if nothing is on its way.  Without one the lane is stranded."""
        link = lane.link
        if way is None and (link is None or not link.up or lane.epoch != self._paths.epoch):
            link = lane.link = self._paths.choose(lane.owner)
            lane.epoch = self._paths.epoch
        if link is None or not link.up:
            self._delivery.stranded[lane] = None
            return None
        return link

    @staticmethod
    def _flags(item: Item) -> int:
        return REPEAT if item.trouble is not None and item.trouble.repeat else 0

    @classmethod
    def _flags_inside(cls, item: Item) -> int:
        """To a session: also whether what a client before it was given comes to it (Outbox of its c2s)."""
        return cls._flags(item) | (OLDER if item.was_returned else 0)
