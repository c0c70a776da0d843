"""XEP-0030: what the server and accounts are and can do.  Only what is on is named."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from jabberd_tx.components.sm.iq import IqRequest
from jabberd_tx.components.sm.module import OTHER_ACCOUNT, OWN_ACCOUNT, SERVER, Module, answers
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.payloads import disco
from jabberd_tx.xmpp.stanza import Stanza

SERVER_IDENTITY = ('server', 'im')
ACCOUNT_IDENTITY = ('account', 'registered')


class Disco(Module):
    """Tells what the server and accounts can do."""

    name = 'disco'
    xeps = ('XEP-0030', 'XEP-0128')
    server_features = (ns.DISCO_INFO, ns.DISCO_ITEMS)
    account_features = (ns.DISCO_INFO, ns.DISCO_ITEMS)

    @answers('get', ns.DISCO_INFO, 'query', SERVER, OWN_ACCOUNT)
    def info(self, request: IqRequest) -> Stanza:
        """Identities, features, forms; also of a node that stands for the whole, such as that of XEP-0115 §6.2."""
        node = self._node(request)
        if node and node not in self.sm.hooks.collect('disco_nodes', request):
            raise StanzaError('item-not-found', 'no such node')
        return request.result(ns.DISCO_INFO, 'query', disco.info(self.told(request), node))

    def told(self, request: IqRequest) -> disco.Info:
        """All that there is to tell of the one asked."""
        modules, collect = self.sm.modules, self.sm.hooks.collect
        if request.place == SERVER:
            identities, features = [SERVER_IDENTITY], modules.server_features()
        else:
            identities, features = [ACCOUNT_IDENTITY], modules.account_features()
        return disco.Info(
            [*identities, *collect('disco_identities', request)],
            [*features, *collect('disco_features', request)],
            collect('disco_forms', request),
        )

    @answers('get', ns.DISCO_ITEMS, 'query', SERVER, OWN_ACCOUNT)
    def items(self, request: IqRequest) -> Stanza:
        """What modules add."""
        if self._node(request):
            raise StanzaError('item-not-found', 'no such node')
        entries = self.sm.hooks.collect('disco_items', request)
        return request.result(ns.DISCO_ITEMS, 'query', disco.items(entries))

    @answers('get', ns.DISCO_INFO, 'query', OTHER_ACCOUNT)
    def info_of_other(self, request: IqRequest) -> Awaitable[Stanza]:
        """Only for those who may see the other's presence (§8)."""
        return self._if_seen(request, self.info)

    @answers('get', ns.DISCO_ITEMS, 'query', OTHER_ACCOUNT)
    def items_of_other(self, request: IqRequest) -> Awaitable[Stanza]:
        """The same."""
        return self._if_seen(request, self.items)

    async def _if_seen(self, request: IqRequest, answer: Callable[[IqRequest], Stanza]) -> Stanza:
        item = (await self.sm.rosters.get(request.to.bare)).get(request.sender.bare)
        if item is None or item.subscription not in ('from', 'both'):
            raise StanzaError('service-unavailable')
        return answer(request)

    @staticmethod
    def _node(request: IqRequest) -> str:
        if b'node' not in request.stanza.xml_of(request.child):
            return ''
        element = next(request.stanza.element.elements(request.child.ns, 'query'))
        return element.getAttribute('node') or ''
