"""Keeps what the session store says true: has sessions announced again when it has lost them, and ends those of c2s
nodes that went when no session manager saw it.
"""

from __future__ import annotations

from random import uniform
from typing import TYPE_CHECKING

from cbor2 import CBORDecodeError, dumps, loads
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from jabberd_tx.link import session as vocabulary
from jabberd_tx.storage.sessions.interface import Session

if TYPE_CHECKING:
    from jabberd_tx.components.sm.service import SessionManager

# How often nodes are looked for that hold sessions and are not there; one that is missed twice is gone.
LOOK_S = 5.0


def kept_of(session: Session) -> bytes:
    """What only the session store knows of a session, for its c2s to keep: CBOR."""
    return dumps([session.carbons, sorted(session.directed)])


def restore(session: Session, kept: bytes) -> None:
    """Put that into a session that is about to be opened.  ValueError."""
    if kept:
        try:
            carbons, directed = loads(kept)
        except CBORDecodeError as error:
            raise ValueError(str(error)) from None
        session.carbons, session.directed = bool(carbons), frozenset(directed)


class Records:
    """From `start` to `stop`."""

    log = Logger()

    def __init__(self, sm: SessionManager) -> None:
        self._sm = sm
        self._missed: set[tuple[str, bytes]] = set()
        self._next: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to look."""
        self._sm.sessions.on_renewed(self._announce)
        self._look_later()

    def stop(self) -> None:
        """Look no more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def keep(self, session: Session) -> None:
        """Its c2s is to tell it to the next sm, should the session store lose it."""
        self._sm.posts.to_session(session, vocabulary.keep(kept_of(session)))

    def _announce(self) -> None:
        """Every c2s tells again of the sessions that it has from us."""
        for node in self._sm.lifecycle.nodes:
            self._sm.posts.to_stream('', node, vocabulary.NO_STREAM, 0, vocabulary.announce())

    def _look_later(self) -> None:
        # Not all session managers at the same time.
        self._next = self._sm.reactor.callLater(uniform(0.7, 1.3) * LOOK_S, self._look)

    def _look(self) -> None:
        self._look_later()
        if self._sm.links.pick('') is not None:
            self._sm.spawn(self._find_orphans())

    async def _find_orphans(self) -> None:
        sm = self._sm
        holders = set(await sm.sessions.nodes())
        if sm.left_behind is not None:
            holders.update(await sm.left_behind.starts())
        missing = {
            (node, incarnation)
            for node, incarnation in holders
            if sm.links.instances(node).get(node) != incarnation
        }
        gone, self._missed = missing & self._missed, missing
        for node, incarnation in gone:
            await sm.lifecycle.node_lost(node, incarnation)
