"""XEP-0157: whom to write to about this server, told in its service discovery."""

from __future__ import annotations

from jabberd_tx.base.options import Option
from jabberd_tx.components.sm.iq import IqRequest
from jabberd_tx.components.sm.module import SERVER, Module, hook
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.payloads.forms import Field, Form, typed

# Whom (§3.1), and what for.
KINDS = {
    'abuse': 'reports of abuse',
    'admin': 'the administrators',
    'feedback': 'feedback of users',
    'sales': 'sales',
    'security': 'security concerns',
    'status': 'the state of the service',
    'support': 'help',
}


class ContactAddresses(Module):
    """Tells whom to write to about the server."""

    name = 'contacts'
    xeps = ('XEP-0157',)
    options = tuple(
        Option(kind, list, [], f'URIs for {what}, such as "mailto:{kind}@example.net".', high=20, reload=True)
        for kind, what in KINDS.items()
    )

    @hook('disco_forms')
    def form(self, request: IqRequest) -> list[Form]:
        """One, when there is anything to tell."""
        if request.place != SERVER:
            return []
        told = {kind: tuple(getattr(self.values, kind)) for kind in KINDS}
        fields = [Field(f'{kind}-addresses', uris, 'list-multi') for kind, uris in told.items() if uris]
        return [typed(ns.SERVER_INFO, *fields)] if fields else []
