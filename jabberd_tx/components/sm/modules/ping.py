"""XEP-0199: pings to the server and to one's own account.  Those to a full JID are the client's to answer."""

from __future__ import annotations

from jabberd_tx.components.sm.iq import IqRequest
from jabberd_tx.components.sm.module import OWN_ACCOUNT, SERVER, Module, answers
from jabberd_tx.xmpp import ns


class Ping(Module):
    """Answers pings."""

    name = 'ping'
    xeps = ('XEP-0199',)
    server_features = (ns.PING,)
    account_features = (ns.PING,)

    @answers('get', ns.PING, 'ping', SERVER, OWN_ACCOUNT)
    def pong(self, request: IqRequest) -> None:
        """An empty result says it all."""
