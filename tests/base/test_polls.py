"""Polling in the reactor's place."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.selectreactor import SelectReactor
from twisted.trial.unittest import SynchronousTestCase

from jabberd_tx.base.flush import listen_tcp
from jabberd_tx.base.metrics import Metrics
from jabberd_tx.base.polls import TurnPolls
from jabberd_tx.base.turn import MOST_CALLS, Turn
from jabberd_tx.base.turn_clock import TurnClock


class Readable:
    """A socket that always has something to read."""

    def __init__(self, read: Callable[[], Any]) -> None:
        self.mine, self.other = socket.socketpair()
        self.other.send(b'x')
        self.doRead = read
        self.fileno = self.mine.fileno
        self.lost: list[object] = []

    def connectionLost(self, reason: object) -> None:
        self.lost.append(reason)

    def logPrefix(self) -> str:
        return ''

    def close(self) -> None:
        self.mine.close()
        self.other.close()


class PollsCase(SynchronousTestCase):
    def setUp(self) -> None:
        # A reactor of its own, never installed: the installed one belongs to the tests' runner.
        self.reactor = EPollReactor()
        self.addCleanup(self.close)
        self.turn = Turn(self.reactor)
        self.polls = TurnPolls(self.reactor, self.turn)
        self.seen: list[object] = []
        self.readables: list[Readable] = []

    def close(self) -> None:
        self.reactor.removeAll()
        self.reactor._poller.close()
        for readable in self.readables:
            readable.close()

    def add(self, read: Callable[[], Any]) -> Readable:
        readable = Readable(read)
        self.readables.append(readable)
        self.reactor.addReader(readable)
        return readable

    def timers(self) -> int:
        return len(self.reactor.getDelayedCalls())


class StartTests(PollsCase):
    def test_another_reactor_stays_as_it_is(self) -> None:
        """And turns end with a delayed call."""
        reactor = SelectReactor()
        self.addCleanup(reactor.removeAll)
        before = reactor.doIteration
        turn = Turn(reactor)
        self.assertFalse(TurnPolls(reactor, turn).start())
        self.assertEqual(reactor.doIteration, before)
        turn.later(self.seen.append, 1)
        self.assertEqual(len(reactor.getDelayedCalls()), 1)

    def test_polls_that_somebody_else_makes_stay_as_they_are(self) -> None:
        TurnClock(Metrics()).start(self.reactor)
        before = self.reactor.doIteration
        self.assertFalse(self.polls.start())
        self.assertEqual(self.reactor.doIteration, before)

    def test_stop_gives_them_back(self) -> None:
        """What waits for the end of the turn is done by a delayed call then."""
        before = self.reactor.doIteration
        self.assertTrue(self.polls.start())
        self.turn.later(self.seen.append, 1)
        self.assertEqual(self.timers(), 0)
        self.polls.stop()
        self.assertEqual(self.reactor.doIteration, before)
        self.reactor.runUntilCurrent()
        self.assertEqual(self.seen, [1])


class TurnEndTests(PollsCase):
    def setUp(self) -> None:
        super().setUp()
        self.polls.start()

    def test_the_turn_ends_after_all_reads_and_without_a_timer(self) -> None:
        for name in 'ab':
            self.add(lambda name=name: (self.seen.append(name), self.turn.later(self.seen.append, 'end')) and None)
        self.reactor.doIteration(0)
        self.assertEqual(sorted(self.seen[:2]), ['a', 'b'])
        self.assertEqual(self.seen[2:], ['end', 'end'])
        self.assertEqual(self.timers(), 0)

    def test_what_a_timer_put_off_is_done_before_the_next_wait(self) -> None:
        """With the timers that it sets in turn: the wait, which was to be for ever, ends with them."""
        self.turn.later(lambda: self.reactor.callLater(0.01, self.seen.append, 1))
        self.reactor.doIteration(None)
        self.reactor.runUntilCurrent()
        self.assertEqual(self.seen, [1])

    def test_an_end_without_end_lets_the_reactor_poll(self) -> None:
        def again() -> None:
            self.seen.append('call')
            self.turn.later(again)

        self.turn.later(again)
        self.add(lambda: self.seen.append('read'))
        self.reactor.doIteration(None)
        self.reactor.doIteration(None)
        reads = [at for at, what in enumerate(self.seen) if what == 'read']
        self.assertEqual(reads, [MOST_CALLS, 2 * MOST_CALLS + 1])

    def test_a_read_that_fails_loses_its_connection_and_no_other(self) -> None:
        bad = self.add(lambda: 1 / 0)
        self.add(lambda: self.seen.append('good'))
        self.reactor.doIteration(0)
        self.assertEqual((len(bad.lost), self.seen), (1, ['good']))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class WithConnections(SynchronousTestCase):
    def test_a_connection_is_served_from_its_beginning_to_its_end(self) -> None:
        """On a reactor that runs, with the clock on top: what is written in a turn is sent, and the loss is seen."""
        reactor = EPollReactor()
        turn = Turn(reactor)
        polls = TurnPolls(reactor, turn)
        self.assertTrue(polls.start())
        clock = TurnClock(Metrics())
        clock.start(reactor)
        done: Deferred[None] = Deferred()

        class Echo(Protocol):
            def dataReceived(self, data: bytes) -> None:
                self.transport.write(data)

            def connectionLost(self, reason: object = None) -> None:
                done.callback(None)

        port = listen_tcp(reactor, turn, 0, Factory.forProtocol(Echo), '127.0.0.1')
        heard: list[bytes] = []
        client = socket.create_connection(('127.0.0.1', port.getHost().port))
        client.setblocking(False)

        def talk(left: int) -> None:
            try:
                heard.append(client.recv(100))
            except BlockingIOError:
                reactor.callLater(0.001, talk, left)
                return
            if left:
                client.send(b'more')
                reactor.callLater(0, talk, left - 1)
            else:
                client.close()

        client.send(b'first')
        reactor.callLater(0, talk, 5)
        reactor.callLater(10, done.callback, None)
        done.addCallback(lambda _: reactor.callLater(0, reactor.crash))
        reactor.startRunning(installSignalHandlers=False)
        reactor.mainLoop()
        self.assertEqual(heard, [b'first'] + [b'more'] * 5)
        reactor.removeAll()
        reactor._poller.close()


class StandstillTests(PollsCase):
    """What takes longer than it should have by a clock of ours."""

    def setUp(self) -> None:
        super().setUp()
        self.time = 100.0
        self.polls = TurnPolls(self.reactor, self.turn, lambda: self.time)
        self.polls.start()
        self.polls.watch(3.0, lambda seconds: self.seen.append(seconds))

    def pass_time(self, seconds: float) -> None:
        self.time += seconds

    def test_it_is_told_before_anything_that_has_come_is_looked_at(self) -> None:
        """And with how long it was."""
        self.add(lambda: self.seen.append('read'))
        self.pass_time(7.0)
        self.reactor.doIteration(0)
        self.assertEqual(self.seen, [7.0, 'read'])

    def test_a_turn_that_takes_as_long_is_a_standstill_too(self) -> None:
        self.add(lambda: self.pass_time(3.5))
        self.reactor.doIteration(0)
        self.assertEqual(self.seen, [])
        self.reactor.doIteration(0)
        self.assertEqual(self.seen, [3.5])

    def test_what_was_waited_for_is_none(self) -> None:
        """Nor is a wait without end, or one of less than the limit."""
        readable = self.add(lambda: None)
        for timeout, passed in ((None, 1000.0), (0, 2.9), (5.0, 7.9)):
            self.pass_time(passed)
            self.reactor.doIteration(timeout)
        self.assertEqual(self.seen, [])
        self.reactor.removeReader(readable)
