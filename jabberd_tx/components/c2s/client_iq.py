"""A client's IQs to its server that wait for an answer.

An sm confirms an IQ when it has taken it.  If it dies before the answer, a get is asked again, and a set, which may
or may not have been done, is answered with an error (docs/delivery.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.sm_node import SmNode

IQ_TYPES = frozenset(('get', 'set', 'result', 'error'))
# Of one session; more than that, and the oldest is forgotten.
MOST = 16


class Asked:
    """An IQ without an answer.

    number    on the stream; pin: the sm that it went to first
    is_get    or a set; stanza: as it was sent
    given_up  the answer may have been lost though that sm lives
    """

    __slots__ = ('given_up', 'is_get', 'number', 'pin', 'stanza')

    def __init__(self, number: int, pin: SmNode, is_get: bool, stanza: Stanza) -> None:
        self.number, self.pin, self.is_get, self.stanza = number, pin, is_get, stanza
        self.given_up = False


class ClientIqs:
    """By id, oldest first."""

    __slots__ = ('_asked',)

    def __init__(self) -> None:
        self._asked: dict[str, Asked] = {}

    def add(self, id: str, asked: Asked) -> None:
        """The client has sent one."""
        if len(self._asked) >= MOST:
            del self._asked[next(iter(self._asked))]
        self._asked[id] = asked

    def answered(self, id: str) -> bool:
        """The client gets its answer.  Whether there is none left that waits."""
        self._asked.pop(id, None)
        return not self._asked

    def give_up(self) -> None:
        """Wait for none of the answers."""
        for asked in self._asked.values():
            asked.given_up = True

    def all(self) -> list[tuple[str, Asked]]:
        """Those that wait."""
        return list(self._asked.items())


def is_session_request(stanza: Stanza) -> bool:
    """RFC 3921's wish for a session, which has nothing left to do (RFC 6121, appendix E)."""
    return len(stanza.children) == 1 and stanza.child(ns.SESSION, 'session') is not None
