"""Streams of workers that are gone, resumed here from their copies (docs/delivery.md).

Theory of operation.  Whoever claims a stream in the store of copies has it: another worker, or the sm that settles what
nobody resumes.  The claim of one that is gone itself is taken over; what it had made of the stream is in its own
copies then, with a higher epoch, and goes before the older ones.

    step                                         has the stream if this worker dies here
    1  read the logs of workers that are gone    nobody: its next client does the same
    2  claim the stream                          the same; our claim is that of one that is gone
    3  a session of ours, copied to our log      the same, from our log
    4  attach it to an sm, by a higher epoch     the same
"""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from jabberd_tx.components.c2s.copied_state import session_of
from jabberd_tx.components.c2s.resumption import NotResumed, StreamId
from jabberd_tx.components.c2s.session import Session
from jabberd_tx.link.stream_copies import CopiedStream, streams_of
from jabberd_tx.storage.copies.interface import CopyStore, Start

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.service import C2S

# How long it is remembered what the log of a worker that is gone says: it says nothing new.
REMEMBERED_S = 20.0

# By key (link/session.py, key_of): those that may be resumed.
Found = dict[bytes, CopiedStream]


class Recovering:
    """Of one c2s."""

    log = Logger()

    def __init__(self, c2s: C2S, store: CopyStore) -> None:
        self._c2s, self._store = c2s, store
        self._own = Start(c2s.node, c2s.links.incarnation)
        self._logs: dict[Start, Deferred[Found]] = {}

    async def fetch(self, owner: str, id: StreamId) -> Session:
        """The session with that id, attached here, its client away; NotResumed."""
        start, copy = await self._find(owner, id)
        await self._claim(start, copy)
        c2s = self._c2s
        # Unless another connection of this client has been here meanwhile.
        session = c2s.resumable.find(owner, id)
        if session is None:
            session = self._session_of(copy)
            self.log.info('{jid} comes from {node}, which is gone', jid=copy.jid, node=start.node)
            await c2s.moves.take_in(session)
        else:
            await c2s.moves.until_attached(session)
        return session

    def _session_of(self, copy: CopiedStream) -> Session:
        try:
            return session_of(self._c2s, copy)
        except ValueError:
            self.log.failure('the copy of a stream can not be read')
            raise NotResumed('internal-server-error') from None

    async def _find(self, owner: str, id: StreamId) -> tuple[Start, CopiedStream]:
        best: tuple[Start, CopiedStream] | None = None
        for start in await self._store.starts():
            if self.is_there(start):
                continue
            copy = (await self._read(start)).get(id.key)
            if copy is not None and (best is None or copy.epoch > best[1].epoch):
                best = start, copy
        if best is None or best[1].bare != owner or not compare_digest(best[1].secret, id.secret):
            raise NotResumed('item-not-found')
        return best

    def is_there(self, start: Start) -> bool:
        """Whether that start of a node is in sight, or our own."""
        return start == self._own or self._c2s.links.instances(start.node).get(start.node) == start.incarnation

    def _read(self, start: Start) -> Deferred[Found]:
        """Once for all who ask at the same time."""
        answer: Deferred[Found] = Deferred()
        reading = self._logs.get(start)
        if reading is None:
            reading = self._logs[start] = Deferred.fromCoroutine(self._streams(start))
            self._c2s.reactor.callLater(REMEMBERED_S, self._logs.pop, start, None)

        def hand_out(found: Found) -> Found:
            answer.callback(found)
            return found

        def fail(failure: Failure) -> None:
            self._logs.pop(start, None)
            answer.errback(failure)

        reading.addCallbacks(hand_out, fail)
        return answer

    async def _streams(self, start: Start) -> Found:
        try:
            streams = streams_of(await self._store.read(start)).values()
        except ValueError:
            self.log.failure('the copies of {node} can not be read', node=start.node)
            return {}
        return {copy.key: copy for copy in streams if copy.key}

    async def _claim(self, start: Start, copy: CopiedStream) -> None:
        own = str(self._own)
        holder = await self._store.claim(start, copy.stream, own)
        if holder != own and not self.is_there(Start.parse(holder)):
            holder = await self._store.claim(start, copy.stream, own, holder)
        if holder != own:
            raise NotResumed('item-not-found', (copy.told - copy.before) % (1 << 32))
