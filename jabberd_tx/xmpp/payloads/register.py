"""In-band registration (XEP-0077), and the token that allows one (XEP-0445)."""

from __future__ import annotations

from typing import NamedTuple

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import escape

FEATURE = f"<register xmlns='{ns.REGISTER_FEATURE}'/>".encode()
TOKEN_FEATURE = f"<register xmlns='{ns.INVITED_FEATURE}'/>".encode()
FIELDS = (
    f"<query xmlns='{ns.REGISTER}'><instructions>Choose a user name and a password.</instructions>"
    '<username/><password/></query>'
).encode()


class Registration(NamedTuple):
    """An IQ set.  username, password: as written, '' for none; remove: <remove/>, and nothing beside it."""

    username: str
    password: str
    remove: bool


def parse_registration(stanza: Stanza) -> Registration:
    """StanzaError('bad-request') for <remove/> with something else (§3.2)."""
    query = next(stanza.element.elements(ns.REGISTER, 'query'))
    texts = {}
    for name in ('username', 'password'):
        field = next(iter(query.elements(ns.REGISTER, name)), None)
        texts[name] = '' if field is None else ''.join([part for part in field.children if isinstance(part, str)])
    remove = next(iter(query.elements(ns.REGISTER, 'remove')), None) is not None
    if remove and len(list(query.elements())) > 1:
        raise StanzaError('bad-request', 'remove stands alone')
    return Registration(texts['username'].strip(), texts['password'], remove)


def registered(username: str) -> bytes:
    """<query/> for who has an account (§3.1)."""
    return f"<query xmlns='{ns.REGISTER}'><registered/><username>{escape(username)}</username></query>".encode()
