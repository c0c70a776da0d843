"""The copies in Redis: for each worker a stream of chunks, a hash of claims, and a lease, all on one of the masters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from jabberd_tx.base.hashing import hash64
from jabberd_tx.storage.copies import scripts
from jabberd_tx.storage.copies.interface import Start
from jabberd_tx.storage.redis.connection import Command
from jabberd_tx.storage.redis.master import RedisMaster

# Chunks that are read in one reply.
PAGE = 50
# A lease that nobody has looked at for so long, after it was over, is forgotten: a week.
FORGOTTEN_MS = b'%d' % (7 * 86_400_000)

# Somebody who has read a log before it was dropped may still claim a stream of it.
CLAIMS_MS = b'120000'


class SharedCopies:
    """Implements CopyStore.  RedisUnavailable from whatever could not be asked in time."""

    def __init__(self, masters: Sequence[RedisMaster]) -> None:
        """In the order of the configuration, which all processes must have alike."""
        self._masters = tuple(masters)

    # ---- the log

    def append(self, start: Start, number: int, chunk: bytes, keep_from: int) -> Deferred[None]:
        """See CopyStore."""
        details = _member(start), b'%d' % number, chunk, b'%d' % keep_from
        return self._run(start, scripts.APPEND, (b'w:', b''), details).addCallback(lambda _: None)

    def read(self, start: Start) -> Deferred[list[bytes]]:
        """See CopyStore."""
        return Deferred.fromCoroutine(self._read(start))

    async def _read(self, start: Start) -> list[bytes]:
        master = self._of(start)
        key, after, chunks = _key(master, b'w:', start), b'-', []
        while True:
            (entries,) = await master.run(_just(b'XRANGE', key, after, b'+', b'COUNT', b'%d' % PAGE))
            chunks += [fields[1] for _, fields in entries]
            if len(entries) < PAGE:
                return chunks
            after = b'(' + entries[-1][0]

    def starts(self) -> Deferred[Sequence[Start]]:
        """See CopyStore."""
        return Deferred.fromCoroutine(self._starts())

    async def _starts(self) -> Sequence[Start]:
        found = []
        for master in self._masters:
            (members,) = await master.run(_just(b'SMEMBERS', _logs(master)))
            for member in members:
                node, _, incarnation = member.partition(b'\0')
                found.append(Start(node.decode(), incarnation))
        return found

    def drop(self, start: Start) -> Deferred[None]:
        """See CopyStore."""
        dropped = self._run(start, scripts.DROP, (b'', b'w:', b'y:', b'l:'), (_member(start), CLAIMS_MS))
        return dropped.addCallback(lambda _: None)

    # ---- who takes over

    def claim(self, start: Start, stream: bytes, holder: str, instead_of: str = '') -> Deferred[str]:
        """See CopyStore."""
        details = stream, holder.encode(), instead_of.encode()
        return self._run(start, scripts.CLAIM, (b'y:',), details).addCallback(bytes.decode)

    def claims(self, start: Start) -> Deferred[dict[bytes, str]]:
        """See CopyStore."""
        return Deferred.fromCoroutine(self._claims(start))

    async def _claims(self, start: Start) -> dict[bytes, str]:
        master = self._of(start)
        (flat,) = await master.run(_just(b'HGETALL', _key(master, b'y:', start)))
        return {flat[at]: flat[at + 1].decode() for at in range(0, len(flat), 2)}

    # ---- leases

    def renew(self, start: Start, seconds: float) -> Deferred[bool]:
        """See CopyStore."""
        return self._run(start, scripts.RENEW, (b'l:',), (_milliseconds(seconds), FORGOTTEN_MS)).addCallback(bool)

    def lost_for(self, start: Start, grace: float) -> Deferred[float]:
        """See CopyStore."""
        lost = self._run(start, scripts.LOST, (b'l:',), (_milliseconds(grace), FORGOTTEN_MS))
        return lost.addCallback(lambda milliseconds: milliseconds / 1000)

    # ---- all

    def on_renewed(self, call: Callable[[], None]) -> None:
        """See CopyStore."""
        for master in self._masters:
            master.on_renewed(call)

    def _of(self, start: Start) -> RedisMaster:
        return self._masters[hash64(str(start)) % len(self._masters)]

    def _run(
        self, start: Start, script: Callable[..., Command], kinds: Sequence[bytes], details: Sequence[bytes]
    ) -> Deferred[Any]:
        """kinds: of the worker's keys; b'' for the set of those who have a log."""
        master = self._of(start)
        keys = [_key(master, kind, start) if kind else _logs(master) for kind in kinds]

        def make(generation: bytes) -> list[Command]:
            return [script(master.generation_key, *keys, generation, *details)]

        return Deferred.fromCoroutine(master.run(make)).addCallback(lambda replies: replies[0])


def _just(*command: bytes) -> Callable[[bytes], Sequence[Command]]:
    """That command, whatever the generation."""
    return lambda generation: [command]


def _member(start: Start) -> bytes:
    return start.node.encode() + b'\0' + start.incarnation


def _key(master: RedisMaster, kind: bytes, start: Start) -> bytes:
    return master.prefix + kind + _member(start)


def _logs(master: RedisMaster) -> bytes:
    return master.prefix + b'copies'


def _milliseconds(seconds: float) -> bytes:
    return b'%d' % max(1, int(seconds * 1000))
