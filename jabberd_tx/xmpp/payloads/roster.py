"""Rosters on the wire (RFC 6121 §2): what a client's get and set ask for, and items as they are shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from twisted.words.xish.domish import Element

from jabberd_tx.xmpp import jid, ns
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import escape, start_tag

MOST_BYTES = 1023  # of a name and of a group's name, in UTF-8


class RosterSet(NamedTuple):
    """What a roster set asks for.  With `remove` the rest but `jid` means nothing."""

    jid: jid.Jid
    name: str
    groups: tuple[str, ...]
    remove: bool


def parse_set(stanza: Stanza) -> RosterSet:
    """The item of a roster set.

    StanzaError by RFC 6121 §2.3.3: bad-request (not one item, no JID, a group twice), jid-malformed,
    not-acceptable (a name or group too long, a group without a name).  Who may ask is not looked at;
    a `subscription` other than 'remove' and `ask` are the server's own and passed over (§2.1.2).
    """
    query = next(stanza.element.elements(ns.ROSTER, 'query'), None)
    items: list[Element] = list(query.elements(ns.ROSTER, 'item')) if query is not None else []
    if len(items) != 1:
        raise StanzaError('bad-request', 'a roster set has one item')
    item = items[0]
    address = item.getAttribute('jid')
    if address is None:
        raise StanzaError('bad-request', 'the item has no JID')
    try:
        contact = jid.parse(address)
    except jid.InvalidJid as error:
        raise StanzaError('jid-malformed', str(error)) from None
    if item.getAttribute('subscription') == 'remove':
        return RosterSet(contact, '', (), True)
    name = item.getAttribute('name') or ''
    groups = tuple(_text(group) for group in item.elements(ns.ROSTER, 'group'))
    if len(set(groups)) != len(groups):
        raise StanzaError('bad-request', 'a group is named twice')
    if '' in groups:
        raise StanzaError('not-acceptable', 'a group needs a name')
    if any(len(text.encode()) > MOST_BYTES for text in (name, *groups)):
        raise StanzaError('not-acceptable', f'a name has more than {MOST_BYTES} bytes')
    return RosterSet(contact, name, groups, False)


def version_asked(stanza: Stanza) -> str | None:
    """The version that a client has, as a roster get says it (§2.6.2); '' for none yet, None where it wants none."""
    if b'ver' not in stanza.inner:
        return None
    query = next(stanza.element.elements(ns.ROSTER, 'query'), None)
    return None if query is None else query.getAttribute('ver')


def _text(element: Element) -> str:
    return ''.join([part for part in element.children if isinstance(part, str)])


def item_xml(
    contact: str,
    name: str = '',
    subscription: str = 'none',
    ask: bool = False,
    approved: bool = False,
    groups: Iterable[str] = (),
) -> bytes:
    """<item/> of a result or push.  `ask`: the user's own request waits for an answer; subscription may be 'remove'."""
    attrs = {'jid': contact, 'subscription': subscription}
    if name:
        attrs['name'] = name
    if ask:
        attrs['ask'] = 'subscribe'
    if approved:
        attrs['approved'] = 'true'
    tag = start_tag('item', attrs)
    content = ''.join([f'<group>{escape(group)}</group>' for group in groups])
    return f'{tag}>{content}</item>'.encode() if content else f'{tag}/>'.encode()


def query_xml(items: Iterable[bytes] = (), version: str | None = None) -> bytes:
    """<query/> around what `item_xml` gave; with a roster version (§2.6) where one is given."""
    attrs = {'xmlns': ns.ROSTER} if version is None else {'xmlns': ns.ROSTER, 'ver': version}
    return b'%b>%b</query>' % (start_tag('query', attrs).encode(), b''.join(items))
