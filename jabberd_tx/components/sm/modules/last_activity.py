"""XEP-0012: how long ago a user was here, and for how long the server is."""

from __future__ import annotations

from math import floor

from jabberd_tx.components.sm.iq import IqRequest
from jabberd_tx.components.sm.module import OTHER_ACCOUNT, OWN_ACCOUNT, SERVER, Module, answers, hook
from jabberd_tx.storage import last_activity
from jabberd_tx.storage.last_activity import Left
from jabberd_tx.storage.operations import StorageError
from jabberd_tx.storage.sessions.interface import Session
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.jid import Jid
from jabberd_tx.xmpp.payloads.forms import text_of
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import escape

# Characters of a status that are kept.
MOST_STATUS = 1000


class LastActivity(Module):
    """Tells when a user was last here."""

    name = 'last'
    xeps = ('XEP-0012',)
    server_features = account_features = (ns.LAST,)

    def start(self) -> None:
        """The server's time begins."""
        self._started = self.sm.reactor.seconds()

    # ---- noting

    @hook('presence_broadcast', order=90)
    def gone(self, stanza: Stanza, session: Session) -> None:
        """The client says that it is unavailable."""
        if stanza.attrs.get('type') == 'unavailable' and session.presence is not None:
            self._note(session, status_of(stanza))

    @hook('session_ended')
    def ended(self, session: Session) -> None:
        """The client is gone without having said so."""
        if session.presence is not None:
            self._note(session, '')

    def _note(self, session: Session, status: str) -> None:
        self.sm.spawn(self._put(session.bare, Left(self.sm.reactor.seconds(), status)))

    async def _put(self, owner: str, left: Left) -> None:
        try:
            await self.sm.storage.run(last_activity.put, owner, left)
        except StorageError:
            pass  # what was known stays; storage has told of it

    # ---- telling

    @answers('get', ns.LAST, 'query', SERVER)
    def uptime(self, request: IqRequest) -> Stanza:
        """Seconds since the start."""
        return _answer(request, self.sm.reactor.seconds() - self._started)

    @answers('get', ns.LAST, 'query', OWN_ACCOUNT)
    async def own(self, request: IqRequest) -> Stanza:
        """One's own."""
        return await self._answer(request)

    @answers('get', ns.LAST, 'query', OTHER_ACCOUNT)
    async def others(self, request: IqRequest) -> Stanza:
        """For those who may see the other's presence."""
        await self._check(request.sender, request.to)
        return await self._answer(request)

    @hook('iq_to')
    def to_a_client(self, stanza: Stanza, sender: Jid, to: Jid) -> object:
        """What a client would tell of itself is no more for everybody (§4)."""
        if to.resource and stanza.attrs.get('type') == 'get' and stanza.children[0].ns == ns.LAST:
            return self._check_or_refuse(sender, to)
        return None

    async def _check_or_refuse(self, sender: Jid, to: Jid) -> None:
        try:
            await self._check(sender, to)
        except StorageError:
            raise StanzaError('resource-constraint', 'try again later') from None

    async def _check(self, sender: Jid, to: Jid) -> None:
        item = (await self.sm.rosters.get(to.bare)).get(sender.bare)
        if item is None or item.subscription not in ('from', 'both'):
            raise StanzaError('forbidden')

    async def _answer(self, request: IqRequest) -> Stanza:
        owner = request.to.bare
        if any(session.presence is not None for session in await self.sm.sessions.fetch(owner)):
            return _answer(request, 0)
        left = await self.sm.storage.run(last_activity.get, owner)
        if left is None:
            raise StanzaError('item-not-found', 'never seen')
        return _answer(request, self.sm.reactor.seconds() - left.at, left.status)


def status_of(stanza: Stanza) -> str:
    """The first status that a presence has, or ''."""
    if stanza.child(ns.CLIENT, 'status') is None:
        return ''
    return text_of(next(stanza.element.elements(ns.CLIENT, 'status')))[:MOST_STATUS]


def _answer(request: IqRequest, seconds: float, status: str = '') -> Stanza:
    xml = f"<query xmlns='{ns.LAST}' seconds='{max(0, floor(seconds))}'>{escape(status)}</query>"
    return request.result(ns.LAST, 'query', xml.encode())
