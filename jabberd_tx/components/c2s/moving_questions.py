"""What one worker asks an sm or another worker while a stream moves (moving.py): each question until it is answered."""

from __future__ import annotations

from secrets import token_bytes
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, TimeoutError

from jabberd_tx.components.c2s.resumption import NotResumed
from jabberd_tx.components.c2s.returned import HOPS
from jabberd_tx.link import session as vocabulary
from jabberd_tx.link.frames import CLIENT, NO_LINK, Bounce, Route, make_uid
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.service import C2S

# Seconds until a question is asked again, and how often it is.
ASK_S, TRIES = 2.0, 4


class Questions:
    """See the module's text."""

    def __init__(self, c2s: C2S) -> None:
        self._c2s = c2s
        self._waiting: dict[bytes, Deferred[Stanza]] = {}

    async def ask(self, dest: str, key: str | None, owner: str, question: Stanza, flags: int) -> Stanza:
        """The answer; NotResumed when none comes."""
        c2s = self._c2s
        id = token_bytes(16)
        for number in range(1, TRIES + 1):
            link = c2s.links.pick(owner)
            if link is not None:
                link.route(Route(dest, key, c2s.node, 0, make_uid(id, number), HOPS, flags, question))
            answer = self._waiting[id] = Deferred()
            answer.addTimeout(ASK_S, c2s.reactor)
            try:
                return await answer
            except TimeoutError:
                continue
            finally:
                self._waiting.pop(id, None)
        raise NotResumed('remote-server-timeout')

    async def where(self, owner: str, key: bytes) -> str:
        """The node that has the owner's stream of that key, as an sm knows it; '' for none.  NotResumed."""
        domain = owner.rpartition('@')[2]
        found = await self.ask(domain, owner, owner, vocabulary.find(key), CLIENT)
        return found.attrs.get('node', '')

    def answered(self, id: object, said: Stanza) -> None:
        """The answer to a question, or to one that nobody asks any more."""
        question = self._waiting.pop(id, None)  # type: ignore[call-overload]
        if question is not None:
            question.callback(said)

    def bounced(self, frame: Bounce) -> None:
        """Something of ours came back that is not a session's."""
        if frame.reason == NO_LINK and not self._c2s.links.instances(frame.to):
            question = self._waiting.pop(frame.uid[:16], None)
            if question is not None:
                question.errback(NotResumed('item-not-found'))
