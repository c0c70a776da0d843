"""XEP-0092: what software the server is."""

from __future__ import annotations

import platform

from jabberd_tx import __version__
from jabberd_tx.base.options import Option
from jabberd_tx.components.sm.iq import IqRequest
from jabberd_tx.components.sm.module import SERVER, Module, answers
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import escape

NAME = 'jabberd-tx'


class Version(Module):
    """Tells the name and version of the software."""

    name = 'version'
    xeps = ('XEP-0092',)
    server_features = (ns.VERSION,)
    options = (
        Option('show_version', bool, True, 'Whether the version is told; the name is.', reload=True),
        Option('show_os', bool, False, 'Whether the operating system is told.', reload=True),
    )

    @answers('get', ns.VERSION, 'query', SERVER)
    def tell(self, request: IqRequest) -> Stanza:
        """Name, version, operating system: as much as the options allow."""
        version = f'<version>{escape(__version__)}</version>' if self.values.show_version else '<version/>'
        os = f'<os>{escape(platform.system())}</os>' if self.values.show_os else ''
        xml = f"<query xmlns='{ns.VERSION}'><name>{NAME}</name>{version}{os}</query>"
        return request.result(ns.VERSION, 'query', xml.encode())
