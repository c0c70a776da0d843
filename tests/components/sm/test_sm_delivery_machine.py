"""Whatever bounces, is held up, lost, closed or cut: no message is lost, doubled or overtaken."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from jabberd_tx.base import turn
from jabberd_tx.link.frames import BUSY, uid_number
from jabberd_tx.storage import offline
from jabberd_tx.testing.checker import Checker
from jabberd_tx.xmpp.stanza import Stanza
from tests.components.sm.sm_support import DOMAIN, Client, ScriptedC2s, Site

RECIPIENTS = ('juliet', 'nurse')
PRIORITIES = (None, -1, 0, 1, 1)
USERS = st.sampled_from(('juliet', 'juliet', 'juliet', 'nurse'))
SMALL = st.integers(0, 5)
# How far things get before the next step: so many calls of components, or until nothing moves any more.
TURNS = st.one_of(st.none(), st.integers(0, 12))


class Watch(Site):
    """A site whose deliveries are told to the checker."""

    def __init__(self) -> None:
        self.checker = Checker()
        super().__init__(routers=2)

    def delivered(self, client: Client, uid: bytes, stanza: Stanza) -> None:
        super().delivered(client, uid, stanza)
        if stanza.name != 'message':
            return
        if stanza.attrs.get('type') == 'error':
            self.checker.answered(client.stream, int(stanza.attrs['id']))
        else:
            self.checker.received(client.stream, uid[:16], uid_number(uid))


class DeliveryMachine(RuleBasedStateMachine):
    """Two senders at one c2s; two recipients with sessions that come and go at two others; two routers."""

    @initialize()
    def begin(self) -> None:
        self.patch = pytest.MonkeyPatch()
        # One call a turn, so that links can be cut, and nodes killed, between any two.
        self.patch.setattr(turn, 'MOST_CALLS', 1)
        self.site = Watch()
        self.home = self.site.c2s('c2s-home')
        self.nodes: list[ScriptedC2s] = [self.site.c2s('c2s-a'), self.site.c2s('c2s-b')]
        self.senders = [self.home.client('romeo', 'one'), self.home.client('romeo', 'two')]
        self.count = 0
        self.given_back: list[tuple[bytes, bytes]] = []
        self.nodes[0].client('juliet', 'first')

    def go_on(self, turns: int | None) -> None:
        if turns is None:
            self.site.settle()
        else:
            for _ in range(turns):
                self.site.network.turn_once()

    def sessions(self, user: str) -> list[Client]:
        found = [client for node in self.nodes for client in node.clients.values()]
        return [client for client in found if client.owner == f'{user}@{DOMAIN}' and client.jid]

    def linked(self) -> bool:
        return any(links._link is not None for links in self.site.sm_links.all)

    def all_linked(self) -> bool:
        everybody = [self.site.sm_links, self.home.links, *[node.links for node in self.nodes]]
        return all(links._link is not None for several in everybody for links in several.all)

    # ---- what users do

    @precondition(lambda self: self.linked())
    @rule(who=st.integers(0, 1), user=USERS, full=SMALL, several=st.integers(1, 4), turns=TURNS)
    def send(self, who: int, user: str, full: int, several: int, turns: int | None) -> None:
        sender, there = self.senders[who], self.sessions(user)
        to = there[full % len(there)].jid if there and full % 2 else f'{user}@{DOMAIN}'
        for _ in range(several):
            number = sender.number + 1
            sender.chat(to, str(number))
            self.site.checker.accepted(sender.stream, number)
        self.go_on(turns)

    @precondition(lambda self: self.all_linked())
    @rule(node=st.integers(0, 1), user=USERS, priority=st.sampled_from(PRIORITIES))
    def come(self, node: int, user: str, priority: int | None) -> None:
        c2s = self.nodes[node]
        if c2s.holding or c2s.bouncing or len([one for one in self.sessions(user) if one.live]) > 3:
            return
        self.count += 1
        client = c2s.start(user, f'r{self.count}')
        if client.jid and priority is not None:
            client.come(priority)
            self.site.settle()

    @precondition(lambda self: self.all_linked())
    @rule(user=USERS, which=SMALL, said=st.sampled_from((True, True, False)), turns=TURNS)
    def go(self, user: str, which: int, said: bool, turns: int | None) -> None:
        there = [client for client in self.sessions(user) if client.live]
        if there:
            client = there[which % len(there)]
            if said:
                client.leave()
            client.live = False
            self.go_on(turns)

    @precondition(lambda self: self.all_linked())
    @rule(user=USERS, which=SMALL, unacked=st.integers(1, 4), turns=TURNS)
    def vanish(self, user: str, which: int, unacked: int, turns: int | None) -> None:
        """A client is gone that has not acked its last messages: its c2s gives them back."""
        there = [client for client in self.sessions(user) if client.live]
        if not there:
            return
        client = there[which % len(there)]
        client.leave()
        messages = [n for n, stanza in enumerate(client.stanzas) if stanza.name == 'message']
        for index in messages[-unacked:]:
            self.given_back.append((client.stream, client.give_back(index)))
        self.go_on(turns)

    @precondition(lambda self: self.all_linked())
    @rule(who=st.integers(0, 1), full=st.booleans(), late=st.booleans())
    def change_places(self, who: int, full: bool, late: bool) -> None:
        """While messages are on their way to a session it ends, another one comes, and more messages are sent."""
        there = [client for client in self.sessions('juliet') if client.live]
        if len(there) != 1 or any(node.holding or node.bouncing for node in self.nodes):
            return
        (old,) = there
        old.node.holding = True
        self.send(who, 'juliet', int(full), 2, None)
        old.leave()
        other = self.nodes[old.node is self.nodes[0]]
        if not late:
            self.come(self.nodes.index(other), 'juliet', 1)
        self.send(who, 'juliet', 0, 2, None)
        if late:
            self.come(self.nodes.index(other), 'juliet', 1)
            self.send(who, 'juliet', 0, 2, None)

    # ---- what processes do

    @rule(node=st.integers(0, 1))
    def hold(self, node: int) -> None:
        self.nodes[node].holding = True

    @rule(node=st.integers(0, 1), some=st.one_of(st.none(), st.integers(1, 3)), turns=TURNS)
    def release(self, node: int, some: int | None, turns: int | None) -> None:
        self.nodes[node].release(some)
        self.go_on(turns)

    @rule(node=st.integers(0, 1), seconds=st.sampled_from((0.0, 0.1, 1.0)))
    def be_busy(self, node: int, seconds: float) -> None:
        """Frames that come now are bounced; the router lets none overtake them."""
        c2s = self.nodes[node]
        if not c2s.holding:
            c2s.bouncing = BUSY
            self.site.advance(seconds)
            c2s.bouncing = ''
            self.site.settle()

    @rule(seconds=st.sampled_from((0.01, 0.5, 2.0)))
    def wait(self, seconds: float) -> None:
        self.site.advance(seconds)

    # ---- what networks do

    @rule(which=st.integers(0, 1), turns=TURNS)
    def cut_sm(self, which: int, turns: int | None) -> None:
        if self.site.sm_links.all[which]._link is not None and self.all_linked():
            self.site.sm_links.lose(which)
            self.go_on(turns)

    @rule(node=st.integers(0, 2), which=st.integers(0, 1), turns=TURNS)
    def cut_c2s(self, node: int, which: int, turns: int | None) -> None:
        several = (self.home, *self.nodes)[node].links
        if self.all_linked():
            several.lose(which)
            self.go_on(turns)

    @rule(turns=TURNS)
    def mend(self, turns: int | None = None) -> None:
        for several in (self.site.sm_links, self.home.links, *[node.links for node in self.nodes]):
            for links in several.all:
                if links._link is None:
                    links.start()
        self.go_on(turns)

    @precondition(lambda self: self.all_linked())
    @rule(node=st.integers(0, 1))
    def kill(self, node: int) -> None:
        """A c2s dies with all its sessions, and another start of it comes."""
        c2s = self.nodes[node]
        c2s.links.lose(0)
        c2s.links.lose(1)
        for client in c2s.clients.values():
            client.live = False
        c2s.held.clear()
        dying = set(c2s.giving_back)
        c2s.giving_back.clear()
        self.given_back = [(stream, uid) for stream, uid in self.given_back if uid not in dying]
        self.site.settle()
        self.count += 1
        self.nodes[node] = self.site.c2s(f'c2s-{self.count}')

    # ---- and in the end

    def teardown(self) -> None:
        if not hasattr(self, 'site'):
            return
        self.patch.undo()
        self.mend()
        for node in self.nodes:
            node.bouncing = ''
            node.release()
        self.site.settle()
        self.site.advance(120)
        site = self.site
        assert site.sm.pending() == 0, site.sm.status()
        assert not site.sm.delivery.gates.closed
        stored = set()
        for user in RECIPIENTS:
            for _, row in site.storage.run(offline.page, f'{user}@{DOMAIN}', 0, 10_000).result:
                site.checker.stored(row.uid[:16], uid_number(row.uid))
                stored.add(row.uid)
        report = site.checker.report()
        assert report.ok, report
        for stream, uid in self.given_back:
            elsewhere = any(other.stream != stream and got == uid for other, got, _ in site.deliveries)
            assert elsewhere or uid in stored, f'given back and lost: {uid!r}'
        assert not any(node.giving_back for node in self.nodes)
        for sender in self.senders:
            assert not sender.sent, f'never confirmed: {sorted(sender.sent)}'


DeliveryMachine.TestCase.settings = settings(stateful_step_count=40)
TestDelivery = DeliveryMachine.TestCase
