"""The copies that other tests have in memory do what those in Redis do."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from jabberd_tx.testing.copies_conformance import CopiesConformance
from jabberd_tx.testing.memory_copies import MemoryCopies


class MemoryCopiesTests(CopiesConformance, TestCase):
    """All of it."""

    async def make_copies(self) -> MemoryCopies:
        self.clock = Clock()
        return MemoryCopies(self.clock)

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
