"""What an admin socket answers about the way of a stanza through a router."""

from __future__ import annotations

from typing import Any

from jabberd_tx.control.admin import Operation
from jabberd_tx.control.admin_wire import AdminError
from jabberd_tx.link.frames import Route, make_uid
from jabberd_tx.routing.router import Router
from jabberd_tx.routing.trace import trace
from jabberd_tx.xmpp.jid import InvalidJid, parse
from jabberd_tx.xmpp.stanza import Stanza

# As many as senders give; of no consequence here.
HOPS = 8


def trace_operation(router: Router) -> Operation:
    """`trace`: jid and sender as written, name to go to ('' for the JID's domain), kind and type of the stanza."""

    async def operation(jid: str, sender: str = '', name: str = '', kind: str = 'message', type: str = '') -> Any:
        try:
            to = parse(jid)
            by = parse(sender) if sender else None
        except InvalidJid as error:
            raise AdminError('bad-request', str(error)) from None
        attrs = {'to': to.full, **({'from': by.full} if by else {}), **({'type': type} if type else {})}
        # A session manager that sends a user's stanza elsewhere leaves the key to the policy, others don't.
        key = None if by is not None and by.local else to.bare
        frame = Route(name or to.domain, key, '', 0, make_uid(bytes(16), 1), HOPS, 0, Stanza(kind, attrs))
        steps, node = trace(router, frame)
        return {'router': router.node, 'name': frame.dest, 'steps': steps, 'node': node}

    return operation
