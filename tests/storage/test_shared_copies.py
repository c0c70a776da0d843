"""The copies in Redis: a real server."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from jabberd_tx.base.turn import Turn
from jabberd_tx.storage.copies import scripts
from jabberd_tx.storage.copies.shared import SharedCopies
from jabberd_tx.storage.redis.master import RedisMaster
from jabberd_tx.storage.redis.places import fixed
from jabberd_tx.testing.copies_conformance import ONE, STREAM, CopiesConformance
from jabberd_tx.testing.redis_server import RedisServer

pytestmark = pytest.mark.system

OPTIONS = SimpleNamespace(prefix='t:', database=0, password='', timeout=2.0, patience=5.0, announcing=0.0)


class _Redis:
    """One server for all tests of the file."""

    server: RedisServer
    folder: Path


def setUpModule() -> None:
    _Redis.folder = Path(tempfile.mkdtemp())
    _Redis.server = RedisServer(_Redis.folder)
    _Redis.server.start()


def tearDownModule() -> None:
    _Redis.server.kill()
    shutil.rmtree(_Redis.folder)


class SharedCopiesTests(CopiesConformance, TestCase):
    """All that a store of copies must do, and what goes wrong with Redis."""

    async def make_copies(self) -> SharedCopies:
        _Redis.server.command('FLUSHALL')
        place = fixed(reactor, _Redis.server.address)
        self.master = RedisMaster('redis', place, reactor, Turn(reactor), OPTIONS, scripts.ALL)
        self.master.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.master.stop()))
        return SharedCopies([self.master])

    async def pass_time(self, seconds: float) -> None:
        await deferLater(reactor, seconds)

    async def test_a_lost_connection_adds_nothing_twice(self) -> None:
        """What was asked is asked again, whether it had been done or not."""
        for number in range(1, 51):
            adding = self.copies.append(ONE, number, b'%d' % number, 1)
            if not number % 10:
                _Redis.server.command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
            await adding
        self.assertEqual(await self.copies.read(ONE), [b'%d' % number for number in range(1, 51)])

    async def test_after_a_loss_all_is_to_be_copied_anew(self) -> None:
        """Whoever appends next is told before, and what is appended stands alone."""
        told: list[int] = []
        self.copies.on_renewed(lambda: told.append(1))
        await self.copies.append(ONE, 7, b'before', 1)
        await self.copies.claim(ONE, STREAM, 'a')
        _Redis.server.command('FLUSHALL')
        await self.copies.append(ONE, 8, b'after', 7)
        self.assertEqual(told, [1])
        self.assertEqual(await self.copies.read(ONE), [b'after'])
        self.assertEqual(await self.copies.claims(ONE), {})
