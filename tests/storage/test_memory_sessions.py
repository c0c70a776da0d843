"""The session store in memory."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from jabberd_tx.storage.sessions.interface import SessionStore
from jabberd_tx.storage.sessions.memory import SWEEP_AT, MemorySessions
from jabberd_tx.testing.sessions_conformance import JULIET, SessionsConformance, session


class MemorySessionsTests(SessionsConformance, TestCase):
    """The suite for every session store, and what is promised of this one."""

    async def make_sessions(self) -> SessionStore:
        self.clock = Clock()
        return MemorySessions(self.clock)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def test_all_is_answered_at_once(self) -> None:
        """peek always knows, and each Deferred has fired when it is returned."""
        self.assertEqual(self.store.peek(JULIET), ())
        opened = session('a', 1)
        self.assertIsNone(self.successResultOf(self.store.open(opened, False)))
        self.assertEqual(self.store.peek(JULIET), (opened,))
        updated = self.successResultOf(self.store.update(opened.stream, JULIET, 0, priority=1))
        self.assertEqual(self.store.peek(JULIET), (updated,))
        self.assertEqual(self.successResultOf(self.store.fetch(JULIET)), (updated,))
        self.assertEqual(self.successResultOf(self.store.close(opened.stream, JULIET, 0)), updated)
        self.assertEqual(self.successResultOf(self.store.claim(JULIET, 'flush', 'one', 1)), 'one')

    async def test_claims_that_ran_out_take_no_room(self) -> None:
        """Claims that nobody released are gone once others come; those that stand stay."""
        for number in range(SWEEP_AT - 1):
            await self.store.claim(f'user{number}@example.net', 'flush', 'one', 5)
        await self.store.claim(JULIET, 'flush', 'one', 50)
        self.clock.advance(10)
        await self.store.claim('romeo@example.net', 'flush', 'one', 5)
        assert isinstance(self.store, MemorySessions)
        self.assertEqual(len(self.store._claims), 2)
        self.assertEqual(await self.store.claim(JULIET, 'flush', 'two', 5), 'one')

    async def test_returns_that_never_came_take_no_room(self) -> None:
        """They are forgotten once others are expected; those whose time is not over stay."""
        assert isinstance(self.store, MemorySessions)
        for number in range(SWEEP_AT - 1):
            await self.store.expect_returns(f'user{number}@example.net', b's' * 16, 5)
        await self.store.expect_returns(JULIET, b's' * 16, 50)
        self.clock.advance(10)
        await self.store.expect_returns('romeo@example.net', b's' * 16, 5)
        self.assertEqual(len(self.store._returns), 2)
        self.assertIs(await self.store.returns_expected(JULIET), True)
