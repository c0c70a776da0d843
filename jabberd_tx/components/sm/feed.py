"""The feed of sessions and presence for components such as a clustering one (link/events.py, docs/session-feed.md).

Nodes that [sm] cluster names may watch.  A watcher that does not take in what it is told is told no more: it has to
watch again, and begins with all sessions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from jabberd_tx.link import events
from jabberd_tx.link.frames import Route
from jabberd_tx.storage.sessions.interface import Session
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.sm.service import SessionManager

# Events that one watcher has not taken in, beyond which it is told no more; and while it is first told of all sessions.
MOST_PENDING = 10_000
MOST_AT_FIRST = 500
# Nodes that may watch at a time.
MOST_WATCHERS = 16
# How often is looked whether a watcher has taken in what it was told at first.
LOOK = 0.05


class _Watcher:
    """pending: events that it has not confirmed; ended: it is told no more."""

    __slots__ = ('ended', 'node', 'pending')

    def __init__(self, node: str) -> None:
        self.node, self.pending, self.ended = node, 0, False


class Feed:
    """active: whether anybody watches, which is all that others ask."""

    log = Logger()

    def __init__(self, sm: SessionManager) -> None:
        self._sm, self._node = sm, sm.links.node
        self._watchers: dict[str, _Watcher] = {}
        self.active = False

    def __len__(self) -> int:
        return len(self._watchers)

    def take(self, frame: Route, stanza: Stanza) -> None:
        """What somebody says about watching."""
        node, kind = frame.source, stanza.attrs.get('type')
        if kind == events.UNWATCH:
            self.forget(node)
        elif kind != events.WATCH:
            self.log.warn('{node} says {kind} about watching', node=node, kind=kind)
        elif not self._sm.elsewhere.is_cluster(node):
            self.log.warn('{node} may not watch sessions: [sm] cluster does not name it', node=node)
            self._tell(_Watcher(node), events.over(self._node, 'not-allowed'))
        elif node not in self._watchers and len(self._watchers) >= MOST_WATCHERS:
            self._tell(_Watcher(node), events.over(self._node, 'resource-constraint'))
        else:
            self.forget(node)
            watcher = self._watchers[node] = _Watcher(node)
            self.active = True
            self._sm.spawn(self._introduce(watcher))

    def forget(self, node: str) -> None:
        """The node is gone, or wants to hear no more."""
        watcher = self._watchers.pop(node, None)
        if watcher is not None:
            watcher.ended = True
        self.active = bool(self._watchers)

    # ---- what happens

    def session(self, session: Session) -> None:
        """It has begun, or has moved."""
        self._tell_all(self._about(session))

    def presence(self, session: Session, stanza: Stanza | None) -> None:
        """Its client has said so; None: that it is unavailable."""
        self._tell_all(events.presence(self._node, session.jid, stanza))

    def ended(self, session: Session) -> None:
        """It is over."""
        self._tell_all(events.ended(self._node, session.jid, session.stream))

    # ---- telling

    async def _introduce(self, watcher: _Watcher) -> None:
        """All sessions that there are, as they are when they are told."""
        sm = self._sm
        for listed in await sm.lifecycle.all_sessions():
            while watcher.pending >= MOST_AT_FIRST and not watcher.ended:
                await sm.sleep(LOOK)
            if watcher.ended:
                return
            for session in await sm.sessions.fetch(listed.bare):
                if session.stream == listed.stream:
                    self._tell(watcher, self._about(session))
        if not watcher.ended:
            self._tell(watcher, events.whole(self._node))

    def _about(self, session: Session) -> Stanza:
        return events.session(
            self._node, session.jid, session.node, session.stream, session.epoch, session.presence
        )  # fmt: skip

    def _tell_all(self, stanza: Stanza) -> None:
        for watcher in list(self._watchers.values()):
            if watcher.pending >= MOST_PENDING:
                self.log.warn('{node} takes in too little of what it watches', node=watcher.node)
                self.forget(watcher.node)
                self._tell(watcher, events.over(self._node, 'resource-constraint'))
            else:
                self._tell(watcher, stanza)

    def _tell(self, watcher: _Watcher, stanza: Stanza) -> None:
        watcher.pending += 1

        def arrived() -> None:
            watcher.pending -= 1

        def failed(reason: str) -> None:
            if self._watchers.get(watcher.node) is watcher:
                self.forget(watcher.node)

        # By one link at a time, so that events stay in order.
        self._sm.posts.to_stream(watcher.node, watcher.node, None, 0, stanza, arrived=arrived, failed=failed)
