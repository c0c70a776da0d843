"""A component that somebody else's server takes in by XEP-0114: wokkel's, and servers that misbehave."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.internet.task import deferLater
from twisted.protocols.policies import WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import TestCase
from twisted.words.protocols.jabber.jid import JID
from twisted.words.xish.domish import Element

import jabberd_tx.compat.wokkel  # noqa: F401  # isort: skip
from wokkel.component import InternalComponent, Router, XMPPComponentServerFactory
from wokkel.generic import FallbackHandler
from wokkel.ping import PingClientProtocol, PingHandler
from wokkel.subprotocols import XMPPHandler

from jabberd_tx.base.backoff import Backoff
from jabberd_tx.base.certificates import self_signed
from jabberd_tx.base.turn import Turn
from jabberd_tx.components.plugins import remote_stream
from jabberd_tx.components.plugins.handlers_component import HandlersComponent
from jabberd_tx.components.plugins.remote_links import RemoteLinks
from jabberd_tx.components.plugins.remote_stream import handshake_of
from jabberd_tx.components.stanza_component import Answer, StanzaComponent
from jabberd_tx.link.interfaces import Link
from jabberd_tx.xmpp.stanza import Stanza

NAME, SECRET = 'echo.example.net', 'naïve secret'


class Echo(StanzaComponent):
    """Sends back what it gets; says when its link comes and goes."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.news: list[str] = []
        self.waiting: list[tuple[str, Deferred[None]]] = []
        self.full = False

    def until(self, news: str) -> Deferred[None]:
        """Fires when that has happened, or at once if it has."""
        told: Deferred[None] = Deferred()
        if news in self.news:
            self.news.remove(news)
            told.callback(None)
        else:
            self.waiting.append((news, told))
        return told

    def note(self, news: str) -> None:
        for one in self.waiting:
            if one[0] == news:
                self.waiting.remove(one)
                one[1].callback(None)
                return
        self.news.append(news)

    def message(self, stanza: Stanza) -> Answer:
        self.note(f'message {stanza.attrs.get("id")}')
        return self.answer(stanza, *[(child.ns, child.name, stanza.xml_of(child)) for child in stanza.children])

    def on_link_up(self, link: Link) -> None:
        super().on_link_up(link)
        self.note('up')

    def on_link_down(self, link: Link) -> None:
        super().on_link_down(link)
        self.note('down')

    def congested(self) -> bool:
        return self.full


class Heard(XMPPHandler):
    """A user of wokkel's router: fires what waits with the next message."""

    def connectionInitialized(self) -> None:
        self.next: Deferred[Any] = Deferred()
        self.xmlstream.addObserver('/message', self.heard)

    def heard(self, message: Any) -> None:
        told, self.next = self.next, Deferred()
        told.callback(message)


def pause(seconds: float) -> Deferred[None]:
    """For what has no event: that something does not happen, or the far end of a connection."""
    return deferLater(reactor, seconds)


class RemoteLinksTests(TestCase):
    """With real connections."""

    timeout = 20

    def listen(self, factory: Any, tls: Any = None) -> int:
        wrapped = WrappingFactory(factory)
        served = wrapped if tls is None else TLSMemoryBIOFactory(tls, False, wrapped)
        port = reactor.listenTCP(0, served, interface='127.0.0.1')

        async def stop() -> None:
            await port.stopListening()
            for connection in list(wrapped.protocols):
                connection.transport.abortConnection()
            while wrapped.protocols:
                await pause(0.001)

        self.addCleanup(lambda: Deferred.fromCoroutine(stop()))
        return int(port.getHost().port)

    def links(self, port: int, secret: str = SECRET) -> RemoteLinks:
        links = RemoteLinks('echo-1', NAME, f'tcp:127.0.0.1:{port}', secret, reactor, Turn(reactor))
        links._backoff = Backoff(0.02, 0.05)
        return links

    def run_component(self, port: int, secret: str = SECRET) -> Echo:
        links = self.links(port, secret)
        echo = Echo(links, NAME, reactor)
        links.start()
        self.addCleanup(links.stop)
        echo.start()
        return echo

    # ---- wokkel's server

    def serve(self) -> tuple[int, Router, Heard, PingClientProtocol]:
        """wokkel's router with a user of example.net in it, taking in components."""
        router = Router()
        users = InternalComponent(router, 'example.net')
        heard, pings = Heard(), PingClientProtocol()
        for handler in (heard, pings, PingHandler(), FallbackHandler()):
            handler.setHandlerParent(users)
        users.startService()
        factory = XMPPComponentServerFactory(router, SECRET)
        self.connections: list[Any] = []
        make = factory.buildProtocol

        def build(address: Any) -> Any:
            self.connections.append(make(address))
            return self.connections[-1]

        factory.buildProtocol = build
        return self.listen(factory), router, heard, pings

    async def test_stanzas_go_both_ways(self) -> None:
        """In the server's content namespace there, in ours here."""
        port, router, heard, _ = self.serve()
        echo = self.run_component(port)
        await echo.until('up')
        message = Element(('jabber:component:accept', 'message'))
        message['from'], message['to'], message['id'] = 'romeo@example.net/x', f'bot@{NAME}', '1'
        message.addElement('body', content='a < b')
        router.route(message)
        answer = await heard.next
        self.assertEqual((answer['from'], answer['to']), (f'bot@{NAME}', 'romeo@example.net/x'))
        self.assertEqual(str(answer.body), 'a < b')
        self.assertEqual(echo.status(), {'taken': 0, 'sent': 0})

    async def test_wokkels_handlers_run_there_unchanged(self) -> None:
        """They ask and are asked."""
        port, router, _, pings = self.serve()
        links, mine = self.links(port), PingClientProtocol()
        component = HandlersComponent(links, NAME, reactor, None, [PingHandler(), mine, up := Heard()])
        told: Deferred[None] = Deferred()
        up.connectionInitialized = lambda: told.callback(None)  # type: ignore[method-assign]
        links.start()
        self.addCleanup(links.stop)
        await told
        self.assertIsNone(await mine.ping(JID('example.net')))
        self.assertIsNone(await pings.ping(JID(NAME), JID('example.net')))
        await component.stop()

    async def test_what_is_sent_while_it_is_away_is_sent_when_it_is_back(self) -> None:
        """It connects again by itself."""
        port, _, heard, _ = self.serve()
        echo = self.run_component(port)
        await echo.until('up')
        self.connections[0].transport.abortConnection()
        await echo.until('down')
        echo.send(Stanza('message', {'to': 'romeo@example.net', 'id': 'later'}))
        self.assertEqual((await heard.next)['id'], 'later')
        await echo.until('up')

    async def test_a_wrong_secret_is_tried_again_and_told_once(self) -> None:
        port, _, _, _ = self.serve()
        links = self.links(port, 'wrong')
        Echo(links, NAME, reactor)
        links.start()
        self.addCleanup(links.stop)
        while len(self.connections) < 3:
            await pause(0.01)
        self.assertEqual(links._trouble, 'not-authorized')
        self.assertIsNone(links.pick(''))
        self.flushLoggedErrors()  # of wokkel's server

    async def test_over_tls_the_server_must_prove_its_name(self) -> None:
        """By a certificate of an authority that is trusted; otherwise nothing is said."""
        folder = Path(self.mktemp())
        folder.mkdir()
        self_signed(['localhost'], str(folder / 'cert.pem'), str(folder / 'key'))
        context = DefaultOpenSSLContextFactory(str(folder / 'key'), str(folder / 'cert.pem'))
        heard: list[bytes] = []

        def play(script: Script, data: bytes) -> None:
            heard.append(data)
            take_in(script, data)

        port = self.listen(Factory.forProtocol(lambda: Script(play)), context)
        over = f'endpoint=tcp\\:127.0.0.1\\:{port}'
        trusting = f'tls:localhost:{port}:trustRoots={folder}:{over}'
        for server, trusted in ((trusting, True), (f'tls:localhost:{port}:{over}', False)):
            heard.clear()
            links = RemoteLinks('echo-1', NAME, server, SECRET, reactor, Turn(reactor))
            echo = Echo(links, NAME, reactor)
            again: Deferred[str] = Deferred()
            links._again = again.callback  # type: ignore[method-assign, assignment]
            links.start()
            if trusted:
                await echo.until('up')
                await links.stop()
            else:
                self.assertIn('certificate verify failed', await again)
                self.assertEqual(heard, [])

    # ---- servers that misbehave

    def script(self, play: Callable[[Script, bytes], None]) -> tuple[int, list[Script]]:
        played: list[Script] = []

        def build() -> Script:
            played.append(Script(play))
            return played[-1]

        return self.listen(Factory.forProtocol(build)), played

    async def trouble(self, port: int) -> str:
        """What a component says of a server."""
        links = self.links(port)
        Echo(links, NAME, reactor)
        again: Deferred[str] = Deferred()
        links._again = again.callback  # type: ignore[method-assign, assignment]
        links.start()
        trouble = await again
        links.stop()
        return trouble

    async def test_what_a_server_does_wrong_is_told(self) -> None:
        """And ends the connection; nothing of it reaches the component."""
        error = "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
        for said, trouble in (
            (HEADER + error, 'host-unknown'),
            (HEADER + '</stream:stream>', 'the server has closed the stream'),
            (HEADER + '<message/>', 'the server speaks no XEP-0114'),
            ('<handshake/>', ''),
            ('HTTP/1.1 400 Bad Request\r\n\r\n', ''),
            (HEADER + '<!DOCTYPE x>', ''),
        ):
            port, _ = self.script(lambda script, data, said=said: script.say(said))  # type: ignore[misc]
            told = await self.trouble(port)
            self.assertTrue(told)
            if trouble:
                self.assertEqual(told, trouble)
        port = reactor.listenTCP(0, Factory(), interface='127.0.0.1')
        number = port.getHost().port
        await port.stopListening()
        self.assertIn('refused', await self.trouble(number))

    async def test_a_silent_server_is_given_up(self) -> None:
        self.patch(remote_stream, 'HANDSHAKE_S', 0.05)
        self.patch(remote_stream, 'CLOSE_S', 0.05)
        port, _ = self.script(lambda script, data: None)
        self.assertEqual(await self.trouble(port), 'no handshake within 0.05 s')

    async def test_the_handshake_is_as_the_specification_has_it(self) -> None:
        """SHA-1 of id and secret; UTF-8, as it does not say."""
        heard: list[bytes] = []

        def play(script: Script, data: bytes) -> None:
            heard.append(data)
            if b'<handshake>' in b''.join(heard):
                script.say('<handshake/>')
            elif len(heard) == 1:
                script.say(HEADER)

        port, _ = self.script(play)
        echo = self.run_component(port)
        await echo.until('up')
        proof = handshake_of('the-id', SECRET)
        self.assertEqual(handshake_of('3BF96D32', 'test'), 'aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e')
        self.assertIn(f'<handshake>{proof}</handshake>'.encode(), b''.join(heard))
        self.assertIn(f"to='{NAME}'".encode(), heard[0])

    async def test_stanzas_without_addresses_are_dropped(self) -> None:
        port, played = self.script(take_in)
        echo = self.run_component(port)
        await echo.until('up')
        played[0].say(f"<message id='1'/><message to='{NAME}' id='2'/><message from='a@b' to='{NAME}' id='3'/>")
        await echo.until('message 3')
        self.assertEqual((echo.news, echo.stanzas), ([], 1))

    async def test_a_component_that_has_too_much_to_do_is_not_sent_more(self) -> None:
        """Reading stops until it can go on."""
        port, played = self.script(take_in)
        echo = self.run_component(port)
        await echo.until('up')
        echo.full = True
        one = f"<message from='a@b' to='{NAME}' id='{{}}'/>"
        played[0].say(one.format(1))
        await echo.until('message 1')
        played[0].say(one.format(2))
        await pause(0.1)
        self.assertEqual(echo.news, [])
        echo.full = False
        await echo.until('message 2')

    async def test_what_a_server_does_not_read_is_not_confirmed(self) -> None:
        """So that no more than a component may keep waits here; it is confirmed when the server reads on."""
        port, played = self.script(take_in)
        echo = self.run_component(port)
        await echo.until('up')
        played[0].transport.pauseProducing()
        big = Stanza.build('message', {'to': 'a@b'}, ('jabber:client', 'body', b'<body>%b</body>' % (b'x' * 100_000)))
        for _ in range(100):
            echo.send(big)
        await pause(0.1)
        self.assertGreater(echo.status()['sent'], 50)
        played[0].transport.resumeProducing()
        while echo.status()['sent']:
            await pause(0.01)

    def test_what_is_no_endpoint_is_refused(self) -> None:
        for wrong in ('', 'localhost:5347', 'tcp', 'carrier-pigeon:x:1'):
            with self.assertRaises((ValueError, TypeError)):
                RemoteLinks('echo-1', NAME, wrong, SECRET, reactor, Turn(reactor))


HEADER = (
    "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
    f"xmlns:stream='http://etherx.jabber.org/streams' from='{NAME}' id='the-id'>"
)


class Script(Protocol):
    """A server that does as `play` says with what comes."""

    def __init__(self, play: Callable[[Script, bytes], None]) -> None:
        self.play, self.steps = play, 0

    def dataReceived(self, data: bytes) -> None:
        self.steps += 1
        self.play(self, data)

    def say(self, text: str) -> None:
        self.transport.write(text.encode())


def take_in(script: Script, data: bytes) -> None:
    """Take in whoever comes."""
    if script.steps <= 2:
        script.say(HEADER if script.steps == 1 else '<handshake/>')
