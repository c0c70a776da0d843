"""The CPU time of the reactor's turns."""

from __future__ import annotations

import time

from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from jabberd_tx.base.metrics import Metrics
from jabberd_tx.base.turn_clock import TurnClock


class TurnClockTests(SynchronousTestCase):
    def setUp(self):
        self.metrics = Metrics()
        self.seconds = 0.0
        self.clock = TurnClock(self.metrics, lambda: self.seconds)

    def tick(self, seconds):
        self.seconds += seconds
        self.clock.tick()

    def test_the_turn_before_the_first_tick_does_not_count(self):
        self.tick(5)
        self.assertEqual((self.clock.longest, self.metrics.value('jabberd_turn_cpu_seconds')), (0, 0))

    def test_each_turn_is_counted_and_the_longest_kept(self):
        for seconds in (1, 0.002, 0.03, 0.001):
            self.tick(seconds)
        self.assertAlmostEqual(self.clock.longest, 0.03)
        self.assertEqual(self.metrics.value('jabberd_turn_cpu_seconds'), 3)
        self.assertAlmostEqual(self.metrics.value('jabberd_turn_cpu_longest_seconds'), 0.03)

    def test_what_was_before_the_start_is_forgotten(self):
        for seconds in (0, 0.3):
            self.tick(seconds)
        self.clock.forget()
        for seconds in (0.2, 0.001):
            self.tick(seconds)
        self.assertAlmostEqual(self.clock.longest, 0.001)

    def test_a_reactor_without_turns_is_left_alone(self):
        self.assertFalse(self.clock.start(Clock()))


class WithARealReactor(SynchronousTestCase):
    def setUp(self):
        # A reactor of its own, never installed: the installed one belongs to the tests' runner.
        self.reactor = EPollReactor()
        self.addCleanup(self.close)

    def close(self):
        self.reactor.removeAll()
        self.reactor._poller.close()

    def run_with(self, work) -> TurnClock:
        """Run the reactor until `work` was called in a turn of its own."""
        clock = TurnClock(Metrics())
        self.assertTrue(clock.start(self.reactor))
        done = Deferred()

        def turn():
            work()
            self.reactor.callLater(0, done.callback, None)

        self.reactor.callLater(0.01, turn)
        done.addCallback(lambda _: self.reactor.callLater(0, self.reactor.crash))
        self.reactor.startRunning(installSignalHandlers=False)
        self.reactor.mainLoop()
        return clock

    def test_after_stop_the_reactor_is_as_it_was(self):
        before = self.reactor.doIteration
        one, other = TurnClock(Metrics()), TurnClock(Metrics())
        one.start(self.reactor)
        other.start(self.reactor)
        one.stop()
        other.stop()
        self.assertNotEqual(self.reactor.doIteration, before)
        one.stop()
        self.assertEqual(self.reactor.doIteration, before)

    def test_a_turn_that_computes_is_seen(self):
        def compute():
            end = time.thread_time() + 0.05
            while time.thread_time() < end:
                pass

        self.assertGreater(self.run_with(compute).longest, 0.049)

    def test_a_turn_that_sleeps_takes_no_cpu_time(self):
        self.assertLess(self.run_with(lambda: time.sleep(0.1)).longest, 0.05)
