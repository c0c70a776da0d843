"""A play against a server in this process, over real sockets, without TLS."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from jabberd_tx.load.cast import Cast
from jabberd_tx.load.client import DIRECT, STARTTLS, trusting
from jabberd_tx.load.main import endpoint_to
from jabberd_tx.load.play import Play
from jabberd_tx.load.report import Report
from jabberd_tx.services.embedded import EmbeddedServer
from jabberd_tx.xmpp.traffic import Sent, Shape

TOML = """
[server]
domains = ['localhost']
[c2s]
port = 0
tls_port = 0
require_tls = false
plain_without_tls = true
plaintext_on_loopback = true
[http]
enabled = false
"""
WITH_TLS = """
[server]
domains = ['localhost']
[[certificate]]
[c2s]
port = 0
tls_port = 0
[http]
enabled = false
"""
BODY = (Shape('jabber:client', 'body', 40),)


class PlayTests(TestCase):
    """With two accounts, test1 and test2."""

    async def start(self, text: str = TOML, direct_tls: bool = False) -> int:
        """The server; gives its port."""
        folder = self.folder = self.mktemp()
        os.makedirs(folder)
        with open(os.path.join(folder, 'site.toml'), 'w') as file:
            file.write(text)
        server = EmbeddedServer(reactor, os.path.join(folder, 'site.toml'), [f'admin.folder="{folder}/run"'])
        server.prepare()
        server.startService()
        self.addCleanup(server.stopService)
        await server.ready()
        for name in ('test1', 'test2'):
            await server.add_account(f'{name}@localhost', 'secret')
        port: int = server.c2s.listen(0, direct_tls).getHost().port  # type: ignore[attr-defined]
        return port

    async def play(self, port: int, recorded: list[Sent], **more: Any) -> Report:
        """By those two."""
        cast = Cast(recorded, 'localhost', 'test', {})
        endpoint = endpoint_to(reactor, '127.0.0.1', port, more.pop('wrap', None))
        options = {'password': 'secret', 'scale': 100.0, 'security': 'none', 'tls': None, 'quiet': 0.2, **more}
        return await Play(cast, endpoint, reactor, domain='localhost', **options).run()

    async def test_all_is_sent_and_what_comes_is_counted(self) -> None:
        """Messages, questions with and without an error, presence."""
        port = await self.start()
        recorded = [
            Sent(0.0, 'u1@d1/r1', '', 'presence', '', 0, ()),
            Sent(5.0, 'u1@d1/r1', 'u2@d1/r1', 'message', 'chat', 40, BODY),
            Sent(6.0, 'u2@d1/r1', 'u1@d1', 'message', 'chat', 40, BODY),
            Sent(7.0, 'u2@d1/r1', 'd1', 'iq', 'get', 30, (Shape('urn:xmpp:ping', 'ping', 30),)),
            Sent(8.0, 'u2@d1/r1', 'u1@d1/r1', 'iq', 'get', 30, (Shape('urn:xmpp:ping', 'ping', 30),)),
            Sent(9.0, 'u2@d1/r1', 'd1', 'iq', 'get', 30, (Shape('urn:example:nothing', 'query', 30),)),
        ]
        report = await self.play(port, recorded)
        self.assertTrue(report.good, report.text())
        self.assertEqual((report.sessions, report.sent), (2, {'message': 2, 'iq': 3, 'presence': 1}))
        self.assertEqual((report.arrived['message'], report.answered), (2, 3), report.text())
        self.assertEqual([len(waits) for waits in report.waits.values()], [2, 3])
        self.assertEqual(dict(report.errors), {'service-unavailable': 1})
        self.assertLess(report.seconds, 5.0)

    async def test_it_is_said_over_tls(self) -> None:
        """STARTTLS, and from the first byte; whoever is not vouched for gets no password."""
        recorded = [Sent(0.0, 'u1@d1/r1', '', 'presence', '', 0, ())]
        for security in (STARTTLS, DIRECT):
            port = await self.start(WITH_TLS, security == DIRECT)
            with open(os.path.join(self.folder, 'var', 'certificate.pem'), 'rb') as file:
                authority = file.read()
            for trust, sessions in ((authority, 1), (None, 0)):
                tls = trusting('localhost', trust, False)
                wrap = tls() if security == DIRECT else None
                report = await self.play(port, recorded, security=security, tls=tls, wrap=wrap)
                self.assertEqual(report.sessions, sessions, report.text())
            tls = trusting('localhost', None, True)
            report = await self.play(port, recorded, security=security, tls=tls, wrap=tls() if wrap else None)
            self.assertTrue(report.good, report.text())

    async def test_who_cannot_log_in_is_told(self) -> None:
        """The others play."""
        port = await self.start()
        recorded = [Sent(0.0, f'u{n}@d1/r1', '', 'presence', '', 0, ()) for n in (1, 2, 3)]
        report = await self.play(port, recorded)
        self.assertEqual((report.sessions, dict(report.failed)), (2, {'not-authorized': 1}))
        self.assertFalse(report.good)
        report = await self.play(port, recorded[:1], security='starttls')
        self.assertEqual((report.sessions, dict(report.failed)), (0, {'no STARTTLS': 1}))
        report = await self.play(1, recorded[:1])
        self.assertEqual(dict(report.failed), {'ConnectionRefusedError': 1})

    async def test_a_stream_that_ends_early_is_told(self) -> None:
        """With its error."""
        port = await self.start()
        bad = Sent(0.0, 'u1@d1/r1', '', 'message', '', 0, (), '<body>unclosed')
        report = await self.play(port, [bad])
        self.assertEqual(dict(report.ended), {'not-well-formed': 1})
