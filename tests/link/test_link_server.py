"""A router's side of its links, before a switch that only notes what it is told."""

from __future__ import annotations

from typing import Any

import pytest
from cbor2 import dumps
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from jabberd_tx.base.options import ConfigError
from jabberd_tx.base.turn import Turn
from jabberd_tx.link.auth import Handshake
from jabberd_tx.link.decoding import FrameSplitter
from jabberd_tx.link.frames import (
    Bind,
    Bounce,
    Bound,
    Confirm,
    Credit,
    Drain,
    Error,
    Fanout,
    Ping,
    Present,
    Route,
    Unbind,
    Working,
    encode,
)  # fmt: skip
from jabberd_tx.link.options import OPTIONS
from jabberd_tx.link.server import LOG_FAILURES_EVERY, LinkServer, listen
from jabberd_tx.testing.memory_transport import connect

SECRET = 'a secret of the whole site'
UID = bytes(24)
ROUTE = Route('example.net', 'j@example.net', 'sm-a1', 0, UID, 4, 0, b'payload')


class NotingSwitch:
    """A Switch that keeps (method, arguments); `attach` tells the port of one other node."""

    node = 'router-1'

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.ports: list[Any] = []
        self.detached: list[Any] = []

    def attach(self, port: Any) -> None:
        self.ports.append(port)
        port.send(Present('sm-b2', 'sm-b2', b'b' * 16, True))

    def detach(self, port: Any) -> None:
        self.detached.append(port)

    def bind(self, port: Any, name: str, options: dict[str, object]) -> str:
        self.calls.append(('bind', port, name, options))
        return 'ok' if name != 'forbidden.example' else 'conflict'

    def __getattr__(self, name: str) -> Any:
        if name not in ('unbind', 'route', 'fanout', 'pass_on', 'credit', 'drain'):
            raise AttributeError(name)
        return lambda *arguments: self.calls.append((name, *arguments))


class Peer:
    """A component made of bare frames."""

    def __init__(self, rig: Rig, node: str = 'sm-a1', secret: str = SECRET) -> None:
        self.rig, self.splitter, self.found, self.lost = rig, FrameSplitter(1 << 20), [], False
        self.splitter.authenticated()
        self.handshake = Handshake(True, secret, node, node.encode().ljust(16, b'.'))
        protocol = rig.server.buildProtocol(IPv4Address('TCP', '127.0.0.1', 1))
        self.dropped = protocol is None
        self.transport: Any = None
        if protocol is not None:
            connect(rig.clock, self, protocol)

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport

    def dataReceived(self, data: bytes) -> None:
        self.found += [frame for _, frame in self.splitter.feed(data)]

    def connectionLost(self, reason: Any) -> None:
        self.lost = True

    def say(self, *frames: Any) -> None:
        self.transport.write(b''.join(frame if type(frame) is bytes else encode(frame) for frame in frames))
        self.rig.settle()

    def take(self) -> list[Any]:
        self.rig.settle()
        found, self.found = self.found, []
        return found

    def authenticate(self) -> list[Any]:
        """The frames that follow the router's proof."""
        self.say(*self.handshake.begin())
        self.say(*self.handshake.take(self.take()[0]))
        mac, *rest = self.take()
        self.handshake.take(mac)
        return rest


class Rig:
    """A server without a socket, on a clock."""

    def __init__(self, **options: object) -> None:
        self.clock = Clock()
        values = OPTIONS.defaults()
        values.secret = SECRET
        for name, value in options.items():
            setattr(values, name, value)
        self.switch = NotingSwitch()
        turn = Turn(self.clock)
        self.server = LinkServer(self.switch, 'router-1', b'r' * 16, values, self.clock, turn, '127.0.0.1')

    def settle(self) -> None:
        for _ in range(20):
            self.clock.advance(0)

    def peer(self, *arguments: Any) -> Peer:
        return Peer(self, *arguments)


@pytest.fixture
def logged():
    events: list[dict[str, Any]] = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


def test_a_component_is_attached_and_told_who_is_there_and_then_that_this_was_all():
    rig = Rig()
    peer = rig.peer()
    assert rig.switch.ports == []
    rest = peer.authenticate()
    assert rest == [Present('sm-b2', 'sm-b2', b'b' * 16, True), Present('router-1', 'router-1', b'r' * 16, True)]
    (port,) = rig.switch.ports
    assert (port.node, port.incarnation, port.local) == ('sm-a1', b'sm-a1'.ljust(16, b'.'), False)
    assert rig.server.ports == {port}


def test_frames_become_calls_with_their_own_bytes():
    rig = Rig()
    peer = rig.peer()
    peer.authenticate()
    (port,) = rig.switch.ports
    fanout = Fanout('c2s-1', 'sm-a1', UID, [(b's' * 16, 'x')], b'payload')
    confirm = Confirm('c2s-1', 'sm-a1', [UID], [])
    working = Working('c2s-1', 'sm-a1', [UID])
    bounce = Bounce('c2s-1', 'sm-a1', 'moved', 'sm-a1', None, 0, UID, 'sm-2')
    # Not how this code would encode it: what goes on is what came.
    odd = bytes.fromhex('00000027') + bytes.fromhex('840878') + b'\x05c2s-1' + b'\x65sm-a1\x81\x58\x18' + UID
    odd = (len(odd) - 4).to_bytes(4, 'big') + odd[4:]
    peer.say(ROUTE, fanout, confirm, working, bounce, odd)
    peer.say(Bind('example.net', {'policy': 'to'}), Unbind('example.net'), Credit(5000), Drain('sm-a1'))
    raws = [encode(frame) for frame in (ROUTE, fanout, confirm, working, bounce)]
    assert rig.switch.calls == [
        ('route', port, ROUTE, raws[0], len(raws[0])),
        ('fanout', port, fanout, raws[1], len(raws[1])),
        ('pass_on', port, confirm, raws[2]),
        ('pass_on', port, working, raws[3]),
        ('pass_on', port, bounce, raws[4]),
        ('pass_on', port, working, odd),
        ('bind', port, 'example.net', {'policy': 'to'}),
        ('unbind', port, 'example.net'),
        ('credit', port, 5000),
        ('drain', port),
    ]


def test_a_bind_is_answered_with_its_outcome():
    peer = Rig().peer()
    peer.authenticate()
    peer.say(Bind('example.net', {}), Bind('forbidden.example', {}))
    assert peer.take() == [Bound('example.net', 'ok'), Bound('forbidden.example', 'conflict')]


def test_a_port_sends_bytes_as_they_are_and_encodes_what_has_none():
    rig = Rig()
    peer = rig.peer()
    peer.authenticate()
    (port,) = rig.switch.ports
    port.send(ROUTE, encode(ROUTE._replace(hops=9)))
    port.send(ROUTE)
    port.send(Drain('router-1'))
    assert peer.take() == [ROUTE._replace(hops=9), ROUTE, Drain('router-1')]


@pytest.mark.parametrize(
    'frame',
    [
        ROUTE._replace(source='sm-b2'),
        Fanout('c2s-1', 'sm-b2', UID, [], b''),
        Confirm('c2s-1', 'sm-b2', [UID], []),
        Working('c2s-1', 'sm-b2', [UID]),
        Bounce('c2s-1', 'sm-b2', 'busy', 'sm-b2', None, 0, UID, ''),
        Bounce('c2s-1', '', 'busy', 'sm-b2', None, 0, UID, ''),
        Drain('sm-b2'),
    ],
    ids=lambda frame: type(frame).__name__,
)
def test_who_speaks_for_another_node_is_shown_the_door(frame):
    rig = Rig()
    peer = rig.peer()
    peer.authenticate()
    peer.say(frame, ROUTE)
    assert [error.condition for error in peer.take()] == ['invalid-from']
    assert rig.switch.calls == [] and peer.lost
    assert rig.switch.detached == rig.switch.ports


@pytest.mark.parametrize(
    ('data', 'condition'),
    [
        (b'\xff\xff\xff\xff', 'frame-size'),
        (b'\0\0\0\2\x82\x05', 'bad-frame'),
        (encode(Present('x', 'x', bytes(16), True)), 'unexpected-frame'),
        (encode(Bound('x', 'ok')), 'unexpected-frame'),
        (b'\0\0\0\3' + dumps([99]), 'unknown-frame'),
    ],
)
def test_a_bad_frame_ends_its_own_link_and_no_other(data, condition):
    rig = Rig()
    peer, other = rig.peer('sm-a1'), rig.peer('sm-c3')
    peer.authenticate()
    other.authenticate()
    peer.say(data)
    assert [error.condition for error in peer.take()] == [condition]
    other.say(Ping(1))
    assert len(other.take()) == 1 and not other.lost
    assert [port.node for port in rig.switch.detached] == ['sm-a1']


def test_the_switch_hears_of_a_lost_link_in_a_later_turn_even_if_it_caused_it():
    rig = Rig()
    peer = rig.peer()
    peer.authenticate()
    (port,) = rig.switch.ports
    port.end('conflict', 'another sm-a1')
    assert rig.switch.detached == []
    assert rig.server.ports == set()
    rig.settle()
    assert rig.switch.detached == [port]
    assert peer.take() == [Error('conflict', 'another sm-a1')]


def test_a_wrong_secret_attaches_nothing_and_is_logged_once_in_a_while(logged):
    rig = Rig()
    for _ in range(20):
        peer = rig.peer('sm-a1', 'another secret altogether')
        peer.say(*peer.handshake.begin())
        peer.say(*peer.handshake.take(peer.take()[0]))
        assert [error.condition for error in peer.take()] == ['not-authorized']
        assert peer.lost
    assert rig.switch.ports == [] and rig.server.refused.total == 20

    def refusals() -> int:
        return sum(event.get('log_format', '').startswith('link from') for event in logged)

    assert refusals() == 1
    rig.clock.advance(LOG_FAILURES_EVERY)
    rig.peer().say(b'\0\0\0\1\xff')
    peer = rig.peer('sm-a1', 'another secret altogether')
    peer.say(*peer.handshake.begin())
    peer.say(*peer.handshake.take(peer.take()[0]))
    assert refusals() == 3
    assert SECRET not in repr(logged) and 'another secret' not in repr(logged)


def test_no_more_than_so_many_links_may_be_unproved_and_a_proved_one_makes_room():
    rig = Rig(unauthenticated_limit=3)
    first, *_ = peers = [rig.peer(f'sm-{number}') for number in range(4)]
    assert [peer.dropped for peer in peers] == [False, False, False, True]
    first.authenticate()
    assert not rig.peer('sm-9').dropped
    assert rig.peer('sm-10').dropped
    rig.clock.advance(10)
    rig.settle()
    assert not rig.peer('sm-11').dropped, 'those who say nothing are gone after the timeout'


def test_a_component_may_not_have_the_routers_name():
    rig = Rig()
    peer = rig.peer('router-1')
    peer.say(*peer.handshake.begin())
    assert [error.condition for error in peer.take()] == ['conflict']


@pytest.mark.parametrize('secret', ['', 'short'])
def test_a_router_does_not_listen_without_a_secret(secret):
    options = OPTIONS.defaults()
    options.secret = secret
    with pytest.raises(ConfigError, match=r'^link\.secret: expected 16 or more characters'):
        listen('127.0.0.1', 0, NotingSwitch(), 'router-1', b'r' * 16, options, Clock(), Turn(Clock()))


@pytest.mark.parametrize('host', ['0.0.0.0', '', '::', '192.0.2.1'])
def test_a_router_does_not_listen_beyond_this_machine_without_tls(host):
    options = OPTIONS.defaults()
    options.secret = SECRET
    with pytest.raises(ConfigError, match=r'^link\.tls_certificate: expected a certificate to listen on'):
        listen(host, 0, NotingSwitch(), 'router-1', b'r' * 16, options, Clock(), Turn(Clock()))
