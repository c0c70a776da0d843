"""Resource binding's request and answer (RFC 6120 §7)."""

from __future__ import annotations

import re

from twisted.words.xish.domish import Element

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import escape

FEATURE = f"<bind xmlns='{ns.BIND}'/>".encode()

# What nearly all clients send is read without a tree.
_PLAIN = re.compile(
    rb'<bind xmlns=(["\'])%b\1>\s*<resource>([^<&\r]*)</resource>\s*</bind>' % re.escape(ns.BIND).encode()
)


def wanted(stanza: Stanza) -> str | None:
    """The resource that an IQ set with <bind/> asks for, as written; '' to let the server choose.

    None when it is no such IQ; StanzaError for one that says more than one resource (§7.7.2.1).
    """
    if stanza.name != 'iq' or stanza.attrs.get('type') != 'set':
        return None
    child = stanza.child(ns.BIND, 'bind')
    if child is None:
        return None
    if child.end - child.start <= len(FEATURE):  # too short to hold a resource
        return ''
    plain = _PLAIN.fullmatch(stanza.inner)
    if plain is not None:
        return plain[2].decode()
    bind = next(stanza.element.elements(ns.BIND, 'bind'))
    resources: list[Element] = list(bind.elements(ns.BIND, 'resource'))
    if len(resources) > 1:
        raise StanzaError('bad-request', 'one resource at a time')
    return ''.join(part for part in resources[0].children if isinstance(part, str)) if resources else ''


def result(request: Stanza, jid: str) -> Stanza:
    """The answer: this full JID is bound."""
    xml = f"<bind xmlns='{ns.BIND}'><jid>{escape(jid)}</jid></bind>".encode()
    attrs = {'type': 'result'}
    if 'id' in request.attrs:
        attrs['id'] = request.attrs['id']
    return Stanza.build('iq', attrs, (ns.BIND, 'bind', xml))
