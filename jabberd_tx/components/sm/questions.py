"""IQs of the server's own to clients: each gets one answer, or none in time."""

from __future__ import annotations

from secrets import token_urlsafe
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall

from jabberd_tx.storage.sessions.interface import Session
from jabberd_tx.xmpp.jid import Jid
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.sm.service import SessionManager

# How many wait for their answer, and for how long.
MOST = 10_000
SECONDS = 30.0


class _Asked:
    __slots__ = ('answer', 'jid', 'timer')

    def __init__(self, jid: str, timer: IDelayedCall) -> None:
        self.jid, self.timer = jid, timer
        self.answer: Deferred[Stanza | None] = Deferred()


class Questions:
    """See the module's text."""

    def __init__(self, sm: SessionManager) -> None:
        self._sm = sm
        self._waiting: dict[str, _Asked] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(self, session: Session, ns: str, name: str, xml: bytes) -> Deferred[Stanza | None]:
        """An IQ get with that child from the domain to the client; the result or error that it answers with.

        None: there is no answer in time, the session is gone, or too many others wait.
        """
        if len(self._waiting) >= MOST:
            return succeed(None)
        id = token_urlsafe(12)
        asked = self._waiting[id] = _Asked(session.jid, self._sm.reactor.callLater(SECONDS, self._end, id, None))
        attrs = {'type': 'get', 'id': id, 'from': session.bare.rpartition('@')[2], 'to': session.jid}
        self._sm.posts.to_stream(
            session.bare, session.node, session.stream, session.epoch, Stanza.build('iq', attrs, (ns, name, xml)),
            failed=lambda reason: self._end(id, None),
        )  # fmt: skip
        return asked.answer

    def answered(self, stanza: Stanza, sender: Jid) -> None:
        """A result or error for the server: if somebody waits for it from that very client."""
        asked = self._waiting.get(stanza.attrs['id'])
        if asked is not None and asked.jid == sender.full:
            self._end(stanza.attrs['id'], stanza)

    def _end(self, id: str, answer: Stanza | None) -> None:
        asked = self._waiting.pop(id, None)
        if asked is not None:
            if asked.timer.active():
                asked.timer.cancel()
            asked.answer.callback(answer)

    def stop(self) -> None:
        """Nobody is waited for any longer."""
        for id in list(self._waiting):
            self._end(id, None)
