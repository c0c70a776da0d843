"""One connection of a link on a clock: greeting, time, order, bounds, ends."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from jabberd_tx.base.turn import Turn
from jabberd_tx.link.auth import Handshake
from jabberd_tx.link.connection import CHUNK, CLOSE_TIMEOUT, LinkConnection
from jabberd_tx.link.decoding import FrameError, FrameSplitter
from jabberd_tx.link.frames import Drain, Error, Hello, Ping, Pong, Redirect, Route, encode
from jabberd_tx.link.options import OPTIONS
from jabberd_tx.testing.memory_transport import MemoryTransport, connect

SECRET = 'a secret of the whole site'


class RecordingSide:
    """Keeps what it is told; takes DRAIN and ROUTE."""

    def __init__(self) -> None:
        self.connection: LinkConnection
        self.events: list[Any] = []
        self.taken: list[Any] = []
        self.last_words: list[bytes] = []
        self.trouble: Exception | None = None
        self.takes = {Drain: self.take, Route: self.take}

    def take(self, frame: Any, raw: bytes) -> None:
        assert encode(frame) == raw
        self.taken.append(frame)
        if self.trouble is not None:
            trouble, self.trouble = self.trouble, None
            raise trouble

    def on_hello(self, peer: Hello) -> None:
        self.events.append('hello')

    def on_open(self, peer: Hello) -> None:
        self.events.append('open')

    def before_write(self, last: bool) -> None:
        words, self.last_words = self.last_words, []
        for data in words:
            self.connection.send(data)

    def on_closing(self) -> None:
        self.events.append('closing')

    def on_lost(self) -> None:
        self.events.append('lost')


class Pair:
    """A component's end (`near`) and a router's (`far`), joined in memory."""

    def __init__(self, far_secret: str = SECRET, join: bool = True, **options: object) -> None:
        self.clock = Clock()
        self.turn = Turn(self.clock)
        self.options = OPTIONS.defaults()
        for name, value in options.items():
            setattr(self.options, name, value)
        self.near, self.far = RecordingSide(), RecordingSide()
        for side, connecting, node, secret in (
            (self.near, True, 'sm-a1', SECRET),
            (self.far, False, 'router-1', far_secret),
        ):
            handshake = Handshake(connecting, secret, node, node.encode().ljust(16, b'.'))
            side.connection = LinkConnection(side, handshake, self.options, self.clock, self.turn)
        self.ends: tuple[MemoryTransport, MemoryTransport]
        if join:
            self.ends = connect(self.clock, self.near.connection, self.far.connection)
            self.settle()

    def settle(self) -> None:
        for _ in range(100):
            self.clock.advance(0)

    def wait(self, seconds: float, step: float = 0.05) -> None:
        for _ in range(round(seconds / step)):
            self.clock.advance(step)


class Raw:
    """The far end of a connection as bare bytes."""

    def __init__(self, connection: LinkConnection, clock: Clock) -> None:
        self.data = bytearray()
        self.lost = False
        self.clock = clock
        self.transport: Any = None
        self.ends = connect(clock, self, connection)

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Any) -> None:
        self.lost = True

    def settle(self) -> None:
        for _ in range(100):
            self.clock.advance(0)

    def say(self, data: bytes) -> None:
        self.transport.write(data)
        self.settle()

    def frames(self) -> list[Any]:
        """Everything that came, decoded."""
        splitter = FrameSplitter(1 << 20)
        splitter.authenticated()
        return [frame for _, frame in splitter.feed(bytes(self.data))]


@pytest.fixture
def logged():
    events: list[dict[str, Any]] = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


def raw_far_end(**options: object) -> tuple[RecordingSide, Raw]:
    """A listening connection with bytes at its other end."""
    pair = Pair(join=False, **options)
    return pair.far, Raw(pair.far.connection, pair.clock)


def authenticated_raw(**options: object) -> tuple[RecordingSide, Raw]:
    """The same, with the handshake done by hand."""
    side, raw = raw_far_end(**options)
    handshake = Handshake(True, SECRET, 'sm-a1', b'i' * 16)
    raw.say(encode(handshake.begin()[0]))
    (hello,) = raw.frames()
    raw.say(encode(handshake.take(hello)[0]))
    assert handshake.take(raw.frames()[1]) == [] and handshake.done
    raw.data.clear()
    assert side.connection.is_open
    return side, raw


def test_both_ends_are_open_after_the_handshake():
    pair = Pair()
    assert pair.near.events == pair.far.events == ['hello', 'open']
    assert pair.near.connection.is_open and pair.far.connection.is_open


def test_frames_arrive_in_order_in_both_directions():
    pair = Pair()
    for number in range(500):
        pair.near.connection.send(encode(Drain(f'n{number}')))
        pair.far.connection.send(encode(Drain(f'f{number}')))
        if number % 7 == 0:
            pair.settle()
    pair.settle()
    assert pair.far.taken == [Drain(f'n{number}') for number in range(500)]
    assert pair.near.taken == [Drain(f'f{number}') for number in range(500)]


def test_the_frames_of_a_turn_leave_in_one_write_with_what_rides_along():
    pair = Pair()
    writes = []
    transport = pair.ends[0]
    write = transport.write
    transport.write = lambda data: (writes.append(data), write(data))
    for number in range(3):
        pair.near.connection.send(encode(Drain(f'n{number}')))
    pair.near.last_words = [encode(Drain('last'))]
    assert writes == []
    pair.settle()
    assert writes == [b''.join(encode(Drain(name)) for name in ('n0', 'n1', 'n2', 'last'))]


def test_what_rides_along_can_be_sent_for_its_own_sake():
    pair = Pair()
    pair.near.last_words = [encode(Drain('last'))]
    pair.near.connection.flush_soon()
    pair.settle()
    assert pair.far.taken == [Drain('last')]


def test_a_wrong_secret_closes_both_ends_with_the_reason():
    pair = Pair(far_secret='another secret altogether')
    assert pair.near.events == pair.far.events == ['hello', 'closing', 'lost']
    assert pair.near.connection.why.condition == pair.far.connection.why.condition == 'not-authorized'
    assert pair.clock.calls == []


def test_another_version_is_refused_with_both_numbers():
    side, raw = raw_far_end()
    raw.say(encode(Hello(2, 'sm-a1', b'i' * 16, bytes(32), [])))
    (error,) = raw.frames()
    assert error == Error('unsupported-version', 'this side speaks version 1, the other 2')
    assert side.events == ['closing', 'lost'] and raw.lost


def test_silence_before_authentication_ends_after_the_timeout():
    side, raw = raw_far_end(handshake_timeout=10.0)
    raw.clock.advance(9.9)
    assert not side.connection.closing
    raw.clock.advance(0.2)
    raw.settle()
    assert [frame.condition for frame in raw.frames()] == ['timeout']


def test_dripping_bytes_do_not_prolong_authentication():
    side, raw = raw_far_end(handshake_timeout=10.0)
    for byte in encode(Hello(1, 'sm-a1', b'i' * 16, bytes(32), []))[:40]:
        raw.say(bytes([byte]))
        raw.clock.advance(0.26)
    raw.settle()
    assert [frame.condition for frame in raw.frames()] == ['timeout']
    assert side.connection.lost


@pytest.mark.parametrize(
    ('data', 'condition'),
    [
        (b'\xff\xff\xff\xff', 'frame-size'),
        (b'GET / HTTP/1.1\r\n\r\n', 'frame-size'),
        (b'\0\0\0\1\xff', 'bad-frame'),
        (encode(Drain('x')), 'not-authorized'),
    ],
    ids=['4 GiB', 'http', 'no CBOR', 'too early'],
)
def test_what_is_no_handshake_is_answered_with_the_reason(data, condition):
    side, raw = raw_far_end()
    raw.say(data)
    assert [frame.condition for frame in raw.frames()] == [condition]
    assert side.events == ['closing', 'lost']


def test_an_announced_frame_of_4_gib_closes_an_open_link():
    side, raw = authenticated_raw()
    raw.say(b'\xff\xff\xff\xff')
    assert [frame.condition for frame in raw.frames()] == ['frame-size']
    assert side.connection.lost


def test_a_frame_that_comes_right_behind_the_last_proof_may_be_long():
    """The router's AUTH and what follows it arrive in one read."""
    pair = Pair(join=False)
    raw = Raw(pair.near.connection, pair.clock)
    raw.settle()
    handshake = Handshake(False, SECRET, 'router-1', b'r' * 16)
    answer = handshake.take(raw.frames()[0])
    raw.say(encode(answer[0]))
    (mac,) = handshake.take(raw.frames()[1])
    long = Route('sm-a1', None, 'c2s-1', 0, bytes(24), 1, 0, bytes(20000))
    raw.say(encode(mac) + encode(Drain('a')) + encode(long) + encode(Drain('b')))
    assert pair.near.taken == [Drain('a'), long, Drain('b')]


def test_an_idle_link_is_kept_alive_by_both_sides():
    pair = Pair()
    pair.wait(60)
    assert pair.near.connection.is_open and pair.far.connection.is_open


def test_a_silent_peer_is_asked_and_then_cut_after_the_timeout():
    side, raw = authenticated_raw(heartbeat=1.0, heartbeat_timeout=3.0)
    raw.clock.pump([0.05] * 59)
    assert side.connection.is_open
    assert raw.frames() == [Ping(1), Ping(2)]
    raw.clock.pump([0.05] * 2)
    assert side.connection.why.condition == 'heartbeat-timeout'
    raw.settle()
    assert raw.frames()[-1].condition == 'heartbeat-timeout'


def test_a_pong_keeps_the_link():
    side, raw = authenticated_raw()
    for number in range(1, 8):
        raw.clock.advance(1.0)
        raw.settle()
        assert raw.frames()[-1] == Ping(number)
        raw.say(encode(Pong(number)))
        raw.clock.advance(0.01)
    assert side.connection.is_open


def test_half_a_frame_and_then_silence_is_cut_like_any_silence():
    side, raw = authenticated_raw()
    raw.say(encode(Drain('sm-a1'))[:6])
    raw.clock.pump([0.1] * 31)
    assert side.connection.why.condition == 'heartbeat-timeout'
    assert side.taken == []


def test_a_ping_is_answered_with_its_number():
    side, raw = authenticated_raw()
    raw.say(encode(Ping(77)))
    assert raw.frames() == [Pong(77)]


def test_a_redirect_is_left_alone():
    side, raw = authenticated_raw()
    raw.say(encode(Redirect('juliet@example.net', 'sm-1', 60)) + encode(Drain('x')))
    assert side.taken == [Drain('x')] and side.connection.is_open


def test_a_frame_that_is_not_for_this_side_closes_the_link():
    side, raw = authenticated_raw()
    raw.say(encode(Hello(1, 'sm-a1', b'i' * 16, bytes(32), [])))
    assert raw.frames() == [Error('unexpected-frame', 'HELLO is not for this side')]


def test_a_side_that_fails_at_a_frame_gets_the_next_one(logged):
    side, raw = authenticated_raw()
    side.trouble = RuntimeError('a mistake')
    raw.say(encode(Drain('a')) + encode(Drain('b')))
    assert side.taken == [Drain('a'), Drain('b')]
    assert side.connection.is_open
    assert [str(event['log_failure'].value) for event in logged if 'log_failure' in event] == ['a mistake']


def test_a_side_that_refuses_a_frame_closes_the_link_and_gets_no_other():
    side, raw = authenticated_raw()
    side.trouble = FrameError('invalid-from', 'not you')
    raw.say(encode(Drain('a')) + encode(Drain('b')))
    assert side.taken == [Drain('a')]
    assert raw.frames() == [Error('invalid-from', 'not you')]


def test_an_error_from_the_peer_is_the_reason_and_is_not_answered():
    side, raw = authenticated_raw()
    raw.say(encode(Error('conflict', 'another sm-a1')))
    assert side.connection.why == Error('conflict', 'another sm-a1')
    assert side.events[-2:] == ['closing', 'lost']
    assert raw.frames() == [] and raw.lost


def test_finish_sends_what_was_written_and_what_rides_along_first():
    pair = Pair()
    pair.near.connection.send(encode(Drain('a')))
    pair.near.last_words = [encode(Drain('b'))]
    done = []
    pair.near.connection.finish().addCallback(done.append)
    pair.settle()
    assert pair.far.taken == [Drain('a'), Drain('b')]
    assert done == [None] and pair.near.connection.lost and pair.far.connection.lost
    assert pair.clock.calls == []


def test_finish_on_a_lost_connection_fires_at_once():
    pair = Pair()
    pair.far.connection.finish()
    pair.settle()
    done = []
    pair.near.connection.finish().addCallback(done.append)
    assert done == [None]


def test_a_peer_that_neither_reads_nor_closes_is_waited_for_no_longer_than_a_bound():
    side, raw = authenticated_raw()
    raw.ends[0].pauseProducing()
    side.connection.send(bytes(200_000))
    raw.settle()
    done = []
    side.connection.finish().addCallback(done.append)
    raw.clock.advance(CLOSE_TIMEOUT - 0.1)
    assert done == []
    raw.clock.advance(0.2)
    raw.settle()
    assert done == [None]


def test_nothing_is_sent_or_taken_once_the_link_is_closing():
    pair = Pair()
    pair.near.connection.fail('shutdown', 'bye')
    pair.near.connection.send(encode(Drain('late')))
    pair.far.connection.send(encode(Drain('crossing')))
    pair.settle()
    assert pair.near.taken == pair.far.taken == []
    assert pair.near.events.count('closing') == pair.far.events.count('closing') == 1


def test_what_a_slow_peer_does_not_read_waits_and_arrives_whole():
    pair = Pair()
    pair.ends[1].pauseProducing()
    frames = [Route('a', None, 'b', 0, bytes(24), 1, number, bytes(1000)) for number in range(2000)]
    for frame in frames[:1000]:
        pair.near.connection.send(encode(frame))
    pair.settle()
    assert pair.ends[0].unread <= CHUNK + 65536 + 2000
    for frame in frames[1000:]:
        pair.near.connection.send(encode(frame))
    pair.settle()
    pair.ends[1].resumeProducing()
    for _ in range(200):
        pair.settle()
    assert pair.far.taken == frames


def test_a_peer_that_never_reads_is_cut_at_the_limit_with_the_reason():
    pair = Pair(outbound_limit=4 << 20, heartbeat_timeout=100.0)
    pair.ends[1].pauseProducing()
    frame = encode(Route('a', None, 'b', 0, bytes(24), 1, 0, bytes(60_000)))
    sent = 0
    while not pair.near.connection.closing:
        pair.near.connection.send(frame)
        sent += len(frame)
        assert sent < 6 << 20
        if sent % 10 == 0:
            pair.settle()
    assert pair.near.connection.why.condition == 'overloaded'
    assert pair.near.events[-1] == 'closing', 'told at once, lost later'
    pair.settle()
    assert pair.near.events[-1] == 'lost'
    assert len(pair.near.connection._out) == 0


def test_a_connection_that_breaks_is_reported_once():
    pair = Pair()
    pair.ends[0].abortConnection()
    pair.settle()
    assert pair.near.events == pair.far.events == ['hello', 'open', 'closing', 'lost']
    assert pair.far.connection.why.condition == 'closed'
    assert pair.clock.calls == []
