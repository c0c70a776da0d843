"""The Blocking Command on the wire (XEP-0191), and whom a list of blocked JIDs is about.

A list is a set of prepared JIDs: matching is a look-up of the JID's parts in it, however long it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from twisted.words.xish.domish import Element

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.jid import InvalidJid, Jid, parse
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import start_tag

BLOCKLIST, BLOCK, UNBLOCK = 'blocklist', 'block', 'unblock'
# What stands in the error for whoever writes to somebody they have blocked (§3.3).
BLOCKED = f"<blocked xmlns='{ns.BLOCKING_ERRORS}'/>".encode()


def is_blocked(blocked: Collection[str], jid: Jid) -> bool:
    """Whether a list is about a JID (§5): it has the full JID, the bare one, or the domain.

    user@domain/resource and domain/resource stand for themselves alone, user@domain for all of its resources, a domain
    for everything there.
    """
    return jid.full in blocked or jid.bare in blocked or jid.domain in blocked


def items_of(stanza: Stanza, name: str) -> list[str]:
    """The JIDs of a command (BLOCK or UNBLOCK), prepared, each once, in their order.

    StanzaError: bad-request for an item without a JID, jid-malformed for one that is none.
    """
    command: Element = next(stanza.element.elements(ns.BLOCKING, name))
    found: dict[str, None] = {}
    for item in command.elements(ns.BLOCKING, 'item'):
        address = item.getAttribute('jid')
        if not address:
            raise StanzaError('bad-request', 'an item has no JID')
        try:
            found[parse(address).full] = None
        except InvalidJid as error:
            raise StanzaError('jid-malformed', str(error)) from None
    return list(found)


def list_xml(name: str, jids: Iterable[str]) -> bytes:
    """<blocklist/>, <block/> or <unblock/> with an item for each JID."""
    items = ''.join([start_tag('item', {'jid': jid}) + '/>' for jid in jids])
    opened = start_tag(name, {'xmlns': ns.BLOCKING})
    return (f'{opened}>{items}</{name}>' if items else f'{opened}/>').encode()
