"""XEP-0049: any XML that clients want to keep at the server, each element by its name."""

from __future__ import annotations

from twisted.words.xish.domish import Element

from jabberd_tx.base.options import Option
from jabberd_tx.components.sm.iq import IqRequest
from jabberd_tx.components.sm.module import OWN_ACCOUNT, Module, answers
from jabberd_tx.storage import private_xml
from jabberd_tx.storage.schema import NAME_BYTES
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.tree import from_element


class PrivateXml(Module):
    """Keeps XML for clients, such as bookmarks."""

    name = 'private'
    xeps = ('XEP-0049',)
    server_features = account_features = (ns.PRIVATE,)
    options = (
        Option('elements', int, 100, 'Elements that a user may keep.', low=1, high=10_000, reload=True),
        Option(
            'bytes', int, 262_144, 'Bytes that they may have together.', unit='bytes', low=1024, high=10_000_000,
            reload=True,
        ),
    )  # fmt: skip

    @answers('get', ns.PRIVATE, 'query', OWN_ACCOUNT)
    async def get(self, request: IqRequest) -> Stanza:
        """The element asked for; as it was asked, when there is none."""
        asked = _elements(request)
        if len(asked) != 1:
            raise StanzaError('bad-request', 'one element at a time')
        ((name, empty),) = asked.items()
        found = await self.sm.storage.run(private_xml.get, request.sender.bare, name)
        return request.result(ns.PRIVATE, 'query', _query(found if found is not None else empty))

    @answers('set', ns.PRIVATE, 'query', OWN_ACCOUNT)
    async def set(self, request: IqRequest) -> None:
        """Keep them all, or none."""
        elements = _elements(request)
        if not elements:
            raise StanzaError('not-acceptable', 'nothing to keep')
        if not await self.sm.accounts.exist(request.sender.bare):
            raise StanzaError('not-allowed', 'there is no account to keep it for')
        limits = self.values.elements, self.values.bytes
        if not await self.sm.storage.run(private_xml.put, request.sender.bare, list(elements.items()), *limits):
            raise StanzaError('resource-constraint', 'too much is kept already', 'modify')


def _elements(request: IqRequest) -> dict[str, bytes]:
    """What stands in the query: '{namespace}name' to XML that stands alone."""
    query: Element = next(request.stanza.element.elements(ns.PRIVATE, 'query'))
    content = from_element(query)
    found = {}
    for child in content.children:
        name = f'{{{child.ns}}}{child.name}'
        if not child.ns or child.ns in ns.CONTENT or child.ns == ns.PRIVATE:
            raise StanzaError('not-acceptable', 'an element needs a namespace of its own')
        if name in found or len(name.encode()) > NAME_BYTES:
            raise StanzaError('not-acceptable', 'a name stands there twice, or is too long')
        found[name] = content.xml_of(child)
    return found


def _query(xml: bytes) -> bytes:
    return b"<query xmlns='%b'>%b</query>" % (ns.PRIVATE.encode(), xml)
