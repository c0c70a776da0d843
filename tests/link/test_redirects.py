"""Redirects: what goes straight to a node, for how long, and that nothing is lost when one ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.task import Clock

from jabberd_tx.base.turn import Turn
from jabberd_tx.link.auth import Handshake
from jabberd_tx.link.connection import LinkConnection
from jabberd_tx.link.decoding import FrameSplitter
from jabberd_tx.link.frames import (
    BUSY,
    CLIENT,
    NO_LINK,
    RETURNED,
    Bounce,
    Confirm,
    Present,
    Redirect,
    Route,
    encode,
    make_uid,
)
from jabberd_tx.link.interfaces import Link
from jabberd_tx.link.kept_frames import KeptFrames
from jabberd_tx.link.options import OPTIONS
from jabberd_tx.link.outgoing import RouterLink
from jabberd_tx.link.pool import Pool
from jabberd_tx.link.redirects import LONGEST, MOST, MOST_FLYING, Redirects
from jabberd_tx.testing.memory_transport import connect
from jabberd_tx.testing.network import Network, Recorder
from jabberd_tx.xmpp.stanza import Stanza

DOMAIN = 'example.net'
JULIET = 'juliet@example.net'


def chat(to: str = f'{JULIET}/a') -> Stanza:
    return Stanza('message', {'from': 'romeo@example.org/a', 'to': to})


def frame(number: int = 1, dest: str = DOMAIN, key: str | bytes | None = JULIET, flags: int = 0) -> Route:
    return Route(dest, key, 'c2s-1', 0, make_uid(b's' * 16, number), 4, flags, chat())


class Some:
    """A Link, of which only the identity counts."""

    name, up = 'r1', True


LINK: Any = Some()


class Rig:
    """The redirects of c2s-1, on a clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.redirects = Redirects('c2s-1', self.clock.seconds)

    def to(self, route: Route) -> str:
        return self.redirects.applied(route, LINK).dest


def test_a_name_and_an_address_are_redirected_the_address_first() -> None:
    rig = Rig()
    rig.redirects.put(Redirect(DOMAIN, 'sm-2', 60))
    rig.redirects.put(Redirect(JULIET, 'sm-3', 60))
    assert [rig.to(frame(key=key)) for key in (JULIET, None, 'nurse@example.net')] == ['sm-3', 'sm-3', 'sm-2']


@pytest.mark.parametrize('route', [frame(key=b's' * 16), frame(flags=CLIENT), frame(flags=RETURNED)])
def test_what_is_for_a_session_or_of_one_stays_as_it_is(route: Route) -> None:
    rig = Rig()
    rig.redirects.put(Redirect(DOMAIN, 'sm-2', 60))
    rig.redirects.put(Redirect(JULIET, 'sm-2', 60))
    assert rig.redirects.applied(route, LINK) is route


def test_one_that_leads_here_is_not_followed() -> None:
    rig = Rig()
    rig.redirects.put(Redirect(DOMAIN, 'c2s-1', 60))
    assert rig.to(frame()) == DOMAIN


def test_it_ends_with_its_time_which_is_bounded_and_a_later_word_counts() -> None:
    rig = Rig()
    rig.redirects.put(Redirect(DOMAIN, 'sm-2', 10))
    rig.clock.advance(9)
    assert rig.to(frame()) == 'sm-2'
    rig.redirects.confirmed([frame().uid])
    rig.clock.advance(1)
    assert rig.to(frame()) == DOMAIN and not rig.redirects.active
    rig.redirects.put(Redirect(DOMAIN, 'sm-2', 1 << 40))
    rig.clock.advance(LONGEST + 1)
    assert rig.to(frame()) == DOMAIN


def test_it_is_withdrawn_by_zero_seconds_but_not_when_it_leads_elsewhere_by_now() -> None:
    rig = Rig()
    rig.redirects.put(Redirect(DOMAIN, 'sm-2', 60))
    rig.redirects.put(Redirect(DOMAIN, 'sm-3', 60))
    rig.redirects.put(Redirect(DOMAIN, 'sm-2', 0))
    assert rig.to(frame()) == 'sm-3'
    rig.redirects.put(Redirect(DOMAIN, 'sm-3', 0))
    assert rig.to(frame()) == DOMAIN


@pytest.mark.parametrize('reason', [NO_LINK, BUSY, 'no-session', 'not-mine'])
def test_a_bounce_ends_it_and_is_told_as_of_the_name_that_the_frame_was_sent_to(reason: str) -> None:
    rig = Rig()
    rig.redirects.put(Redirect(DOMAIN, 'sm-2', 60))
    sent = rig.redirects.applied(frame(), LINK)
    back = Bounce('c2s-1', '', reason, sent.dest, sent.key, 0, sent.uid, '')
    assert rig.redirects.translated(back) == Bounce('c2s-1', '', BUSY, DOMAIN, JULIET, 0, sent.uid, '')
    assert rig.to(frame()) == DOMAIN and not rig.redirects.active


def test_a_bounce_of_something_else_stays_as_it_is() -> None:
    rig = Rig()
    rig.redirects.put(Redirect(DOMAIN, 'sm-2', 60))
    rig.to(frame(1))
    for other in (
        Bounce('c2s-1', '', BUSY, 'sm-2', JULIET, 0, make_uid(b's' * 16, 2), ''),
        Bounce('c2s-1', '', BUSY, DOMAIN, JULIET, 0, make_uid(b's' * 16, 1), ''),
    ):
        assert rig.redirects.translated(other) is other


def test_when_the_node_goes_all_that_was_under_way_to_it_comes_back() -> None:
    rig = Rig()
    rig.redirects.put(Redirect(DOMAIN, 'sm-2', 60))
    for number in (1, 2, 3):
        rig.to(frame(number))
    rig.redirects.confirmed([make_uid(b's' * 16, 2)])
    lost = rig.redirects.node_lost('sm-2')
    assert [(bounce.uid[-1], bounce.to, bounce.reason, link) for bounce, link in lost] == [
        (1, DOMAIN, BUSY, LINK), (3, DOMAIN, BUSY, LINK),
    ]  # fmt: skip
    assert not rig.redirects.active and rig.redirects.node_lost('sm-2') == []


def test_the_tables_are_bounded() -> None:
    rig = Rig()
    for number in range(MOST + 10):
        rig.redirects.put(Redirect(f'n{number}', 'sm-2', 60))
    rig.redirects.put(Redirect(DOMAIN, 'sm-2', 60))
    assert len(rig.redirects._table.ways) == MOST
    for number in range(MOST_FLYING + 10):
        rig.to(frame(number))
    assert len(rig.redirects._flying) == MOST_FLYING


# ---- both kinds of links


class Keeper(Recorder):
    """Sends as components do (link/kept_frames.py)."""

    def __init__(self, network: Network, node: str) -> None:
        super().__init__(network.links(node))
        self.gave_up: list[str] = []
        self.kept = KeptFrames(self.links, network.clock, lambda stanza, reason: self.gave_up.append(reason))

    def on_confirm(self, frame: Confirm) -> None:
        for uid in frame.uids:
            self.kept.confirmed(uid)

    def on_bounce(self, frame: Bounce, link: Link) -> None:
        self.kept.bounced(frame, link)


class Site:
    """c2s-1 sends to juliet@example.net; sm-1 serves the domain, and asks that sm-2 gets it."""

    def __init__(self, coded: bool) -> None:
        self.network = Network(coded=coded)
        self.c2s = Keeper(self.network, 'c2s-1')
        self.sm, self.other = [Recorder(self.network.links(node)) for node in ('sm-1', 'sm-2')]
        self.sm.links.bind(DOMAIN)
        self.network.settle()

    def say(self, count: int = 1) -> None:
        for _ in range(count):
            self.c2s.kept.send(DOMAIN, JULIET, chat())
        self.network.settle()

    def counts(self) -> tuple[int, int]:
        return len(self.sm.routes), len(self.other.routes)


@pytest.fixture(params=[False, True], ids=['handed over', 'coded'])
def site(request: pytest.FixtureRequest) -> Site:
    return Site(request.param)


def test_what_is_redirected_goes_straight_there_until_it_is_withdrawn(site: Site) -> None:
    site.sm.links.redirect(JULIET, 'sm-2', 60)
    site.network.settle()
    site.say(3)
    assert site.counts() == (0, 3) and len(site.c2s.kept) == 0
    site.sm.links.redirect(JULIET, 'sm-2', 0)
    site.network.settle()
    site.say()
    assert site.counts() == (1, 3)


def test_who_comes_later_is_told_of_it_as_well(site: Site) -> None:
    site.sm.links.redirect(DOMAIN, 'sm-2', 60)
    late = Keeper(site.network, 'late-1')
    site.network.settle()
    late.kept.send(DOMAIN, JULIET, chat())
    site.network.settle()
    assert site.counts() == (0, 1)


def test_nothing_is_lost_when_the_node_has_no_credit(site: Site) -> None:
    site.sm.links.redirect(DOMAIN, 'sm-2', 60)
    site.network.settle()
    site.network.router._nodes['sm-2'].credit = 0
    site.say(3)
    site.network.advance(3)
    assert site.counts() == (3, 0) and len(site.c2s.kept) == 0 and site.c2s.gave_up == []


def test_nothing_is_lost_when_the_node_goes_with_what_it_had(site: Site) -> None:
    site.other.confirms = False
    site.sm.links.redirect(DOMAIN, 'sm-2', 60)
    site.network.settle()
    site.say(3)
    assert site.counts() == (0, 3)
    site.other.links.stop()
    site.network.advance(3)
    assert site.counts() == (3, 3) and len(site.c2s.kept) == 0
    assert [route.uid for route in site.sm.routes] == [route.uid for route in site.other.routes], 'in order'


class Wire:
    """The pool of c2s-1 with one link, and a router made of bare frames at its other end."""

    def __init__(self) -> None:
        self.clock, self.component = Clock(), Notes()
        options = OPTIONS.defaults()
        options.secret = 'a secret of the whole site'
        self.pool = Pool('c2s-1', options, self.clock, Turn(self.clock))
        self.pool.attach(self.component)  # type: ignore[arg-type]
        self.link = RouterLink(self.pool, self.component, options, self.clock, lambda link: None)  # type: ignore[arg-type]
        own = Handshake(True, options.secret, 'c2s-1', self.pool.incarnation)
        self.link.connection = LinkConnection(self.link, own, options, self.clock, self.pool.turn)
        self.splitter = FrameSplitter(1 << 20)
        self.splitter.authenticated()
        self.found: list[Any] = []
        connect(self.clock, self.link.connection, self)
        handshake = Handshake(False, options.secret, 'r1', b'r' * 16)
        for _ in range(2):
            self.say(*handshake.take(self.take()[0]))
        self.say(Present('sm-2', 'sm-2', b'2' * 16, True), Present('r1', 'r1', b'r' * 16, True))
        self.take()

    transport: Any
    connectionLost: Callable[..., None] = lambda *ignored: None

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport

    def dataReceived(self, data: bytes) -> None:
        self.found += [frame for _, frame in self.splitter.feed(data)]

    def say(self, *frames: Any) -> None:
        self.transport.write(b''.join(map(encode, frames)))
        self.settle()

    def settle(self) -> None:
        for _ in range(20):
            self.clock.advance(0)

    def take(self) -> list[Any]:
        self.settle()
        found, self.found = self.found, []
        return found


class Notes:
    """A Component that notes the bounces."""

    def __init__(self) -> None:
        self.bounces: list[Bounce] = []

    def congested(self) -> bool:
        return False

    def on_bounce(self, frame: Bounce, link: Link) -> None:
        self.bounces.append(frame)

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


def test_a_pool_honours_what_its_router_passes_on_and_forgets_what_is_confirmed() -> None:
    wire = Wire()
    wire.say(Redirect(DOMAIN, 'sm-2', 60))
    wire.link.route(frame(1))
    wire.link.route(frame(2))
    assert [sent.dest for sent in wire.take()] == ['sm-2', 'sm-2']
    wire.say(Confirm('c2s-1', 'sm-2', [frame(1).uid], []))
    wire.say(Bounce('c2s-1', '', NO_LINK, 'sm-2', JULIET, 0, frame(2).uid, ''))
    assert wire.component.bounces == [Bounce('c2s-1', '', BUSY, DOMAIN, JULIET, 0, frame(2).uid, '')]
    wire.link.route(frame(2))
    assert [sent.dest for sent in wire.take()] == [DOMAIN] and not wire.pool.redirects.active


def test_a_pool_tells_of_frames_that_were_under_way_to_a_node_that_went() -> None:
    wire = Wire()
    wire.say(Redirect(JULIET, 'sm-2', 60))
    wire.link.route(frame(1))
    wire.say(Present('sm-2', 'sm-2', b'2' * 16, False))
    assert [(bounce.to, bounce.uid) for bounce in wire.component.bounces] == [(DOMAIN, frame(1).uid)]

