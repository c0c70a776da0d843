"""What is noted of a user in Redis beside the sessions, for a time: claims, and what is expected to come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from jabberd_tx.storage.redis.connection import Command
from jabberd_tx.storage.redis.master import RedisMaster
from jabberd_tx.storage.sessions import scripts


class SharedMarks:
    """Methods of SessionStore (sessions/interface.py).  `of`: the master that a user is on."""

    def __init__(self, of: Callable[[str], RedisMaster]) -> None:
        self._of = of

    def claim(self, bare: str, purpose: str, holder: str, seconds: float, instead_of: str = '') -> Deferred[str]:
        """See SessionStore."""
        details = holder.encode(), _milliseconds(seconds), instead_of.encode()
        claimed = self._run(bare, b'c:' + purpose.encode() + b':', scripts.CLAIM, details)
        return claimed.addCallback(bytes.decode)

    def release(self, bare: str, purpose: str, holder: str) -> Deferred[None]:
        """See SessionStore."""
        released = self._run(bare, b'c:' + purpose.encode() + b':', scripts.RELEASE, (holder.encode(),))
        return released.addCallback(lambda _: None)

    def expect_returns(self, bare: str, stream: bytes, seconds: float) -> Deferred[None]:
        """See SessionStore."""
        noted = self._run(bare, b'r:', scripts.EXPECT, (stream, _milliseconds(seconds)))
        return noted.addCallback(lambda _: None)

    def returned(self, bare: str, stream: bytes) -> Deferred[None]:
        """See SessionStore."""
        return self._run(bare, b'r:', scripts.RETURNED, (stream,)).addCallback(lambda _: None)

    def returns_expected(self, bare: str) -> Deferred[bool]:
        """See SessionStore."""
        return self._run(bare, b'r:', scripts.EXPECTED, ()).addCallback(bool)

    def _run(
        self, bare: str, kind: bytes, script: Callable[..., Command], details: tuple[bytes, ...]
    ) -> Deferred[Any]:
        master = self._of(bare)
        key = master.prefix + kind + bare.encode()
        asked = master.run(lambda generation: [script(master.generation_key, key, generation, *details)])
        return Deferred.fromCoroutine(asked).addCallback(lambda replies: replies[0])


def _milliseconds(seconds: float) -> bytes:
    return b'%d' % max(1, int(seconds * 1000))
