"""Message Carbons on the wire (XEP-0280): which messages are copied, and what a copy is."""

from __future__ import annotations

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.payloads import hints
from jabberd_tx.xmpp.stanza import Child, Stanza
from jabberd_tx.xmpp.writer import to_xml

SENT, RECEIVED = 'sent', 'received'
# Payloads of instant messaging (§6.1): a message that has one is copied, whatever its type.
_PAYLOADS = frozenset((ns.RECEIPTS, ns.CHAT_STATES, ns.CHAT_MARKERS, ns.CONFERENCE))


def is_eligible(stanza: Stanza, direction: str, heed_hints: bool = True) -> bool:
    """Whether a message is to be copied (§6.1); direction: SENT or RECEIVED, as its own user sees it.

    An error is as eligible as what it answers, as far as that can be told from the children that stand in it.
    heed_hints: <no-copy/> counts too, beside <private/>.
    """
    kind = stanza.attrs.get('type')
    if kind in ('groupchat', 'headline'):
        return False
    body = payload = in_room = private = False
    for space, name, _, _ in stanza.children:
        if space == ns.CLIENT:
            body = body or name == 'body'
        elif space in _PAYLOADS:
            payload = True
        elif space == ns.MUC_USER and name == 'x':
            in_room = True
        elif space == ns.CARBONS:
            # A copy of somebody's is never copied again.
            private = True
    if private or (heed_hints and hints.has_hint(stanza, hints.NO_COPY)):
        return False
    if in_room:
        # A mediated invitation has no body of its own, and comes from the room; a private message in a room comes to
        # each of the user's clients in it by itself.
        return direction == SENT or '/' not in stanza.attrs.get('from', '')
    return body or payload or kind == 'chat'


def wrap(stanza: Stanza, direction: str) -> tuple[bytes, tuple[Child, ...]]:
    """What a copy holds (§7, §8): `inner` and `children` of a message around the whole original.

    Any number of copies share it.
    """
    original = to_xml(stanza)
    inner = b"<%b xmlns='%b'><forwarded xmlns='%b'><message xmlns='jabber:client'%b</forwarded></%b>" % (
        direction.encode(), ns.CARBONS.encode(), ns.FORWARD.encode(), original[len(b'<message'):], direction.encode(),
    )  # fmt: skip
    return inner, (Child(ns.CARBONS, direction, 0, len(inner)),)


def copy(owner: str, to: str, original: Stanza, inner: bytes, children: tuple[Child, ...]) -> Stanza:
    """The copy for one resource: from the bare JID of its user, of the type that the original has."""
    attrs = {'from': owner, 'to': to}
    kind = original.attrs.get('type')
    if kind is not None:
        attrs['type'] = kind
    return Stanza('message', attrs, inner, children)
