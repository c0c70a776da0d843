"""jabber:component:connect (XEP-0114): the gateway connects to a component that listens, on real sockets."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from jabberd_tx.base.certificates import self_signed
from jabberd_tx.base.metrics import Metrics
from jabberd_tx.base.options import ConfigError
from jabberd_tx.base.tls import ServerContexts
from jabberd_tx.base.turn import Turn
from jabberd_tx.components.gateway.external import digest, proves
from jabberd_tx.components.gateway.options import OPTIONS
from jabberd_tx.components.gateway.service import Gateway
from jabberd_tx.link.local import LocalLinks
from jabberd_tx.routing import options as routing
from jabberd_tx.routing.router import Router
from jabberd_tx.testing.network import Recorder
from jabberd_tx.xmpp.events import Nonza, StreamOpen
from jabberd_tx.xmpp.parser import StreamParser
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import stream_header
from tests.components.gateway.gateway_support import DOMAIN, NAME, SECRET, header, message, table

CONNECT = 'jabber:component:connect'


class Listening(Protocol):
    """A component that waits for its server."""

    def __init__(self, content: str) -> None:
        self.content = content
        self.parser = StreamParser()
        self.seen: list[Any] = []

    def dataReceived(self, data: bytes) -> None:
        for event in self.parser.feed(data):
            self.seen.append(event)
            if isinstance(event, StreamOpen):
                self.name = event.attrs['from']
                self.transport.write(stream_header(self.content, {'from': event.attrs['from'], 'id': '3BF96D32'}))
            elif isinstance(event, Nonza) and event.name == 'handshake':
                assert proves(event.text, '3BF96D32', SECRET)
                self.transport.write(b'<handshake/>' + message('from the component', sender=self.name).encode())

    def connectionLost(self, reason: Any = None) -> None:
        self.seen.append('closed')


class Site(TestCase):
    """A router, a session manager, and a gateway on the real reactor."""

    timeout = 20

    def setUp(self) -> None:
        self.turn, self.metrics = Turn(reactor), Metrics()
        self.router = Router('router', reactor, self.turn, routing.OPTIONS.defaults(), self.metrics, [])
        self.sm = Recorder(self.links('sm-1'))
        self.sm.links.bind(DOMAIN)
        self.made: list[Listening] = []

    def links(self, node: str) -> LocalLinks:
        return LocalLinks(node, self.router, self.turn)

    async def until(self, true: Any) -> None:
        while not true():
            await deferLater(reactor, 0.01)

    def gateway(self, tables: Any, tls: Any = None, **options: Any) -> Gateway:
        values = OPTIONS.defaults()
        vars(values).update({'port': 0, 'backoff_initial': 0.01, 'close_timeout': 0.2, **options})
        gateway = Gateway(
            lambda label: self.links(f'gateway-{label}'), [DOMAIN], values, tables, reactor, self.turn,
            self.metrics, tls,
        )  # fmt: skip
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))
        return gateway

    def component(self, content: str = CONNECT) -> Any:
        """A component that listens."""
        test = self

        class Making(Factory):
            noisy = False

            def buildProtocol(self, address: Any) -> Listening:
                test.made.append(Listening(content))
                return test.made[-1]

        port = reactor.listenTCP(0, Making(), interface='127.0.0.1')  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        return port


class ConnectingTests(Site):
    """What the gateway says, and what it does when the component goes."""

    async def test_it_connects_and_proves_the_secret(self) -> None:
        """The header has the name as its from; stanzas go both ways; a lost connection is made again."""
        port = self.component()
        gateway = self.gateway([table(connect=[f'127.0.0.1:{port.getHost().port}'])])
        gateway.start()
        await self.until(lambda: self.sm.stanzas)
        opening = self.made[0].seen[0]
        assert (opening.ns, opening.attrs) == (CONNECT, {'from': NAME})
        assert self.sm.links.instances(NAME) == {
            f'gateway-{NAME}-0': next(iter(gateway._seats.values())).links.incarnation
        }
        self.sm.send(NAME, None, Stanza('message', {'from': 'a@example.net', 'to': NAME}))
        await self.until(lambda: isinstance(self.made[0].seen[-1], Stanza))
        self.made[0].transport.abortConnection()
        await self.until(lambda: len(self.made) == 2 and len(self.sm.stanzas) == 2)

    async def test_a_change_of_the_configuration_leaves_the_others_connected(self) -> None:
        """One more component: the first stays; when its own table goes, its connection does, and is not made again."""
        first, second = self.component(), self.component()
        tables = [table(connect=[f'127.0.0.1:{first.getHost().port}'])]
        gateway = self.gateway(tables)
        gateway.start()
        await self.until(lambda: len(self.sm.stanzas) == 1)
        tables.append(table(name='other.example.net', connect=[f'127.0.0.1:{second.getHost().port}']))
        gateway.tables_changed()
        await self.until(lambda: len(gateway.streams()) == 2)
        assert len(self.made) == 2 and 'closed' not in self.made[0].seen
        del tables[0]
        gateway.tables_changed()
        await self.until(lambda: 'closed' in self.made[0].seen)
        await deferLater(reactor, 0.1)
        assert len(self.made) == 2 and 'closed' not in self.made[1].seen

    async def test_a_component_of_another_kind_is_told_so(self) -> None:
        """invalid-namespace."""
        port = self.component('jabber:component:accept')
        self.gateway([table(connect=[f'127.0.0.1:{port.getHost().port}'])], backoff_initial=60.0).start()
        await self.until(lambda: self.made and 'closed' in self.made[0].seen)
        error = next(event for event in self.made[0].seen if isinstance(event, Nonza) and event.name == 'error')
        assert error.children[0].name == 'invalid-namespace'
        assert not self.sm.links.instances(NAME)

    def test_beyond_this_machine_only_with_tls(self) -> None:
        """Or when the configuration says that it may be without."""
        with self.assertRaises(ConfigError) as caught:
            self.gateway([table(connect=['192.0.2.1:5347'])]).start()
        assert str(caught.exception).startswith('gateway.tls_authority: expected the certificate of an authority')


class TlsTests(Site):
    """The port for components that begin with TLS."""

    async def test_a_component_over_tls(self) -> None:
        """The certificate is the site's; the handshake and stanzas go through it; a plain one gets nowhere."""
        chain, key = self.mktemp(), self.mktemp()
        self_signed(['localhost'], chain, key)
        gateway = self.gateway([table()], tls=ServerContexts([(['localhost'], chain, key)]))
        gateway.start()
        port = gateway.listen(0, '127.0.0.1', direct_tls=True).getHost().port  # type: ignore[attr-defined]
        seen = [b'']

        class Peer(Protocol):
            def dataReceived(self, data: bytes) -> None:
                seen[0] += data

        with open(chain, 'rb') as file:
            roots = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(file.read())])
        context = ssl.optionsForClientTLS('localhost', roots)
        endpoint = wrapClientTLS(context, HostnameEndpoint(reactor, '127.0.0.1', port))
        peer = await connectProtocol(endpoint, Peer())
        peer.transport.write(header())
        await self.until(lambda: b' id=' in seen[0] and seen[0].endswith(b'>'))
        stream = StreamParser().feed(seen[0])[0].attrs['id']  # type: ignore[union-attr]
        peer.transport.write(f'<handshake>{digest(stream, SECRET)}</handshake>{message("secret")}'.encode())
        await self.until(lambda: self.sm.stanzas)
        assert seen[0].endswith(b'<handshake/>')
        peer.transport.loseConnection()
        await self.until(lambda: not gateway.connections)
