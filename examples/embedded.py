"""A web application with a chat server inside: a page that counts messages, an echo bot, a module of one's own.

    python examples/embedded.py [CONFIG [WEB_PORT [KEY=VALUE ...]]]

It has the accounts juliet@localhost and romeo@localhost, each with the password `secret`, answers what is sent to
echo.localhost, and shows its counts at http://127.0.0.1:8080/.
"""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.python.log import startLogging
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from jabberd_tx.base.options import Option
from jabberd_tx.components.sm.iq import IqRequest
from jabberd_tx.components.sm.lanes import Item
from jabberd_tx.components.sm.module import OWN_ACCOUNT, SERVER, Module, answers, hook
from jabberd_tx.components.stanza_component import StanzaComponent
from jabberd_tx.services.embedded import EmbeddedServer
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.stanza import Stanza

COUNT = 'urn:example:count'


class Echo(StanzaComponent):
    """Answers messages with their body."""

    echoed = 0

    def message(self, stanza: Stanza) -> Stanza | None:
        body = stanza.child(ns.CLIENT, 'body')
        if body is None:
            return None
        self.echoed += 1
        return self.answer(stanza, (ns.CLIENT, 'body', stanza.xml_of(body)))


class Count(Module):
    """Counts the messages that users send, and tells whoever asks."""

    name = 'count'
    server_features = account_features = (COUNT,)
    options = (Option('first', int, 0, 'Where it begins to count.', low=0),)

    def start(self) -> None:
        self.messages = self.values.first

    @hook('message_sent')
    def count(self, message: Item) -> None:
        self.messages += 1

    @answers('get', COUNT, 'count', SERVER, OWN_ACCOUNT)
    def tell(self, request: IqRequest) -> Stanza:
        return request.result(COUNT, 'count', f"<count xmlns='{COUNT}'>{self.messages}</count>".encode())


class Page(Resource):
    """What the web application shows of its chat server."""

    isLeaf = True

    def __init__(self, server: EmbeddedServer) -> None:
        super().__init__()
        self.server = server

    def render_GET(self, request: Request) -> bytes:
        messages = self.server.sm.modules.by_name['count'].messages
        echoed = self.server.components['echo.localhost'].echoed
        return f'{messages} messages, {echoed} echoed\n'.encode()


async def start(reactor, server: EmbeddedServer, web_port: int) -> None:
    """Everything that the application has beside the server."""
    await server.ready()
    for name in ('juliet', 'romeo'):
        await server.add_account(f'{name}@localhost', 'secret')
    await TCP4ServerEndpoint(reactor, web_port, interface='127.0.0.1').listen(Site(Page(server)))
    print('all is ready', flush=True)


def main(config: str, web_port: str = '8080', *overrides: str) -> None:
    """The application, with its own reactor."""
    from twisted.internet import reactor

    startLogging(sys.stdout)
    application = MultiService()
    server = EmbeddedServer(reactor, config, overrides, modules=[Count], components={'echo.localhost': Echo})
    server.prepare()
    server.setServiceParent(application)
    application.startService()
    reactor.addSystemEventTrigger('before', 'shutdown', application.stopService)
    starting = Deferred.fromCoroutine(start(reactor, server, int(web_port)))
    starting.addErrback(lambda failure: (print(failure.value), reactor.stop()))
    reactor.run()


if __name__ == '__main__':
    main(*(sys.argv[1:] or [str(Path(__file__).with_suffix('.toml'))]))
