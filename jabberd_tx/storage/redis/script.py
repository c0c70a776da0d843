"""Lua scripts that Redis keeps: called by their hash, and sent whole where the server does not have them yet."""

from __future__ import annotations

from hashlib import sha1

from twisted.internet.defer import Deferred

from jabberd_tx.storage.redis.connection import Command, RedisConnection


class Script:
    """One script.  `keys`: how many of the arguments are keys."""

    __slots__ = ('_count', '_hash', '_text')

    def __init__(self, keys: int, text: str) -> None:
        self._text = text.encode()
        self._hash = sha1(self._text, usedforsecurity=False).hexdigest().encode()
        self._count = b'%d' % keys

    def __call__(self, *arguments: bytes) -> Command:
        """The command that runs it.  A server that lacks it answers NOSCRIPT."""
        return (b'EVALSHA', self._hash, self._count, *arguments)

    def load(self, connection: RedisConnection) -> Deferred[bytes]:
        """Have the server keep it."""
        return connection.ask(b'SCRIPT', b'LOAD', self._text)
