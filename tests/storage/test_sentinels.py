"""A master that fails over to a replica, as real Sentinels have it."""

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
from jabberd_tx.storage.redis.master import RedisMaster
from jabberd_tx.storage.redis.places import SentinelPlace
from jabberd_tx.storage.redis.tracking import NearCache
from jabberd_tx.storage.sessions import scripts
from jabberd_tx.storage.sessions.shared import SharedSessions
from jabberd_tx.testing.redis_server import RedisServer
from jabberd_tx.testing.sessions_conformance import JULIET, session

pytestmark = pytest.mark.system

OPTIONS = SimpleNamespace(prefix='t:', database=0, password='', timeout=1.0, patience=20.0, announcing=0.2, cached=1000)


class SentinelTests(TestCase):
    timeout = 60

    async def setUp(self) -> None:  # type: ignore[override]
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        self.master = RedisServer(folder / 'master')
        self.replica = RedisServer(folder / 'replica', '--replicaof', f'127.0.0.1 {self.master.port}')
        self.sentinels = [
            RedisServer(
                folder / f'sentinel-{number}',
                sentinel=[
                    f'sentinel monitor sessions 127.0.0.1 {self.master.port} 2',
                    'sentinel down-after-milliseconds sessions 300',
                    'sentinel failover-timeout sessions 2000',
                ],
            )
            for number in range(3)
        ]
        for server in (self.master, self.replica, *self.sentinels):
            server.start()
            self.addCleanup(server.kill)
        turn = Turn(reactor)
        addresses = [('127.0.0.1', sentinel.port) for sentinel in self.sentinels]
        place = SentinelPlace(reactor, turn, addresses, 'sessions')
        self.redis = RedisMaster('sessions', place, reactor, turn, OPTIONS, scripts.ALL)
        self.cache = NearCache(self.redis, place, reactor, turn, OPTIONS)
        self.store = SharedSessions([(self.redis, self.cache)])
        self.redis.start()
        self.cache.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.redis.stop()))
        self.addCleanup(lambda: Deferred.fromCoroutine(self.cache.stop()))

    async def test_the_replica_takes_over_with_nothing_that_counts(self) -> None:
        """What the replica has may be old: it is another generation, and only what is announced again is in it."""
        await self.store.open(session('a', 1), False)
        await self.store.open(session('b', 2), False)
        before = self.redis.generation
        while b'slave0:' not in self.master.command('INFO', 'replication'):
            await deferLater(reactor, 0.05)
        known = b'num-other-sentinels\r\n$1\r\n2'
        while not all(known in one.command('SENTINEL', 'MASTERS') for one in self.sentinels):
            await deferLater(reactor, 0.05)
        self.master.kill()
        self.assertIsNone(await self.store.open(session('a', 1, epoch=1), False))
        self.assertNotEqual(self.redis.generation, before)
        self.assertEqual([one.jid for one in await self.store.fetch(JULIET)], [JULIET + '/a'])
        self.assertIn(b'role:master', self.replica.command('INFO', 'replication'))
        while not self.cache.tracking:
            await deferLater(reactor, 0.05)
        await self.store.fetch(JULIET)
        self.assertEqual(len(self.store.peek(JULIET) or ()), 1)
