"""Which resource a client asks for when it binds one (RFC 6120 §7)."""

from __future__ import annotations

import secrets

from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.jid import InvalidJid, prepare_resource
from jabberd_tx.xmpp.payloads import bind
from jabberd_tx.xmpp.stanza import Stanza


def resource_wanted(stanza: Stanza) -> str | None:
    """The resource, prepared; one that nobody can guess where the client leaves it to the server (§7.6.1).

    None when it is no request to bind; StanzaError for one that can not be granted (§7.7.2.1).
    """
    resource = bind.wanted(stanza)
    if resource is None:
        return None
    if 'id' not in stanza.attrs:
        raise StanzaError('bad-request', 'an IQ needs an id')
    if not resource:
        # Chosen before an sm is asked, so that a repeated request for a session asks for the same one.
        return secrets.token_hex(8)
    try:
        return prepare_resource(resource)
    except InvalidJid as error:
        raise StanzaError('bad-request', str(error)) from None
