"""XEP-0054: what users tell of themselves, also while they are away; and the server of itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorThreads
from twisted.internet.threads import deferToThreadPool

from jabberd_tx.base.options import Option
from jabberd_tx.components.sm.iq import IqRequest
from jabberd_tx.components.sm.locks import KeyedLocks
from jabberd_tx.components.sm.module import OTHER_ACCOUNT, OWN_ACCOUNT, SERVER, Module, answers
from jabberd_tx.components.sm.photo import UnusablePhoto, shrink
from jabberd_tx.storage import vcards
from jabberd_tx.storage.vcards import Card
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.payloads.vcard import hash_of, photo_of, with_photo
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import escape

EVERYBODY, CONTACTS = 'everybody', 'contacts'
# Photos that wait for the one that is being converted.
MOST_WAITING = 20


class VCard(Module):
    """Keeps vCards."""

    name = 'vcard'
    xeps = ('XEP-0054',)
    server_features = account_features = (ns.VCARD,)
    options = (
        Option(
            'visible', str, EVERYBODY, 'Who may read a vCard: everybody, or only those who may see the presence.',
            choices=(EVERYBODY, CONTACTS), reload=True,
        ),
        Option(
            'bytes', int, 131_072, 'Bytes that a vCard may have.', unit='bytes', low=1024, high=10_000_000, reload=True
        ),
        Option(
            'photo_bytes', int, 32_768, 'A photo of more bytes is made smaller.', unit='bytes', low=4096,
            high=1_000_000, reload=True,
        ),
        Option(
            'photo_side', int, 192, 'To how many pixels a side, at most.', unit='pixels', low=32, high=2048, reload=True
        ),
        Option('server_name', str, 'jabberd-tx', "The name in the server's own vCard.", low=1, high=200, reload=True),
        Option('server_url', str, '', 'The web address there, if any.', high=2000, reload=True),
        Option('server_text', str, '', 'What else there is to say there.', high=2000, reload=True),
    )  # fmt: skip

    def start(self) -> None:
        """No photo is being converted."""
        self._locks = KeyedLocks()
        self._waiting = 0

    # ---- get

    @answers('get', ns.VCARD, 'vCard', SERVER)
    def of_server(self, request: IqRequest) -> Stanza:
        """As the options have it."""
        said = {'FN': self.values.server_name, 'URL': self.values.server_url, 'DESC': self.values.server_text}
        inner = ''.join([f'<{name}>{escape(text)}</{name}>' for name, text in said.items() if text])
        return request.result(ns.VCARD, 'vCard', f"<vCard xmlns='{ns.VCARD}'>{inner}</vCard>".encode())

    @answers('get', ns.VCARD, 'vCard', OWN_ACCOUNT)
    async def get(self, request: IqRequest) -> Stanza:
        """item-not-found without one."""
        card = await self.sm.storage.run(vcards.get, request.to.bare)
        if card is None:
            raise StanzaError('item-not-found')
        return request.result(ns.VCARD, 'vCard', card.xml)

    @answers('get', ns.VCARD, 'vCard', OTHER_ACCOUNT)
    async def get_other(self, request: IqRequest) -> Stanza:
        """If the asker may."""
        if self.values.visible == CONTACTS:
            item = (await self.sm.rosters.get(request.to.bare)).get(request.sender.bare)
            if item is None or item.subscription not in ('from', 'both'):
                raise StanzaError('service-unavailable')
        return await self.get(request)

    # ---- set

    @answers('set', ns.VCARD, 'vCard', OWN_ACCOUNT)
    async def set(self, request: IqRequest) -> None:
        """In the place of the one before."""
        owner = request.sender.bare
        if not await self.sm.accounts.exist(owner):
            raise StanzaError('not-allowed', 'there is no account to keep it for')
        async with self._locks.holding(owner):
            card = await self._card(request)
            if len(card.xml) > self.values.bytes:
                raise StanzaError('not-acceptable', 'the vCard is too large')
            await self.sm.storage.run(vcards.put, owner, card)
            self.sm.hooks.tell('vcard_changed', owner, card.photo)

    async def _card(self, request: IqRequest) -> Card:
        xml = request.stanza.xml_of(request.child)
        if b'BINVAL' not in xml:
            return Card(xml, '')
        try:
            data = photo_of(next(request.stanza.element.elements(ns.VCARD, 'vCard')))
        except ValueError as error:
            raise StanzaError('bad-request', str(error)) from None
        if data is None:
            return Card(xml, '')
        if len(data) <= self.values.photo_bytes:
            return Card(xml, hash_of(data))
        if self._waiting >= MOST_WAITING:
            raise StanzaError('resource-constraint', 'too many photos at a time')
        self._waiting += 1
        try:
            # One at a time, of all users (their bare JIDs have an @): it is their patience, and the processor of all.
            async with self._locks.holding('photo'):
                photo = await self.apart(shrink, data, self.values.photo_bytes, self.values.photo_side)
        except UnusablePhoto as error:
            raise StanzaError('not-acceptable', f'the photo is {error}') from None
        finally:
            self._waiting -= 1
        return Card(with_photo(request.stanza, photo.data, photo.type), hash_of(photo.data))

    def apart(self, call: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """Call it in a thread."""
        reactor = self.sm.reactor
        assert IReactorThreads.providedBy(reactor)
        pool: Any = reactor.getThreadPool()
        return deferToThreadPool(reactor, pool, call, *arguments)
