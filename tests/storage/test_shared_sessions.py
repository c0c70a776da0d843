"""The session store in Redis: a real server."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from jabberd_tx.base.turn import Turn
from jabberd_tx.storage.redis.master import RedisMaster, RedisUnavailable
from jabberd_tx.storage.redis.places import fixed
from jabberd_tx.storage.redis.tracking import NearCache
from jabberd_tx.storage.sessions import scripts
from jabberd_tx.storage.sessions.interface import Session
from jabberd_tx.storage.sessions.shared import SharedSessions
from jabberd_tx.testing.redis_server import RedisServer
from jabberd_tx.testing.sessions_conformance import JULIET, SessionsConformance, session

pytestmark = pytest.mark.system

OPTIONS = SimpleNamespace(prefix='t:', database=0, password='', timeout=2.0, patience=5.0, announcing=0.0, cached=1000)


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


async def eventually(holds: Any) -> None:
    """Until it does; a second at most."""
    for _ in range(500):
        if holds():
            return
        await deferLater(reactor, 0.002)
    raise AssertionError('it never came to be')


class _Sm:
    """What one session manager has."""

    def __init__(self, turn: Turn, options: Any = OPTIONS) -> None:
        place = fixed(reactor, _Redis.server.address)
        self.master = RedisMaster('redis', place, reactor, turn, options, scripts.ALL)
        self.cache = NearCache(self.master, place, reactor, turn, options)
        self.store = SharedSessions([(self.master, self.cache)])

    async def start(self) -> None:
        self.master.start()
        self.cache.start()
        await eventually(lambda: self.cache.tracking)

    async def stop(self) -> None:
        await self.cache.stop()
        await self.master.stop()


class SharedSessionsTests(SessionsConformance, TestCase):
    """All that a session store must do."""

    async def make_sessions(self) -> SharedSessions:
        _Redis.server.command('FLUSHALL')
        self.sm = _Sm(Turn(reactor))
        await self.sm.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.sm.stop()))
        return self.sm.store

    def advance(self, seconds: float) -> None:
        """What is noted for a time is given so much less of it."""
        script = (
            "for _, key in ipairs(redis.call('KEYS', 't:[cr]:*')) do "
            "if key:sub(3, 3) == 'r' then for _, stream in ipairs(redis.call('ZRANGE', key, 0, -1)) do "
            "redis.call('ZINCRBY', key, -ARGV[1], stream) end end "
            "redis.call('PEXPIRE', key, redis.call('PTTL', key) - ARGV[1]) end return 1"
        )
        assert _Redis.server.command('EVAL', script, '0', str(int(seconds * 1000))).startswith(b':1')


class SeveralSmsTests(TestCase):
    """Two session managers over one Redis, and what goes wrong with it."""

    async def setUp(self) -> None:  # type: ignore[override]
        _Redis.server.command('FLUSHALL')
        turn = Turn(reactor)
        self.one, self.two = _Sm(turn), _Sm(turn)
        for sm in (self.one, self.two):
            await sm.start()
            self.addCleanup(lambda sm=sm: Deferred.fromCoroutine(sm.stop()))

    async def opened(self, resource: str = 'a', stream: int = 1) -> Session:
        """A session, opened by one and known to both."""
        new = session(resource, stream)
        await self.one.store.open(new, False)
        await self.two.store.fetch(JULIET)
        assert self.two.store.peek(JULIET)
        return new

    async def test_what_one_changes_the_other_forgets(self) -> None:
        """And reads anew; who changes it knows it at once."""
        new = await self.opened()
        await self.one.store.update(new.stream, JULIET, 0, priority=5)
        self.assertEqual([known.priority for known in self.one.store.peek(JULIET) or ()], [5])
        await eventually(lambda: self.two.store.peek(JULIET) is None)
        self.assertEqual([known.priority for known in await self.two.store.fetch(JULIET)], [5])

    async def test_that_nobody_is_online_is_never_told_from_the_cache(self) -> None:
        """None, whatever was read before."""
        new = await self.opened()
        await self.one.store.close(new.stream, JULIET, 0)
        await eventually(lambda: self.two.store.peek(JULIET) is None)
        self.assertEqual(list(await self.two.store.fetch(JULIET)), [])
        self.assertIsNone(self.two.store.peek(JULIET))
        self.assertIsNone(self.one.store.peek(JULIET))

    async def test_a_change_between_question_and_reply_is_not_remembered(self) -> None:
        """What is read while somebody writes may be old by the time it comes."""
        new = await self.opened()
        for number in range(50):
            reading = self.two.store.fetch(JULIET)
            await self.one.store.update(new.stream, JULIET, 0, priority=number)
            await reading
            await eventually(lambda: {one.priority for one in self.two.store.peek(JULIET) or ()} <= {number})  # noqa: B023

    async def test_without_word_of_changes_nothing_is_remembered(self) -> None:
        """The connection that tells of changes is cut: all is read from Redis until it is back."""
        await self.opened()
        _Redis.server.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
        await eventually(lambda: not self.two.cache.tracking)
        self.assertIsNone(self.two.store.peek(JULIET))
        self.assertEqual(len(await self.two.store.fetch(JULIET)), 1)
        self.assertIsNone(self.two.store.peek(JULIET))
        await eventually(lambda: self.two.cache.tracking)
        await self.two.store.fetch(JULIET)
        self.assertEqual(len(self.two.store.peek(JULIET) or ()), 1)

    async def test_a_lost_connection_is_made_again_and_the_question_asked_again(self) -> None:
        """Nobody who asks notices."""
        await self.opened()
        writing = [self.one.store.open(session(str(number), 10 + number), False) for number in range(20)]
        _Redis.server.command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
        for one in writing:
            self.assertIsNone(await one)
        self.assertEqual(len(await self.two.store.fetch(JULIET)), 21)

    async def test_after_everything_was_deleted_absence_waits_until_all_is_announced(self) -> None:
        """Both notice, say so, and wait; what is announced meanwhile is there."""
        new = await self.opened()
        for sm in (self.one, self.two):
            sm.master._options = SimpleNamespace(**{**vars(OPTIONS), 'announcing': 0.3})
        told = []
        self.one.master.on_renewed(lambda: told.append(1))
        self.two.master.on_renewed(lambda: told.append(2))
        _Redis.server.command('FLUSHALL')
        await eventually(lambda: sorted(told) == [1, 2])
        asked = self.two.store.fetch(JULIET)
        nobody = self.two.store.fetch('nobody@example.net')
        await self.one.store.open(new, False)
        self.assertFalse(asked.called or nobody.called)
        self.assertEqual([known.jid for known in await asked], [new.jid])
        self.assertEqual(list(await nobody), [])

    async def test_while_redis_is_away_questions_wait(self) -> None:
        """Killed with all that it held, and started again on the same port: another generation."""
        await self.opened()
        before = self.one.master.generation
        _Redis.server.kill()
        asked = [self.one.store.fetch(JULIET), self.two.store.open(session('b', 2), False)]
        await deferLater(reactor, 0.05)
        self.assertFalse(any(one.called for one in asked))
        _Redis.server.start()
        self.assertEqual(await asked[1], None)
        await asked[0]
        self.assertNotEqual(self.one.master.generation, before)
        self.assertEqual([known.jid for known in await self.one.store.fetch(JULIET)], [JULIET + '/b'])

    async def test_a_redis_that_stays_away_fails_who_asked_in_time(self) -> None:
        """RedisUnavailable after the patience that is configured, and everything is as before when it is back."""
        self.one.master._options = SimpleNamespace(**{**vars(OPTIONS), 'patience': 0.1})
        _Redis.server.kill()
        await self.assertFailure(self.one.store.fetch(JULIET), RedisUnavailable)
        _Redis.server.start()
        await eventually(lambda: self.one.master.connection is not None and self.two.master.connection is not None)
        self.assertIsNone(await self.one.store.open(session('c', 3), False))
