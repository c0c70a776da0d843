"""The end of the reactor's turn."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet import selectreactor
from twisted.trial.unittest import SynchronousTestCase

from jabberd_tx.base.turn import MOST_CALLS, Turn


class Rounds:
    """Calls as a reactor makes them that has no time to pass: those that are due when a turn starts, no others."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def callLater(self, delay: float, call: Callable[[], None]) -> None:
        assert delay == 0
        self.calls.append(call)

    def turn(self) -> None:
        due, self.calls = self.calls, []
        for call in due:
            call()


class TurnTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.rounds = Rounds()
        self.turn = Turn(self.rounds)  # type: ignore[arg-type]
        self.seen: list[object] = []

    def test_nothing_runs_before_the_end_of_the_turn(self) -> None:
        self.turn.later(self.seen.append, 1)
        self.turn.at_end(lambda: self.seen.append('flush'))
        self.assertEqual(self.seen, [])
        self.rounds.turn()
        self.assertEqual(self.seen, [1, 'flush'])

    def test_calls_run_in_order_and_flushes_after_all_of_them(self) -> None:
        """Also after those that were asked for by calls."""
        self.turn.at_end(lambda: self.seen.append('flush'))
        self.turn.later(lambda: self.turn.later(self.seen.append, 3))
        self.turn.later(self.seen.append, 1)
        self.turn.later(self.seen.append, 2)
        self.rounds.turn()
        self.assertEqual(self.seen, [1, 2, 3, 'flush'])

    def test_each_thing_runs_once(self) -> None:
        self.turn.later(self.seen.append, 1)
        self.turn.at_end(lambda: self.seen.append('flush'))
        self.rounds.turn()
        self.turn.later(self.seen.append, 2)
        self.rounds.turn()
        self.rounds.turn()
        self.assertEqual(self.seen, [1, 'flush', 2])
        self.assertEqual(self.rounds.calls, [])

    def test_one_delayed_call_a_turn(self) -> None:
        """The reactor's timers are not filled with one for each call."""
        for number in range(10):
            self.turn.later(self.seen.append, number)
            self.turn.at_end(lambda: None)
        self.assertEqual(len(self.rounds.calls), 1)

    def test_a_call_that_fails_stops_no_other(self) -> None:
        self.turn.later(lambda: 1 / 0)
        self.turn.later(self.seen.append, 1)
        self.turn.at_end(lambda: [][0])
        self.turn.at_end(lambda: self.seen.append('flush'))
        self.rounds.turn()
        self.assertEqual(self.seen, [1, 'flush'])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(len(self.flushLoggedErrors(IndexError)), 1)

    def test_calls_without_end_let_the_reactor_poll(self) -> None:
        """A call that always asks for another one is stopped after so many; flushes run, the rest goes on next turn."""

        def again() -> None:
            self.seen.append(1)
            self.turn.later(again)

        self.turn.later(again)
        self.turn.at_end(lambda: self.seen.append('flush'))
        self.rounds.turn()
        self.assertEqual(self.seen, [1] * MOST_CALLS + ['flush'])
        self.rounds.turn()
        self.assertEqual(len(self.seen), 2 * MOST_CALLS + 1)

    def test_a_flush_may_ask_for_one_more(self) -> None:
        """What a link's flush writes leaves in the same turn; a third round waits for the next one."""
        self.turn.at_end(lambda: self.turn.at_end(lambda: self.turn.at_end(lambda: self.seen.append('third'))))
        self.turn.at_end(lambda: self.turn.at_end(lambda: self.seen.append('second')))
        self.rounds.turn()
        self.assertEqual(self.seen, ['second'])
        self.rounds.turn()
        self.assertEqual(self.seen, ['second', 'third'])

    def test_calls_that_a_flush_asks_for_run_next_turn(self) -> None:
        self.turn.at_end(lambda: self.turn.later(self.seen.append, 1))
        self.rounds.turn()
        self.assertEqual(self.seen, [])
        self.rounds.turn()
        self.assertEqual(self.seen, [1])

    def test_the_end_comes_before_the_next_poll(self) -> None:
        """On a real reactor: what is asked for while it handles reads runs before it polls again."""
        reactor = selectreactor.SelectReactor()
        polls: list[int] = []
        poll = reactor.doIteration

        def do_iteration(timeout: float) -> None:
            polls.append(1)
            poll(0)
            if len(polls) == 1:  # as a read of this poll would
                turn.later(lambda: self.seen.append(len(polls)))

        reactor.doIteration = do_iteration
        turn = Turn(reactor)
        reactor.callLater(0.2, reactor.stop)
        reactor.run(installSignalHandlers=False)
        self.assertEqual(self.seen, [1])
