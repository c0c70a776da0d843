"""Where sessions live: each is pinned to one sm node, and moves when that goes (docs/architecture.md).

Theory of operation.  A session that may send has a `link`; everything that takes the link away puts the session in
one of three places, and from each of them it comes back to `_settle`, which finds out what it needs now:

    queue     to be seen to at the end of the turn, at most SLICE of them a turn: the reactor is never held up
    waiting   of a busy node: until its backoff is over
    adrift    no link, or no sm: until one comes up, or the backoff of all of them is over

    what happened                                  what is done
    link lost                                      another link; all that is unconfirmed again, in order
    the last link lost                             as if all nodes were gone: they may have been told that we are
    the way to the node lost on one link           as if that link were
    pinned node gone, or does not know the session   epoch + 1, attach (start: asked again); once attached, all that is
                                                   unconfirmed, in order, then the IQs that wait for an answer
    pinned node drains                             the same, once nothing is unconfirmed
    pinned node busy                               its clients are held; later all that is unconfirmed, in order
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from jabberd_tx.base.backoff import Backoff
from jabberd_tx.components.c2s.denied import refuse
from jabberd_tx.components.c2s.repeats import repeat
from jabberd_tx.components.c2s.returned import HOPS
from jabberd_tx.components.c2s.session import ATTACHING, LIVE, STARTING, Session
from jabberd_tx.components.c2s.sm_node import NOWHERE, SmNode
from jabberd_tx.link import session as vocabulary
from jabberd_tx.link.frames import BUSY, CLIENT, DENIED, NO_LINK, REPEAT, Bounce, Route, uid_number

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.service import C2S
    from jabberd_tx.link.interfaces import Link

# Sessions that are seen to in one turn.
SLICE = 100
# An unanswered start or attach is sent again after so many seconds, though nothing says that it is lost.
ASK_AGAIN = 30
# A node that was not busy for so many seconds starts again with the shortest backoff.
FORGIVEN = 10


class Pins:
    """See the module's text."""

    log = Logger()

    def __init__(self, c2s: C2S) -> None:
        self._c2s = c2s
        self._links = c2s.links
        self.nodes: dict[str, SmNode] = {}
        self.adrift: dict[Session, None] = {}
        self._queue: deque[Session] = deque()
        self._pump_due = False
        self._backoff = Backoff(0.1, 5.0)
        self._attempts = 0
        self._retry: IDelayedCall | None = None

    # ---- what sessions ask for

    def start(self, session: Session) -> None:
        """Ask an sm for a new session."""
        self._ask(session)

    def send(self, session: Session, frame: Route) -> None:
        """A frame that the session could not just hand to its link; it is in `unconfirmed` already."""
        link = session.link
        if session.phase is not LIVE or link is None:
            return  # it goes with the others
        if session.pin.busy:
            self._wait_for(session.pin, session)
        elif len(session.unconfirmed) > 1:
            # Another link may overtake what is under way on this one.
            if link.up:
                link.route(frame)
            else:
                self.look_after(session)
        elif self._choose_link(session):
            session.link.route(frame)  # type: ignore[union-attr]

    def move(self, session: Session) -> None:
        """Nothing of the session is unconfirmed, and its node drains."""
        if session.phase is LIVE and session.link is not None:
            self._repin(session)

    def look_after(self, session: Session) -> None:
        """See to it at the end of the turn that the session can send, and that all it has sent arrives."""
        session.link = None
        if not session.queued:
            session.queued = True
            self._queue.append(session)
            if not self._pump_due:
                self._pump_due = True
                self._c2s.turn.later(self._pump)

    def look_at(self, session: Session) -> None:
        """Called now and then for each session: start or attach again if nobody has answered."""
        if (
            session.phase is not LIVE
            and not session.queued
            and session not in self.adrift
            and self._c2s.tick - session.since > ASK_AGAIN
        ):
            self.look_after(session)

    def forget(self, session: Session) -> None:
        """The session is no more."""
        self.adrift.pop(session, None)

    # ---- what sms answer

    def take_started(self, frame: Route, session: Session, link: Link) -> bool:
        """`started` or `attached`; False when it answers something older."""
        if session.phase is LIVE or frame.epoch != session.epoch:
            return False
        node = self.node(frame.source)
        # It takes sessions, whatever was said of it before.
        node.leaving = False
        session.pin = node
        session.asked_over = None
        session.phase = LIVE
        if session.conn is not None:
            self._attempts = 0
        self.adrift.pop(session, None)
        if self._choose_link(session):
            repeat(session)
        return True

    def bounced(self, frame: Bounce, session: Session, link: Link) -> None:
        """A frame of this session came back, by that link."""
        number = uid_number(frame.uid)
        if frame.epoch != session.epoch:
            return  # of an earlier pin, or an earlier question
        if session.phase is not LIVE:
            if number == 0 or session.conn is None:
                self._set_adrift(session)  # and then by another link, if there is one
            return
        if session.link is None or number not in session.unconfirmed:
            return
        if not frame.source and link is not session.link:
            return  # from a router that is not asked any more
        if frame.reason == DENIED:
            refuse(session, number, frame.detail)
        elif frame.reason == BUSY:
            self._wait_for(session.pin, session)
        elif frame.reason == NO_LINK and self._take_other_link(session):
            repeat(session)
        elif session.conn is None:
            # Nobody may want to take over a session that is over: ask slowly.
            session.phase = ATTACHING
            self._set_adrift(session)
        else:
            self._repin(session)

    # ---- what links say

    def node_up(self, name: str, incarnation: bytes) -> None:
        """A node is there; with another incarnation than before, all that was pinned to the earlier one is lost."""
        node = self.nodes.get(name)
        if node is None or node.incarnation == incarnation:
            return
        if not node.incarnation:
            node.incarnation = incarnation
            return
        del self.nodes[name]
        self._gone(node)

    def node_down(self, name: str, incarnation: bytes) -> None:
        """Every router says that the node is gone."""
        node = self.nodes.get(name)
        if node is not None and incarnation in (node.incarnation, b''):
            del self.nodes[name]
            self._gone(node)

    def node_drains(self, name: str) -> None:
        """The node is about to leave."""
        node = self.nodes.get(name)
        if node is None or node.leaving:
            return
        node.leaving = True
        for session in self._c2s.sessions.values():
            if session.pin is node and session.phase is LIVE and not session.unconfirmed and session.conn is not None:
                self._repin(session)

    def domain_lost(self, domain: str) -> None:
        """An instance of a domain's sm is gone: it may be the one that got a start or attach."""
        for session in self._c2s.sessions.values():
            if session.phase is not LIVE and session.domain == domain and session not in self.adrift:
                self.look_after(session)

    def link_lost(self, link: Link) -> None:
        """What was sent over it and is not confirmed may or may not have arrived."""
        for session in self._c2s.sessions.values():
            if session.link is link or (session.phase is not LIVE and session.asked_over is link):
                self.look_after(session)

    def path_lost(self, node: str, link: Link) -> None:
        """Others still reach the node, but what was under way to it on this link may not have arrived."""
        for session in self._c2s.sessions.values():
            if session.link is link and session.pin.node == node:
                self.look_after(session)

    def path_to_domain_lost(self, domain: str, link: Link) -> None:
        """The same for an instance of a domain's sm."""
        for session in self._c2s.sessions.values():
            if session.phase is not LIVE and session.asked_over is link and session.domain == domain:
                self.look_after(session)

    def attach_again(self, session: Session) -> None:
        """Its sm has ended it, while it could not be reached."""
        if session.phase is LIVE and session.conn is not None:
            if session.iqs is not None:
                session.iqs.give_up()
            self._repin(session)

    def cut_off(self) -> None:
        """No link is left: routers may say that we are gone, and sms may end our sessions and drop answers to them.

        All sessions are attached anew, and what was not answered is not waited for.
        """
        for session in self._c2s.sessions.values():
            if session.iqs is not None:
                session.iqs.give_up()
            if session.phase is LIVE:
                self._repin(session)
            else:
                self.look_after(session)

    def try_adrift(self) -> None:
        """A link or an sm has come up, or enough time has passed."""
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
        self._retry = None
        adrift, self.adrift = self.adrift, {}
        for session in adrift:
            self.look_after(session)

    def stop(self) -> None:
        """Do nothing more."""
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
        self._retry = None
        self._queue.clear()

    # ---- the work

    def _pump(self) -> None:
        queue = self._queue
        for _ in range(min(SLICE, len(queue))):
            session = queue.popleft()
            session.queued = False
            if session.stream in self._c2s.sessions:
                try:
                    self._settle(session)
                except Exception:
                    # The others go on, whatever is wrong with this one.
                    self.log.failure('a session could not be seen to', stream=session.stream)
        self._pump_due = bool(queue)
        if queue:
            self._c2s.reactor.callLater(0, self._pump)

    def _settle(self, session: Session) -> None:
        pin = session.pin
        if session.phase is not LIVE:
            session.epoch += 1
            self._ask(session)
        elif pin.gone:
            self._repin(session)
        elif pin.busy:
            self._wait_for(pin, session)
        elif self._choose_link(session):
            repeat(session)

    def _ask(self, session: Session) -> None:
        """Send start or attach; or, for one whose stream ended before it was started, just the end."""
        links, bare = self._links, session.bare
        link = session.asked_over = links.pick(bare, session.asked_over) or links.pick(bare)
        session.since = self._c2s.tick
        if link is None:
            self._set_adrift(session)
            return
        flags = CLIENT
        if session.phase is STARTING:
            if session.conn is None:
                for frame in session.unconfirmed.values():
                    link.route(frame._replace(epoch=session.epoch, flags=CLIENT | REPEAT))
                return
            payload = vocabulary.start(session.resource, session.carbons)
            flags |= REPEAT if session.epoch else 0
        else:
            payload = vocabulary.attach(session.jid, session.presence, session.kept)
        uid = session.stream + bytes(8)
        link.route(Route(session.domain, session.bare, self._c2s.node, session.epoch, uid, HOPS, flags, payload))

    def _choose_link(self, session: Session) -> bool:
        link = session.link = self._links.pick(session.bare)
        session.generation = self._links.generation
        if link is None:
            self._set_adrift(session)
        return link is not None

    def _take_other_link(self, session: Session) -> bool:
        """Whether there is another way to the pin, which was not tried yet."""
        link = self._links.pick(session.bare, session.link)
        if link is None or session.asked_over is not None or not self._links.instances(session.pin.node):
            return False
        session.asked_over, session.link = session.link, link
        return True

    def _repin(self, session: Session) -> None:
        session.phase = ATTACHING
        session.epoch += 1  # at once, so that no late answer to an earlier question is taken for one to this
        self.look_after(session)

    def _wait_for(self, pin: SmNode, session: Session) -> None:
        session.link = None
        session.hold()
        pin.waiting.append(session)
        if pin.busy:
            return
        tick = self._c2s.tick
        if tick - pin.calm_since > FORGIVEN:
            pin.bounces = 0
        pin.busy = True
        self._c2s.reactor.callLater(self._backoff.delay(pin.bounces), self._calm, pin)
        pin.bounces += 1

    def _calm(self, pin: SmNode) -> None:
        pin.busy = False
        pin.calm_since = self._c2s.tick
        waiting, pin.waiting = pin.waiting, []
        for session in waiting:
            self.look_after(session)

    def _set_adrift(self, session: Session) -> None:
        session.link = None
        self.adrift[session] = None
        if self._retry is None:
            self._retry = self._c2s.reactor.callLater(self._backoff.delay(self._attempts), self.try_adrift)
            self._attempts += 1

    def _gone(self, node: SmNode) -> None:
        node.gone = True
        self.log.info('{node} is gone', node=node.node)
        for session in self._c2s.sessions.values():
            if session.pin is node and session.phase is LIVE:
                self._repin(session)

    def node(self, name: str) -> SmNode:
        """An sm by its name; '' for none."""
        if not name:
            return NOWHERE
        node = self.nodes.get(name)
        if node is not None:
            return node
        incarnation = self._links.instances(name).get(name, b'')
        node = self.nodes[name] = SmNode(name, incarnation)
        return node
