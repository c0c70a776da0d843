"""c2s on sockets: STARTTLS, direct TLS, channel binding, passwords in threads, shutdown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography import x509
from OpenSSL import SSL
from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from jabberd_tx.base.certificates import self_signed
from jabberd_tx.base.metrics import Metrics
from jabberd_tx.base.tls import ServerContexts, end_point
from jabberd_tx.base.turn import Turn
from jabberd_tx.components.c2s.service import C2S
from jabberd_tx.link.local import LocalLinks
from jabberd_tx.routing.options import OPTIONS as ROUTER
from jabberd_tx.routing.router import Router
from jabberd_tx.storage import accounts
from jabberd_tx.testing.client import Closed, Refused, XmppClient
from jabberd_tx.testing.storage import ImmediateStorage
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import stream_header
from tests.components.c2s.c2s_support import CREDENTIALS, DOMAIN, PASSWORD, ScriptedSm, Site, chat, message

HEADER = stream_header(ns.CLIENT, {'to': DOMAIN, 'version': '1.0'})


class DirectTLS(ssl.CertificateOptions):
    """What a client wants of a direct TLS connection: trust anybody, offer these protocols."""

    def __init__(self, offer: list[bytes]) -> None:
        super().__init__(verify=False)
        self.offer = offer

    def getContext(self) -> SSL.Context:
        context = super().getContext()
        if self.offer:
            context.set_alpn_protos(self.offer)
        return context


class TlsTests(TestCase):
    """Each test: a c2s with a certificate, a router and a scripted sm in this process, clients on sockets."""

    def start(self, **options: Any) -> None:
        folder = Path(self.mktemp()).parent
        self.chain = folder / 'chain.pem'
        self.chain.unlink(missing_ok=True)
        (folder / 'key.pem').unlink(missing_ok=True)
        self_signed([DOMAIN], self.chain, folder / 'key.pem')
        turn, metrics = Turn(reactor), Metrics()  # type: ignore[arg-type]
        router = Router('router', reactor, turn, ROUTER.defaults(), metrics)  # type: ignore[arg-type]
        storage = ImmediateStorage()
        storage.run(accounts.put, f'romeo@{DOMAIN}', CREDENTIALS)
        tls = ServerContexts([([], str(self.chain), str(folder / 'key.pem'))])
        values = Site.values(**{'plaintext_on_loopback': False, 'plain_without_tls': False, **options})
        self.sm = ScriptedSm(LocalLinks('sm-1', router, turn))
        links = LocalLinks('c2s-1', router, turn)
        self.c2s = C2S(links, storage, [DOMAIN], values, reactor, turn, metrics, tls)
        links.start()
        self.c2s.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.c2s.stop()))
        self.port = self.c2s.listen(0).getHost().port  # type: ignore[attr-defined]
        self.direct_port = self.c2s.listen(0, direct_tls=True).getHost().port  # type: ignore[attr-defined]

    async def connect(self, port: int = 0) -> XmppClient:
        client = XmppClient(f'romeo@{DOMAIN}', PASSWORD)
        endpoint = TCP4ClientEndpoint(reactor, '127.0.0.1', port or self.port)
        await connectProtocol(endpoint, client)
        self.addCleanup(self.gone, client)
        return client

    @staticmethod
    def gone(client: XmppClient) -> Any:
        if not client.closed:
            client.drop()
        return maybeDeferred(lambda: Deferred.fromCoroutine(client.end()))

    async def under_tls(self, **attrs: str) -> XmppClient:
        client = await self.connect()
        await client.open()
        await client.start_tls(ssl.CertificateOptions(verify=False), **attrs)
        return client

    async def logged_in(self, mechanism: str = 'SCRAM-SHA-256', acks: bool = False) -> XmppClient:
        client = await self.under_tls()
        await client.authenticate(mechanism)
        await client.open()
        await client.bind('r')
        if acks:
            await client.enable_acks()
        return client

    async def test_before_tls_there_is_nothing_but_tls(self) -> None:
        self.start()
        client = await self.connect()
        features = await client.open()
        assert [child.name for child in features.children] == ['starttls', 'limits']
        assert b'<required/>' in features.inner
        client.send_auth('PLAIN', b'\0romeo\0secret')
        assert (await client.nonza('failure')).children[0].name == 'encryption-required'

    async def test_tls_is_optional_where_the_config_says_so(self) -> None:
        self.start(require_tls=False)
        client = await self.connect()
        features = await client.open()
        assert [child.name for child in features.children] == ['starttls', 'mechanisms', 'authentication', 'limits']
        assert b'<required/>' not in features.inner and 'PLAIN' not in client.mechanisms
        await client.authenticate()

    async def test_starttls_login_and_chat(self) -> None:
        self.start()
        client = await self.logged_in()
        assert client.jid == f'romeo@{DOMAIN}/r'
        client.send(chat(1))
        client.send(f"<iq type='get' id='x' to='{DOMAIN}'><ping xmlns='urn:xmpp:ping'/></iq>")
        (session,) = self.c2s.sessions.values()
        await self.until(lambda: len(self.sm.frames) == 2)
        self.sm.send('c2s-1', session.stream, message(1))
        assert await client.stanza('message') == message(1)

    async def test_each_stream_of_a_connection_has_an_id_and_features_of_its_own(self) -> None:
        """RFC 6120 §4.3.3, §5.4.3.3, §6.4.6; the earlier one just ends, and no space follows <proceed/> (§5.3.3)."""
        self.start()
        client = await self.connect()
        heard: list[bytes] = []
        take = client.dataReceived

        def hear(data: bytes) -> None:
            heard.append(data)
            take(data)

        client.dataReceived = hear  # type: ignore[method-assign]
        ids, offers = set(), []

        def note() -> None:
            assert client.header is not None and client.features is not None
            ids.add(client.header.attrs['id'])
            offers.append([child.name for child in client.features.children])

        await client.open()
        note()
        await client.start_tls(ssl.CertificateOptions(verify=False))
        note()
        await client.authenticate()
        await client.open()
        note()
        assert len(ids) == 3
        assert [[name in offer for name in ('starttls', 'mechanisms', 'bind')] for offer in offers] == [
            [True, False, False], [False, True, False], [False, False, True],
        ]  # fmt: skip
        said = b''.join(heard)
        before, _, after = said.partition(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        assert before.endswith(b'</stream:features>') and after.startswith(b'<?xml ')
        assert b'</success><?xml ' in after and b'</stream:stream>' not in said

    async def test_a_connection_ends_with_close_notify(self) -> None:
        """RFC 6120 §4.4: so that nobody can cut the end off unseen."""
        self.start()
        for last in ('</stream:stream>', '<thing/>'):
            client = await self.logged_in()
            reasons: list[Failure] = []
            lost = client.connectionLost

            def note(reason: Failure, reasons: list[Failure] = reasons, lost: Any = lost) -> None:
                reasons.append(reason)
                lost(reason)

            client.connectionLost = note  # type: ignore[method-assign, assignment]
            client.send(last)
            await client.end()
            assert [reason.type for reason in reasons] == [ConnectionDone]

    async def test_packets_are_neither_held_back_nor_sent_to_nobody_for_ever(self) -> None:
        self.start()
        client = await self.connect()
        await client.open()
        (login,) = self.c2s.logins
        transport = login._conn.transport
        assert transport.getTcpNoDelay() and transport.getTcpKeepAlive()

    async def test_plain_is_checked_in_a_thread(self) -> None:
        self.start()
        client = await self.logged_in('PLAIN')
        assert client.jid == f'romeo@{DOMAIN}/r'
        other = await self.under_tls()
        other.password = 'wrong'
        with self.assertRaises(Refused):
            await other.authenticate('PLAIN')

    async def test_under_tls_channel_bindings_are_listed_and_the_mechanisms_with_them_come_first(self) -> None:
        self.start()
        client = await self.under_tls()
        assert client.mechanisms == [
            'SCRAM-SHA-512-PLUS', 'SCRAM-SHA-256-PLUS', 'SCRAM-SHA-1-PLUS',
            'SCRAM-SHA-512', 'SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN',
        ]  # fmt: skip
        assert client.features is not None
        assert [child.name for child in client.features.children] == [
            'sasl-channel-binding', 'mechanisms', 'authentication', 'limits',
        ]  # fmt: skip
        for kind in (b'tls-exporter', b'tls-server-end-point'):
            assert b"<channel-binding type='%b'/>" % kind in client.features.inner

    async def test_login_with_channel_binding(self) -> None:
        self.start()
        certificate = x509.load_pem_x509_certificate(self.chain.read_bytes())
        client = await self.under_tls()
        handle = client.transport.getHandle()  # type: ignore[union-attr]
        exporter = handle.export_keying_material(b'EXPORTER-Channel-Binding', 32, b'')
        await client.authenticate('SCRAM-SHA-256-PLUS', ('tls-exporter', exporter))
        client = await self.under_tls()
        await client.authenticate('SCRAM-SHA-1-PLUS', ('tls-server-end-point', end_point(certificate) or b''))
        await client.open()
        await client.bind('r')

    async def test_a_wrong_binding_and_a_stripped_offer_are_refused(self) -> None:
        self.start(login_attempts=5)
        client = await self.under_tls()
        with self.assertRaises(Refused):
            await client.authenticate('SCRAM-SHA-256-PLUS', ('tls-exporter', bytes(32)))
        with self.assertRaises(Refused):
            await client.authenticate('SCRAM-SHA-256', flag='y')

    async def test_what_is_pipelined_after_starttls_is_a_failure(self) -> None:
        self.start()
        for more in (chat(1), '<iq type="set"><bind', '<x', "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"):
            client = await self.connect()
            await client.open()
            client.send(f"<starttls xmlns='{ns.TLS}'/>" + more)
            failure = await client.nonza('failure', 'proceed')
            assert failure.name == 'failure' and failure.ns == ns.TLS
            assert await client.end() == ''

    async def test_starttls_inside_tls_is_a_failure(self) -> None:
        self.start()
        client = await self.under_tls()
        client.send(f"<starttls xmlns='{ns.TLS}'/>")
        assert (await client.nonza('failure')).ns == ns.TLS
        await client.end()

    async def test_what_is_no_tls_after_proceed_ends_the_connection(self) -> None:
        self.start()
        client = await self.connect()
        await client.open()
        client.send(f"<starttls xmlns='{ns.TLS}'/>")
        await client.nonza('proceed')
        client.send(HEADER)
        await client.end()
        await self.until(lambda: not self.c2s.logins)

    async def test_direct_tls(self) -> None:
        self.start()
        for offer in ([b'xmpp-client'], [b'h2', b'xmpp-client'], []):
            client = await self.connect(self.direct_port)
            client.transport.startTLS(DirectTLS(offer))  # type: ignore[union-attr]
            features = await client.open()
            assert 'starttls' not in [child.name for child in features.children]
            chosen = client.transport.getHandle().get_alpn_proto_negotiated()  # type: ignore[union-attr]
            assert chosen == (b'xmpp-client' if offer else b'')
            await client.authenticate()
            await client.open()
            await client.bind()

    async def test_direct_tls_with_a_foreign_protocol_is_refused(self) -> None:
        self.start()
        client = await self.connect(self.direct_port)
        client.transport.startTLS(DirectTLS([b'h2']))  # type: ignore[union-attr]
        with self.assertRaises(Closed):
            await client.open()

    async def test_a_stream_error_arrives_though_the_client_goes_on_sending(self) -> None:
        self.start()
        client = await self.logged_in()
        client.send(b"<message to='a'><body>" + b'x' * (10 << 20) + b'</body></message>')
        assert await client.end() == 'policy-violation'
        assert (await self.logged_in()).jid

    async def test_see_other_host_is_said_under_tls(self) -> None:
        self.start(see_other_host='chat2.example.net')
        client = await self.connect()
        await client.open()
        with self.assertRaises(Closed):
            await client.start_tls(ssl.CertificateOptions(verify=False))
        assert client.error == 'see-other-host'

    async def test_a_large_backlog_arrives_whole(self) -> None:
        self.start(outgoing_bytes=64 << 20)
        client = await self.logged_in()
        (session,) = self.c2s.sessions.values()
        big = Stanza('message', {'type': 'chat'}, b'<body>' + b'x' * 100000 + b'</body>')
        client.transport.pauseProducing()  # type: ignore[union-attr]
        uids = [self.sm.send('c2s-1', session.stream, big) for _ in range(120)]
        await self.until(lambda: session._congested)
        client.transport.resumeProducing()  # type: ignore[union-attr]
        for _ in uids:
            assert (await client.stanza('message')).inner == big.inner
        await self.until(lambda: all(uid in self.sm.confirmed for uid in uids))

    async def test_shutdown_under_tls(self) -> None:
        self.start()
        clients = [await self.logged_in(acks=acks) for acks in (False, True)]
        clients[1].send(chat(1))
        ends = gatherResults([Deferred.fromCoroutine(client.end()) for client in clients])
        await self.c2s.stop()
        assert await ends == ['system-shutdown'] * 2
        assert not self.c2s.sessions and self.sm.numbers in ([1], [])
        assert clients[1].acked == len(self.sm.numbers)

    async def until(self, holds: Any) -> None:
        while not holds():
            await deferLater(reactor, 0.005, lambda: None)  # type: ignore[arg-type]
