"""c2s, routers and sms together on one clock: whatever comes and goes, no message is lost, doubled or reordered.

Two users chat over stream-managed streams.  Links are cut and mended, routers and sms killed and started, c2s nodes
leave, clients vanish and come back, with their stream or with a new one.  At the end everything becomes quiet,
everybody is online, and the checker counts.

With several sms one link at a time is cut.  Were more missing, an sm could believe that a c2s is gone which another one
sees: what leases in the session store are for (docs/delivery.md).  One sm alone stands any number of cuts.
"""

from __future__ import annotations

import random
from collections.abc import Coroutine
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from jabberd_tx.components.c2s.service import C2S, ClientFactory
from jabberd_tx.components.c2s.status import count_unconfirmed
from jabberd_tx.components.sm.finding import sections
from jabberd_tx.components.sm.service import OPTIONS as SM_OPTIONS
from jabberd_tx.components.sm.service import SessionManager
from jabberd_tx.routing.options import OPTIONS as ROUTER_OPTIONS
from jabberd_tx.routing.router import Router
from jabberd_tx.storage import accounts
from jabberd_tx.storage.sessions.memory import MemorySessions
from jabberd_tx.testing import memory_transport
from jabberd_tx.testing.checker import Checker
from jabberd_tx.testing.client import Refused, XmppClient, run
from jabberd_tx.testing.network import Network
from jabberd_tx.testing.storage import ImmediateStorage
from jabberd_tx.xmpp.stanza import Stanza
from tests.components.c2s.c2s_support import CREDENTIALS, DOMAIN, PASSWORD, Site
from tests.components.several_routers import SeveralLinks

USERS = ('romeo', 'juliet')


class Cluster:
    """Routers r1 and r2, c2s-1 and c2s-2, sms; storage and session store are shared, as Redis and a database are."""

    def __init__(self, sms: int, confirm_delay: float) -> None:
        self.confirm_delay = confirm_delay
        self.network = Network()
        self.clock, self.turn = self.network.clock, self.network.turn
        self.routers: dict[str, Any] = {name: self.router(name) for name in ('r1', 'r2')}
        self.storage, self.sessions = ImmediateStorage(), MemorySessions(self.clock)
        for user in USERS:
            self.storage.run(accounts.put, f'{user}@{DOMAIN}', CREDENTIALS)
        self.sms: dict[str, tuple[SessionManager, SeveralLinks]] = {}
        self.c2ss: dict[str, tuple[C2S, SeveralLinks]] = {}
        self.leaving: list[SeveralLinks] = []  # of c2s that are about to end
        self.count = 0
        for _ in range(sms):
            self.add_sm()
        for _ in range(2):
            self.add_c2s()
        self.network.settle()

    def router(self, name: str) -> Router:
        return Router(name, self.clock, self.turn, ROUTER_OPTIONS.defaults(), self.network.metrics)

    def links(self, kind: str) -> SeveralLinks:
        self.count += 1
        return SeveralLinks(f'{kind}-{self.count}', self.routers, self.turn, self.confirm_delay)

    def add_sm(self) -> None:
        links = self.links('sm')
        values = {section.name: section.defaults() for section in sections()}
        sm = SessionManager(
            links, self.storage, self.sessions, [DOMAIN], SM_OPTIONS.defaults(), self.clock, self.turn,
            self.network.metrics, values,
        )  # fmt: skip
        links.start()
        sm.start()
        self.sms[links.node] = sm, links

    def add_c2s(self) -> None:
        links = self.links('c2s')
        c2s = C2S(
            links, self.storage, [DOMAIN], Site.values(ack_every_stanzas=10), self.clock, self.turn,
            self.network.metrics, None,
        )  # fmt: skip
        links.start()
        c2s.start()
        self.c2ss[links.node] = c2s, links

    def all_links(self) -> list[SeveralLinks]:
        return [links for _, links in (*self.sms.values(), *self.c2ss.values())] + self.leaving

    def kill_router(self, name: str) -> None:
        for links in self.all_links():
            links.cut(name)
        self.routers[name] = None

    def start_router(self, name: str) -> None:
        self.routers[name] = self.router(name)
        for links in self.all_links():
            links.mend(name)

    def kill_sm(self, name: str) -> None:
        sm, links = self.sms.pop(name)
        links.stop()
        sm._sweeping.stop()


class Person:
    """A user with one client that comes back when its stream has ended; what it sends and gets goes to the checker."""

    def __init__(self, trial: Trial, user: str, peer: str) -> None:
        self.trial, self.user, self.peer = trial, user, peer
        self.streams = 0
        self.sent = 0
        self.client: XmppClient | None = None

    @property
    def stream(self) -> str:
        return f'{self.user}-{self.streams}'

    def come(self) -> None:
        """Log in, if not online, where there is a c2s."""
        trial = self.trial
        if self.client is not None and not self.client.closed or not trial.cluster.c2ss:
            return
        self.note_acked()
        before, self.client = self.client, None
        if before is not None and before.resume_id and trial.random.random() < 0.8:
            self.resume(before)
            return
        client = self.connect()
        try:
            run(trial.cluster.network, client.login('x', 'PLAIN'))
            run(trial.cluster.network, client.enable_acks(resume=trial.random.random() < 0.8))
        except Exception:  # no sm, no link, a c2s that is leaving: another time
            client.drop()
            trial.cluster.network.settle()
            return
        self.client = client
        self.streams += 1
        self.sent = 0
        stream = self.stream
        client.on_stanza = lambda stanza: self.got(stream, stanza)
        client.send('<presence/>')
        trial.cluster.network.settle()

    def connect(self) -> XmppClient:
        c2s = self.trial.random.choice(list(self.trial.cluster.c2ss.values()))[0]
        client = XmppClient(f'{self.user}@{DOMAIN}', PASSWORD)
        memory_transport.connect(self.trial.cluster.clock, client, ClientFactory(c2s, False).buildProtocol(None))  # type: ignore[arg-type]
        return client

    def resume(self, before: XmppClient) -> None:
        """Go on with that stream, on any c2s; if that can't be, begin a new one the next time."""
        client, stream = self.connect(), self.stream
        client.on_stanza = lambda stanza: self.got(stream, stanza)
        try:
            self.trial.run_with_noise(client.login_to_resume(before))
        except Refused:
            client.drop()
            self.trial.cluster.network.settle()
            return
        except Exception:  # an sm, or a link, is missing
            client.drop()
            self.trial.cluster.network.settle()
            self.client = client
            return
        assert client.resumed is not None
        self.client = client
        self.trial.resumed += 1
        handled = client.acked = int(client.resumed.attrs['h'])
        if not handled:
            client.send('<presence/>')
        for number in range(max(handled, 1), self.sent + 1):
            self.send_message(number)
        client.ask()
        self.trial.cluster.network.settle()

    def got(self, stream: str, stanza: Stanza) -> None:
        if stanza.name == 'message':
            kind = stanza.attrs.get('type')
            sender, _, number = stanza.attrs['id'].partition('/')
            if kind == 'error':
                self.trial.checker.answered(sender, int(number))
            else:
                self.trial.checker.received(stream, sender, int(number))

    def send(self, count: int) -> None:
        if self.client is None or self.client.closed:
            return
        for _ in range(count):
            self.sent += 1
            self.send_message(self.sent)
        self.client.ask()

    def send_message(self, number: int) -> None:
        assert self.client is not None
        self.client.send(
            f"<message type='chat' to='{self.peer}@{DOMAIN}' id='{self.stream}/{number}'>"
            f'<body>{number}</body></message>'
        )

    def note_acked(self) -> None:
        """What the last stream was told to be accepted."""
        if self.client is not None and self.client.acked is not None:
            # The first stanza was presence.
            for number in range(1, self.client.acked):
                self.trial.checker.accepted(self.stream, number)


class Trial:
    """One run of random events."""

    def __init__(self, seed: int, sms: int) -> None:
        self.random = random.Random(seed)
        self.checker = Checker()
        self.cluster = Cluster(sms, self.random.choice((0.0, 0.01)))
        clock = self.cluster.clock
        clock.callFromThread = lambda call, *arguments: clock.callLater(0, call, *arguments)  # type: ignore[attr-defined]
        clock.getThreadPool = lambda: Trusting()  # type: ignore[attr-defined]
        self.people = [Person(self, 'romeo', 'juliet'), Person(self, 'juliet', 'romeo')]
        for person in self.people:
            person.come()
        self.leaving: list[Deferred[None]] = []
        self.resumed = 0
        self.noisy = sms == 1

    def do(self, what: str) -> None:
        cluster, rng = self.cluster, self.random
        down = [name for name, router in cluster.routers.items() if router is None]
        if what == 'send':
            rng.choice(self.people).send(rng.randrange(1, 15))
        elif what == 'turn':
            for _ in range(rng.randrange(1, 8)):
                cluster.network.turn_once()
        elif what == 'wait':
            cluster.network.advance(rng.random() * 2)
        elif what == 'cut':
            missing = any(not links.has(name) for links in cluster.all_links() for name in cluster.routers)
            if not missing or len(cluster.sms) == 1:
                rng.choice(cluster.all_links()).cut(rng.choice(('r1', 'r2')))
        elif what == 'mend':
            for links in cluster.all_links():
                for name in cluster.routers:
                    if name not in down:
                        links.mend(name)
        elif what == 'kill router' and not down:
            cluster.kill_router(rng.choice(('r1', 'r2')))
        elif what == 'start router' and down:
            cluster.start_router(down[0])
        elif what == 'kill sm' and len(cluster.sms) > 1:
            cluster.kill_sm(rng.choice(list(cluster.sms)))
        elif what == 'add sm' and len(cluster.sms) < 4:
            cluster.add_sm()
        elif what == 'drain sm' and len(cluster.sms) > 1:
            rng.choice(list(cluster.sms.values()))[1].drain()
        elif what == 'stop c2s' and len(cluster.c2ss) > 1:
            c2s, links = cluster.c2ss.pop(rng.choice(list(cluster.c2ss)))
            cluster.leaving.append(links)
            stopped = Deferred.fromCoroutine(c2s.stop())
            stopped.addCallback(lambda _: (links.stop(), cluster.leaving.remove(links)))
            self.leaving.append(stopped)
        elif what == 'add c2s' and len(cluster.c2ss) < 3:
            cluster.add_c2s()
        elif what == 'drop':
            client = rng.choice(self.people).client
            if client is not None and not client.closed:
                client.drop()
        elif what == 'stall':
            client = rng.choice(self.people).client
            if client is not None and not client.closed:
                client.transport.pauseProducing()  # type: ignore[union-attr]
                cluster.clock.callLater(rng.random() * 3, client.transport.resumeProducing)  # type: ignore[union-attr]
        elif what == 'come':
            for person in self.people:
                person.come()

    def run_with_noise(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Drive it to its end, while other things happen."""
        done = Deferred.fromCoroutine(coroutine)
        for _ in range(self.random.randrange(40)):
            self.cluster.network.turn_once()
            if self.noisy and self.random.random() < 0.1:
                self.do(self.random.choice(NOISE))

        async def wait() -> None:
            await done

        run(self.cluster.network, wait())

    def finish(self) -> None:
        """Let everything come to rest with everybody there; then count."""
        cluster = self.cluster
        self.noisy = False
        for name, router in list(cluster.routers.items()):
            if router is None:
                cluster.start_router(name)
        self.do('mend')
        if not cluster.c2ss:
            cluster.add_c2s()
        for _ in range(6):
            cluster.network.advance(10)
            self.do('come')
        for person in self.people:
            assert person.client is not None and not person.client.closed
            person.client.ask()
        cluster.network.advance(5)
        for person in self.people:
            person.note_acked()
            assert person.client is not None and person.client.acked == person.sent + 1, 'and everything is acked'
        for c2s, _ in cluster.c2ss.values():
            assert not count_unconfirmed(c2s) and not len(c2s.returned)
        report = self.checker.report()
        assert report.ok, str(report)


class Trusting:
    """A thread pool that takes any password at once: hashing is slow by design."""

    def callInThreadWithCallback(self, on_result: Any, call: Any, *arguments: Any) -> None:
        on_result(True, True)


WHAT = (
    'send', 'send', 'send', 'turn', 'turn', 'wait', 'cut', 'mend', 'mend', 'kill router', 'start router', 'kill sm',
    'add sm', 'drain sm', 'stop c2s', 'add c2s', 'drop', 'come', 'come', 'stall',
)  # fmt: skip


# What may happen in the middle of a resumption.
NOISE = ('send', 'send', 'cut', 'mend', 'drop', 'stop c2s', 'add c2s', 'stall')

ONE_SM = tuple(what for what in WHAT if not what.endswith(' sm'))


@settings(max_examples=20)
@given(st.integers(0, 1 << 30), st.lists(st.sampled_from(WHAT), max_size=30))
def test_with_several_sms_nothing_is_lost_doubled_or_reordered(seed: int, events: list[str]) -> None:
    trial = Trial(seed, 2)
    for what in events:
        trial.do(what)
    trial.finish()


@settings(max_examples=20)
@given(st.integers(0, 1 << 30), st.lists(st.sampled_from(ONE_SM), max_size=30))
def test_with_one_sm_nothing_is_lost_doubled_or_reordered(seed: int, events: list[str]) -> None:
    trial = Trial(seed, 1)
    for what in events:
        trial.do(what)
    trial.finish()
