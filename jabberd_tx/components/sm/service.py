"""The session manager: any user's stanzas come here, and it decides where they go (docs/architecture.md).

It keeps no state of its own that another one could not make up again: who is online is in the session store, the rest
in storage.  This file wires the parts and says what links call; the parts say what they do.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from itertools import chain
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from jabberd_tx.base.metrics import Metrics
from jabberd_tx.base.turn import Turn
from jabberd_tx.components.sm.accounts import KnownAccounts
from jabberd_tx.components.sm.bounces import Bounces
from jabberd_tx.components.sm.delivery import Delivery
from jabberd_tx.components.sm.elsewhere import Elsewhere
from jabberd_tx.components.sm.feed import Feed
from jabberd_tx.components.sm.finding import ActiveModules
from jabberd_tx.components.sm.first_reads import FirstReads
from jabberd_tx.components.sm.handshake import Handshake
from jabberd_tx.components.sm.hooks import Hooks
from jabberd_tx.components.sm.inbound import Intake
from jabberd_tx.components.sm.iq import IqAnswers
from jabberd_tx.components.sm.left_behind import LeftBehind
from jabberd_tx.components.sm.lifecycle import Lifecycle
from jabberd_tx.components.sm.measures import Measures
from jabberd_tx.components.sm.module import Module
from jabberd_tx.components.sm.options import OPTIONS
from jabberd_tx.components.sm.paths import Paths
from jabberd_tx.components.sm.posts import Posts
from jabberd_tx.components.sm.presence import Presence
from jabberd_tx.components.sm.questions import Questions
from jabberd_tx.components.sm.records import Records
from jabberd_tx.components.sm.roster import RosterAnswers
from jabberd_tx.components.sm.rosters import Rosters
from jabberd_tx.components.sm.tally import Tallies
from jabberd_tx.link.frames import CLIENT, Bounce, Fanout, Route, Working
from jabberd_tx.link.interfaces import Link, Links
from jabberd_tx.storage import rosters
from jabberd_tx.storage.copies.interface import CopyStore
from jabberd_tx.storage.operations import Storage
from jabberd_tx.storage.sessions.interface import Session, SessionStore
from jabberd_tx.xmpp.errors import error_reply, may_reply
from jabberd_tx.xmpp.jid import parse
from jabberd_tx.xmpp.stanza import Stanza

__all__ = ['OPTIONS', 'SessionManager']

SWEEP = 1.0
# How often a stop looks whether everything is done.
LOOK = 0.02
# How long a c2s may take to say that it leaves as well.
NOTICE = 0.5


class SessionManager:
    """A Component (link/interfaces.py).  The public attributes are what modules work with:

    domains   what it serves
    sessions, storage, accounts, rosters   who is online, and what outlives a process
    first_reads   what is read at once when a user's session starts
    hooks, iqs, modules   who has a say, who answers what, and which modules are on
    metrics   where they may count what they like; what is counted of each anyway is in `tallies`
    posts     sends stanzas to sessions and names
    questions asks clients
    delivery  messages on their way
    feed, elsewhere  for a clustering component: who watches sessions, and users who may be at another site
    server_caps  the hash of what the server tells of a domain (XEP-0115), '' for none: a module's to set
    presence, handshake, roster, lifecycle   RFC 6121's parts
    """

    log = Logger()

    def __init__(
        self,
        links: Links,
        storage: Storage,
        sessions: SessionStore,
        domains: Sequence[str],
        options: Any,
        reactor: IReactorTime,
        turn: Turn,
        metrics: Metrics,
        module_options: Mapping[str, Any],
        more_modules: Sequence[type[Module]] = (),
        copies: CopyStore | None = None,
        lease: float = 2.0,
    ) -> None:
        """options: the values of OPTIONS; module_options: by section name ('modules.ping'), the section's values;
        more_modules: beside those that are installed; copies: where c2s nodes keep theirs, and their leases, which are
        renewed every `lease` seconds."""
        self.links, self.storage, self.sessions = links, storage, sessions
        self.domains = frozenset(domains)
        self.options, self.reactor, self.turn = options, reactor, turn
        self.measures = Measures(
            metrics,
            lambda: float(self.pending()),
            lambda: float(len(self.rosters)),
            lambda: float(len(self.intake)),
        )
        self.metrics, self.tallies = metrics, Tallies(metrics)
        self.hooks = Hooks(tallies=self.tallies)
        self.accounts = KnownAccounts(storage, reactor.seconds)
        self.rosters = Rosters(storage, reactor.seconds, lambda: int(options.roster_cache), self.is_alone)
        self.first_reads = FirstReads(storage, self.is_alone)
        self.first_reads.add(rosters.load, self.rosters.knows, self.rosters.learn)
        self.posts = Posts(links, reactor, lambda: float(options.busy_seconds))
        self.paths = self.posts.paths = Paths(links, self._in_flight)
        self.elsewhere, self.feed = Elsewhere(self), Feed(self)
        self.delivery = Delivery(self)
        self.bounces = Bounces(self, self.delivery)
        self.questions = Questions(self)
        self.iqs = IqAnswers(self)
        self.presence = Presence(self)
        self.handshake = Handshake(self)
        self.roster = RosterAnswers(self)
        self.lifecycle, self.records = Lifecycle(self), Records(self)
        self.left_behind = LeftBehind(self, copies, lease) if copies is not None else None
        self.intake = Intake(self)
        self.on_route = self.intake.on_route
        self.on_confirm = self.delivery.settling.confirmed
        self.server_caps: Callable[[str], str] = lambda domain: ''
        self.modules = ActiveModules(self, module_options, more_modules)
        self._work = 0
        self._stopping = False
        self._leaving: set[str] = set()
        self._sweeping = LoopingCall(self._sweep)
        self._sweeping.clock = reactor
        links.attach(self)

    # ---- life

    def start(self) -> None:
        """Take work: serve the domains."""
        self.modules.start()
        for domain in sorted(self.domains):
            self.links.bind(domain, 'to')
        if self.options.name:
            self.links.bind(self.options.name, 'to')
        self._sweeping.start(SWEEP, now=False)
        self.records.start()

    async def stop(self) -> None:
        """Take nothing new, finish what is in flight (for so long, at most), and be done."""
        self._stopping = True
        self.links.drain()
        await self._see_off()
        waited = 0.0
        while self.pending() and waited < self.options.stop_timeout:
            await self.sleep(LOOK)
            waited += LOOK
        if self.pending():
            self.log.warn('{count} stanzas were not confirmed in time', count=self.pending())
        if self._sweeping.running:
            self._sweeping.stop()
        self.records.stop()
        if self.left_behind is not None:
            self.left_behind.stop()
        self.questions.stop()
        self.bounces.stop()
        self.posts.stop()
        self.modules.stop()

    async def _see_off(self) -> None:
        """Without another sm, a c2s that leaves at the same time ends its sessions here or nowhere."""
        waited = 0.0
        while self.is_alone() and self.sessions.count():
            if waited >= (self.options.stop_timeout if self._leaving else NOTICE):
                break
            await self.sleep(LOOK)
            waited += LOOK

    def pending(self) -> int:
        """What is not settled or confirmed, or still being handled."""
        return len(self.delivery.kept) + len(self.posts) + len(self.intake) + self._work

    def status(self) -> dict[str, Any]:
        """For an operator."""
        return {
            'node': self.links.node,
            'domains': sorted(self.domains),
            'sessions': self.sessions.count(),
            'messages_pending': len(self.delivery.kept),
            'stanzas_pending': len(self.posts),
            'lanes': len(self.delivery.lanes),
            'lanes_held': sum([lane.held for lane in self.delivery.lanes.values()]),
            'streams_waiting': len(self.intake),
            'rosters': len(self.rosters),
            'modules': sorted(self.modules.by_name),
            'draining': self._stopping,
        }

    async def kick(self, bare: str, condition: str, text: str = '') -> int:
        """End all streams of a user with a stream error, and forget what is known of the account: it may be gone.
        Returns how many there were."""
        ended = await self.lifecycle.kick(bare, condition, text)
        self.accounts.forget(bare)
        self.rosters.forget(bare)
        self.hooks.tell('user_forgotten', bare)
        return ended

    # ---- what links call (on_route and on_confirm are the parts' own)

    def on_fanout(self, frame: Fanout, link: Link) -> None:
        """Nobody sends these to an sm: confirmed, so that nobody waits."""
        self.log.warn('{source} sent a fan-out to a session manager', source=frame.source)
        self.links.confirm(frame.source, frame.uid, link)

    def on_working(self, frame: Working) -> None:
        """What was sent is not forgotten; nothing here is repeated on silence anyway."""

    def on_bounce(self, frame: Bounce, link: Link) -> None:
        if not self.bounces.bounced(frame, link):
            self.posts.bounced(frame, link)

    def on_up(self, name: str, node: str, incarnation: bytes) -> None:
        if name in self.domains:
            self.rosters.forget_all()
            self.hooks.tell('peers_changed', name)
        if name == node:
            earlier = self.lifecycle.node_came(node, incarnation)
            if earlier is not None:
                self._node_lost(node, earlier)

    def on_down(self, name: str, node: str, incarnation: bytes) -> None:
        if name != node:
            self.bounces.name_lost(name)
            self.posts.name_lost(name)
        else:
            self._node_lost(node, incarnation)

    def on_path_lost(self, name: str, node: str, link: Link) -> None:
        dest = node if name == node else name
        self.bounces.path_lost(link, dest)
        self.posts.path_lost(link, dest)

    def _node_lost(self, node: str, incarnation: bytes) -> None:
        self._leaving.discard(node)
        self.feed.forget(node)
        self.bounces.node_lost(node)
        self.posts.node_lost(node)
        self.spawn(self.lifecycle.node_lost(node, incarnation))

    def on_drain(self, node: str) -> None:
        """It will tell of its sessions itself."""
        self._leaving.add(node)

    def on_link_up(self, link: Link) -> None:
        self.paths.changed()
        self.bounces.link_came()
        self.posts.link_came()

    def on_link_down(self, link: Link) -> None:
        self.paths.changed()
        self.bounces.link_lost(link)
        self.posts.link_lost(link)

    def congested(self) -> bool:
        return self.pending() > self.options.most_pending

    # ---- what the parts share

    def is_alone(self) -> bool:
        """Whether no other sm serves any of our domains."""
        node = self.links.node
        return all(set(self.links.instances(domain)) <= {node} for domain in self.domains)

    def _in_flight(self) -> chain[tuple[str, Link]]:
        return chain(self.delivery.in_flight(), self.posts.in_flight())

    def _sweep(self) -> None:
        late: dict[str, list[bytes]] = {}
        for frame in self.intake.waiting():
            late.setdefault(frame.source, []).append(frame.uid)
        for node, uids in late.items():
            self.links.working(node, uids)
        self.delivery.sweep()
        self.paths.sweep()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Let it go on by itself; a stop waits for it, a failure is logged."""
        self._work += 1
        Deferred.fromCoroutine(work).addErrback(self._work_failed).addBoth(self._work_done)

    def _work_failed(self, failure: Any) -> None:
        self.log.failure('work in the background failed', failure=failure)

    def _work_done(self, result: Any) -> None:
        self._work -= 1

    def sleep(self, seconds: float) -> Deferred[None]:
        """Fires then."""
        return deferLater(self.reactor, seconds, lambda: None)

    def with_sessions(self, bare: str, call: Callable[[Sequence[Session]], None]) -> None:
        """Call it with the user's sessions: now if they are known, otherwise when the store has answered."""
        sessions = self.sessions.peek(bare)
        if sessions is not None:
            call(sessions)
        else:
            self.spawn(self._fetch_and_call(bare, call))

    async def _fetch_and_call(self, bare: str, call: Callable[[Sequence[Session]], None]) -> None:
        call(await self.sessions.fetch(bare))

    @staticmethod
    def bare_of(jid: str) -> str:
        """Of a JID as written; InvalidJid."""
        return parse(jid).bare

    # ---- answering

    def reply(self, frame: Route, stanza: Stanza) -> None:
        """An answer to whoever sent the frame: to the very stream of a client, otherwise by its `to`."""
        if frame.flags & CLIENT:
            self.posts.to_stream(str(frame.key), frame.source, frame.uid[:16], frame.epoch, stanza)
        elif not self.elsewhere.took_answer(frame, stanza):
            self.send(stanza)

    def refuse(
        self,
        frame: Route,
        stanza: Stanza,
        condition: str,
        text: str = '',
        kind: str | None = None,
        application: bytes = b'',
    ) -> None:
        """An error as the answer, unless the stanza is one that gets none; arguments as those of StanzaError."""
        if may_reply(stanza) and 'from' in stanza.attrs:
            self.reply(frame, error_reply(stanza, condition, text, kind, application=application))

    def send(self, stanza: Stanza) -> None:
        """A stanza of the server's own, or a module's, to whom its `to` says.

        To a full JID of ours: that session or nobody.  A message to a bare JID goes to the user's sm, to be treated
        as any other; presence to all available clients.  To other domains: if somebody serves them.  InvalidJid.
        """
        to = parse(stanza.attrs['to'])
        if to.domain not in self.domains:
            if self.links.reachable(to.domain):
                self.posts.to_name(to.bare, to.domain, None, stanza)
        elif to.resource:
            self.with_sessions(to.bare, lambda sessions: self._send_to(sessions, to.full, stanza))
        elif stanza.name == 'message':
            self.posts.to_name(to.bare, to.domain, to.bare, stanza)
        elif stanza.name == 'presence':
            self.spawn(self.presence.deliver(to.bare, stanza, to))

    def _send_to(self, sessions: Sequence[Session], full: str, stanza: Stanza) -> None:
        for session in sessions:
            if session.jid == full:
                self.posts.to_session(session, stanza)
