"""A component's end of a link on a clock: when confirmations leave, and what it says first."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from jabberd_tx.base.turn import Turn
from jabberd_tx.link.auth import Handshake
from jabberd_tx.link.connection import LinkConnection
from jabberd_tx.link.decoding import FrameSplitter
from jabberd_tx.link.frames import Bind, Confirm, Credit, Drain, Present, Route, Working, encode, make_uid
from jabberd_tx.link.options import OPTIONS
from jabberd_tx.link.outgoing import MOST_CONFIRMS, RIDE_ALONG, RouterLink
from jabberd_tx.link.pool import Pool
from jabberd_tx.testing.memory_transport import connect

SECRET = 'a secret of the whole site'
ROUTER = Present('r1', 'r1', b'r' * 16, True)


class Listener:
    """A Component that notes the names of its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def congested(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        if not name.startswith('on_'):
            raise AttributeError(name)
        return lambda *arguments: self.calls.append((name, *arguments))


class Rig:
    """A pool with one link, and a router made of bare frames at its other end."""

    def __init__(self, **changes: object) -> None:
        self.clock = Clock()
        options = OPTIONS.defaults()
        options.secret = SECRET
        vars(options).update(changes)
        self.pool = Pool('sm-1', options, self.clock, Turn(self.clock))
        self.component = Listener()
        self.pool.attach(self.component)  # type: ignore[arg-type]
        self.link = RouterLink(self.pool, self.component, options, self.clock, lambda link: None)  # type: ignore[arg-type]
        own = Handshake(True, SECRET, 'sm-1', self.pool.incarnation)
        self.link.connection = LinkConnection(self.link, own, options, self.clock, self.pool.turn)
        self.splitter = FrameSplitter(1 << 20)
        self.splitter.authenticated()
        self.found: list[Any] = []
        self.transport: Any = None
        connect(self.clock, self.link.connection, self)
        handshake = Handshake(False, SECRET, 'r1', b'r' * 16)
        for _ in range(2):
            self.say(*handshake.take(self.take()[0]))

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport

    def dataReceived(self, data: bytes) -> None:
        self.found += [frame for _, frame in self.splitter.feed(data)]

    def connectionLost(self, reason: Any) -> None:
        pass

    def settle(self) -> None:
        for _ in range(20):
            self.clock.advance(0)

    def say(self, *frames: Any) -> None:
        self.transport.write(b''.join(map(encode, frames)))
        self.settle()

    def take(self) -> list[Any]:
        self.settle()
        found, self.found = self.found, []
        return found


@pytest.fixture
def rig(request: pytest.FixtureRequest) -> Rig:
    """Up, with nothing under way."""
    made = Rig(**getattr(request, 'param', {}))
    made.say(ROUTER)
    made.take()
    return made


def uid(number: int) -> bytes:
    return make_uid(b's' * 16, number)


def test_credit_is_the_first_word_after_the_handshake():
    assert Rig(credit=123456).take() == [Credit(123456)]


def test_the_link_is_up_when_the_router_has_named_itself_and_not_before():
    rig = Rig()
    other = Present('c2s-1', 'c2s-1', b'c' * 16, True)
    rig.say(other, Drain('c2s-1'))
    assert not rig.link.up and rig.component.calls == []
    rig.say(ROUTER)
    assert rig.link.up
    assert rig.component.calls == [
        ('on_link_up', rig.link),
        ('on_up', 'c2s-1', 'c2s-1', b'c' * 16),
        ('on_drain', 'c2s-1'),
    ]


def test_a_router_that_never_names_itself_is_left():
    rig = Rig(handshake_timeout=10.0, heartbeat_timeout=100.0)
    rig.clock.advance(10.1)
    rig.settle()
    assert rig.link.connection.why.condition == 'timeout'
    assert rig.component.calls == []


@pytest.mark.parametrize('rig', [{'confirm_delay': 0.02}], indirect=True)
def test_confirmations_wait_for_each_other_up_to_the_delay(rig: Rig):
    for number in range(5):
        rig.pool.confirm('c2s-1', uid(number), rig.link)
        rig.pool.confirm('c2s-2', uid(number), rig.link)
    rig.settle()
    rig.clock.advance(0.019)
    assert rig.take() == []
    rig.clock.advance(0.002)
    uids = [uid(number) for number in range(5)]
    assert rig.take() == [Confirm('c2s-1', 'sm-1', uids, []), Confirm('c2s-2', 'sm-1', uids, [])]
    rig.pool.confirm('c2s-1', uid(9), rig.link)
    rig.clock.advance(0.021)
    assert rig.take() == [Confirm('c2s-1', 'sm-1', [uid(9)], [])]


@pytest.mark.parametrize('rig', [{'confirm_delay': 0}], indirect=True)
def test_without_a_delay_they_wait_for_the_end_of_the_turn(rig: Rig):
    rig.pool.confirm('c2s-1', uid(1), rig.link)
    rig.pool.failed('c2s-1', uid(2), [b'x' * 16], rig.link)
    assert rig.take() == [Confirm('c2s-1', 'sm-1', [uid(1), uid(2)], [(uid(2), b'x' * 16)])]


@pytest.mark.parametrize('rig', [{'confirm_delay': 0.5}], indirect=True)
def test_many_confirmations_ride_along_with_other_frames_and_few_do_not(rig: Rig):
    for number in range(RIDE_ALONG - 1):
        rig.pool.confirm('c2s-1', uid(number), rig.link)
    rig.pool.working('c2s-1', [uid(0)])
    assert [type(frame) for frame in rig.take()] == [Working]
    rig.pool.confirm('c2s-1', uid(RIDE_ALONG), rig.link)
    rig.pool.working('c2s-1', [uid(0)])
    working, confirm = rig.take()
    assert type(working) is Working and len(confirm.uids) == RIDE_ALONG


@pytest.mark.parametrize('rig', [{'confirm_delay': 0.5}], indirect=True)
def test_very_many_do_not_wait_for_anything(rig: Rig):
    for number in range(MOST_CONFIRMS + 5):
        rig.pool.confirm('c2s-1', uid(number), rig.link)
    (confirm,) = rig.take()
    assert len(confirm.uids) == MOST_CONFIRMS + 5


@pytest.mark.parametrize('rig', [{'confirm_delay': 0.5}], indirect=True)
def test_a_link_that_is_finished_sends_what_it_has_gathered(rig: Rig):
    rig.pool.confirm('c2s-1', uid(1), rig.link)
    rig.link.connection.finish()
    assert rig.take() == [Confirm('c2s-1', 'sm-1', [uid(1)], [])]


def test_the_names_that_are_served_are_asked_for_when_a_link_opens(rig: Rig):
    rig.pool.bind('example.net', 'to', weight=2)
    rig.pool.on_open(rig.link)
    assert rig.take() == [Bind('example.net', {'weight': 2, 'policy': 'to'})]


def test_a_lost_link_is_down_at_once_and_the_component_hears_of_it_later(rig: Rig):
    generation = rig.pool.generation
    rig.component.calls.clear()
    rig.link.connection.fail('x', 'y')
    assert not rig.link.up and rig.pool.pick('x') is None and rig.pool.generation != generation
    assert rig.component.calls == []
    rig.settle()
    assert rig.component.calls == [('on_link_down', rig.link)]
    rig.link.route(Route('a', None, 'sm-1', 0, uid(1), 1, 0, b''))
    rig.pool.confirm('c2s-1', uid(1), rig.link)
    assert [type(frame).__name__ for frame in rig.take()] == ['Error']


def test_time_that_a_lost_link_asked_for_is_given_back(rig: Rig):
    rig.pool.confirm('c2s-1', uid(1), rig.link)
    rig.transport.loseConnection()
    rig.settle()
    assert rig.link.connection.lost
    assert rig.clock.calls == []
