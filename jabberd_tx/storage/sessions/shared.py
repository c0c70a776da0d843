"""The session store that several session managers share: Redis, and a near cache of who is online.

A user is on one of the masters, by the slot of the bare JID.  That somebody is *not* online is never told from the
cache, and never while a master that has lost what it held waits for all sessions to be announced again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from jabberd_tx.base.hashing import hash64
from jabberd_tx.storage.redis.connection import Command
from jabberd_tx.storage.redis.master import RedisMaster
from jabberd_tx.storage.redis.tracking import NearCache
from jabberd_tx.storage.sessions import scripts
from jabberd_tx.storage.sessions.interface import Session, StaleEpoch
from jabberd_tx.storage.sessions.marks import SharedMarks
from jabberd_tx.storage.sessions.record import directed_fields, fields, said, sessions_of

# Users whose sessions are read in one write to a master.
MOST_TOGETHER = 500


class SharedSessions:
    """Implements SessionStore.  RedisUnavailable from whatever could not be asked in time."""

    def __init__(self, masters: Sequence[tuple[RedisMaster, NearCache]]) -> None:
        """In the order of the configuration, which all processes must have alike."""
        self._masters = tuple(masters)
        marks = SharedMarks(lambda bare: self._of(bare)[0])
        self.claim, self.release = marks.claim, marks.release
        self.expect_returns, self.returned = marks.expect_returns, marks.returned
        self.returns_expected = marks.returns_expected

    # ---- asking

    def peek(self, bare: str) -> Sequence[Session] | None:
        """What the cache knows; never an empty answer."""
        master, cache = self._of(bare)
        found: Sequence[Session] | None = cache.get(_user_key(master, bare))
        return found

    def fetch(self, bare: str) -> Deferred[Sequence[Session]]:
        """From Redis itself."""
        return Deferred.fromCoroutine(self._fetch(bare))

    async def _fetch(self, bare: str) -> Sequence[Session]:
        return (await self._fetch_some(self._of(bare), [bare])).get(bare, ())

    def fetch_many(self, bares: Iterable[str]) -> Deferred[dict[str, Sequence[Session]]]:
        """Those of the users that have any, each master asked once for each MOST_TOGETHER of them."""
        return Deferred.fromCoroutine(self._fetch_many(bares))

    async def _fetch_many(self, bares: Iterable[str]) -> dict[str, Sequence[Session]]:
        of_master: dict[int, list[str]] = {}
        for bare in bares:
            of_master.setdefault(self._number(bare), []).append(bare)
        found: dict[str, Sequence[Session]] = {}
        asked = [
            Deferred.fromCoroutine(self._fetch_some(self._masters[number], some[at : at + MOST_TOGETHER]))
            for number, some in of_master.items()
            for at in range(0, len(some), MOST_TOGETHER)
        ]
        for part in await gatherResults(asked, consumeErrors=True):
            found.update(part)
        return found

    async def _fetch_some(
        self, of: tuple[RedisMaster, NearCache], bares: Sequence[str]
    ) -> dict[str, Sequence[Session]]:
        master, cache = of
        while True:
            generation, found = await self._read(master, cache, bares)
            if len(found) == len(bares) or (master.is_complete and generation == master.generation):
                return found
            # Nobody may be taken for offline just because the session has not been announced again yet.
            master.doubt(generation)
            await master.complete()

    async def _read(
        self, master: RedisMaster, cache: NearCache, bares: Sequence[str]
    ) -> tuple[bytes, dict[str, Sequence[Session]]]:
        """The generation that the master is in, and who of these has sessions."""
        keys = [_user_key(master, bare) for bare in bares]
        marks: list[object | None] = []

        def make(generation: bytes) -> list[Command]:
            marks[:] = [cache.asking(key) for key in keys]
            return [(b'GET', master.generation_key), *[(b'HGETALL', key) for key in keys]]

        generation, *replies = await master.run(make)
        found: dict[str, Sequence[Session]] = {}
        for bare, key, mark, flat in zip(bares, keys, marks, replies, strict=True):
            sessions = sessions_of(bare, flat)
            cache.learn(key, mark, sessions or None)
            if sessions:
                found[bare] = sessions
        return generation, found

    def of_node(self, node: str, incarnation: bytes) -> Deferred[Sequence[Session]]:
        """All sessions that this start of a c2s node holds, of all masters."""
        return Deferred.fromCoroutine(self._of_node(node, incarnation))

    async def _of_node(self, node: str, incarnation: bytes) -> Sequence[Session]:
        users: dict[str, None] = {}
        for master, _ in self._masters:
            key = _node_keys(master) + node.encode() + b'\0' + incarnation
            (members,) = await master.run(partial(_members, key))
            users.update(dict.fromkeys([member[16:].decode() for member in members]))
        return [
            session
            for sessions in (await self._fetch_many(users)).values()
            for session in sessions
            if (session.node, session.incarnation) == (node, incarnation)
        ]

    def nodes(self) -> Deferred[Sequence[tuple[str, bytes]]]:
        """Every start of a c2s node that holds sessions, of all masters."""
        return Deferred.fromCoroutine(self._nodes())

    async def _nodes(self) -> Sequence[tuple[str, bytes]]:
        found: dict[tuple[str, bytes], None] = {}
        for master, _ in self._masters:
            (members,) = await master.run(partial(_members, _node_keys(master)))
            for member in members:
                name, _, incarnation = member.partition(b'\0')
                found[name.decode(), incarnation] = None
        return list(found)

    def on_renewed(self, call: Callable[[], None]) -> None:
        """See SessionStore."""
        for master, _ in self._masters:
            master.on_renewed(call)

    def count(self) -> int:
        """Sessions in the cache."""
        return sum(len(sessions) for _, cache in self._masters for sessions in cache.values())

    # ---- changing

    def open(self, session: Session, replace: bool) -> Deferred[Session | None]:
        """See SessionStore."""
        return Deferred.fromCoroutine(self._open(session, replace))

    async def _open(self, session: Session, replace: bool) -> Session | None:
        details = (
            b'%d' % session.epoch, session.jid.encode(), session.node.encode(), session.incarnation,
            b'%d' % replace, b'%d' % bool(session.directed), *said(session),
        )  # fmt: skip
        gone, _ = await self._change(session.bare, scripts.OPEN, session.stream, details)
        if gone == scripts.STALE:
            raise StaleEpoch(session.jid)
        return sessions_of(session.bare, gone)[0] if gone else None

    def update(self, stream: bytes, bare: str, epoch: int, **changes: Any) -> Deferred[Session]:
        """See SessionStore.  ValueError for another jid, AttributeError for what a session has not."""
        return Deferred.fromCoroutine(self._update(stream, bare, epoch, changes))

    async def _update(self, stream: bytes, bare: str, epoch: int, changes: dict[str, Any]) -> Session:
        if 'jid' in changes:
            raise ValueError('a session keeps its jid')
        present, absent = fields(stream, changes)
        return await self._set(stream, bare, epoch, present, absent)

    def direct(
        self, stream: bytes, bare: str, epoch: int, add: Iterable[str] = (), drop: Iterable[str] = ()
    ) -> Deferred[Session]:
        """See SessionStore."""
        added = directed_fields(stream, add)
        present = [part for field in added for part in (field, b'')]
        absent = [field for field in directed_fields(stream, drop) if field not in added]
        return Deferred.fromCoroutine(self._set(stream, bare, epoch, present, absent))

    async def _set(self, stream: bytes, bare: str, epoch: int, present: list[bytes], absent: list[bytes]) -> Session:
        details = (b'%d' % epoch, b'%d' % (len(present) // 2), *present, *absent)
        outcome, after = await self._change(bare, scripts.CHANGE, stream, details)
        for session in after:
            if session.stream == stream and outcome != scripts.STALE:
                return session
        raise StaleEpoch(bare)

    def close(self, stream: bytes, bare: str, epoch: int) -> Deferred[Session | None]:
        """See SessionStore."""
        return Deferred.fromCoroutine(self._close(stream, bare, epoch))

    async def _close(self, stream: bytes, bare: str, epoch: int) -> Session | None:
        gone, _ = await self._change(bare, scripts.CLOSE, stream, (b'%d' % epoch,))
        return None if gone == scripts.STALE else sessions_of(bare, gone)[0]

    async def _change(
        self, bare: str, script: Callable[..., Command], stream: bytes, details: Sequence[bytes]
    ) -> tuple[Any, Sequence[Session]]:
        """What the script answers, and the user's sessions after it."""
        master, cache = self._of(bare)
        key = _user_key(master, bare)
        marks: list[object | None] = [None]

        def make(generation: bytes) -> list[Command]:
            cache.forget(key)
            marks[0] = cache.asking(key)
            run = script(master.generation_key, key, generation, _node_keys(master), stream, bare.encode(), *details)
            return [run, (b'HGETALL', key)]

        outcome, flat = await master.run(make)
        after = sessions_of(bare, flat)
        cache.learn(key, marks[0], after or None)
        return outcome, after

    # ---- where

    def _number(self, bare: str) -> int:
        return hash64(bare) % len(self._masters) if len(self._masters) > 1 else 0

    def _of(self, bare: str) -> tuple[RedisMaster, NearCache]:
        return self._masters[self._number(bare)]


def _members(key: bytes, generation: bytes) -> list[Command]:
    return [(b'SMEMBERS', key)]


def _user_key(master: RedisMaster, bare: str) -> bytes:
    return master.prefix + b'u:' + bare.encode()


def _node_keys(master: RedisMaster) -> bytes:
    return master.prefix + b'n:'
