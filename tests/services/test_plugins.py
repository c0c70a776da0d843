"""Component plugins as parts of a process: started and stopped with it, and one sentence for what can't be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

import jabberd_tx.compat.wokkel  # noqa: F401  # isort: skip
from wokkel.ping import PingHandler

from jabberd_tx.base.options import ConfigError
from jabberd_tx.components.plugins.plugin import ComponentPlugin
from jabberd_tx.services.embedded import EmbeddedServer


class Pong(ComponentPlugin):
    """Answers pings."""

    name = 'pong'

    def handlers(self) -> list[Any]:
        return [PingHandler()]


class Ping(Pong):
    """The same elsewhere."""

    name = 'ping'


class PluginTests(TestCase):
    """In an embedded server."""

    def server(self, *overrides: str) -> EmbeddedServer:
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        settings = ['c2s.port=0', 'c2s.tls_port=0', 'c2s.require_tls=false', 'http.enabled=false', 'server.node=e']
        return EmbeddedServer(
            reactor, None, [f'server.data={folder}/data', *settings, *overrides], plugins=[Pong, Ping]
        )  # fmt: skip

    async def test_those_that_are_on_serve_their_names(self) -> None:
        """Health and status know them; they leave with the server."""
        server = self.server('component.pong.enabled=true')
        server.startService()
        await server.ready()
        self.assertEqual(list(server.plugins.by_name), ['pong'])
        self.assertEqual(list(server.sm.links.instances('pong.localhost')), ['pong-e'])
        self.assertEqual(server.http.health()['component pong'], 'ok')
        self.assertEqual(server.figures['pong.localhost'](), {'taken': 0, 'sent': 0})
        self.assertEqual([one['state'] for one in server.plugins.listing()], ['on', 'off'])
        await server.stopService()
        self.assertEqual(server.plugins.by_name, {})

    async def test_what_can_not_be_is_one_sentence(self) -> None:
        for overrides, text in (
            (('domain=localhost',), 'component.pong.domain: localhost is the domain of users (server.domains)'),
            (('domain=a@b',), "component.pong.domain: expected a domain name, not 'a@b'"),
            (
                ('domain=a.b', 'secret=s', 'connect=localhost:5347'),
                "component.pong.connect: expected an endpoint such as 'tcp:localhost:5347', not 'localhost:5347'",
            ),
        ):
            server = self.server('component.pong.enabled=true', *[f'component.pong.{one}' for one in overrides])
            server.startService()
            with self.assertRaises(ConfigError) as raised:
                await server.ready()
            self.assertTrue(str(raised.exception).startswith(text), str(raised.exception))
            await server.stopService()
        server = self.server(
            'component.pong.enabled=true', 'component.ping.enabled=true', 'component.ping.domain=pong.localhost'
        )
        server.startService()
        with self.assertRaises(ConfigError) as raised:
            await server.ready()
        wanted = 'component.ping.domain: pong.localhost is that of component.pong'
        self.assertEqual(str(raised.exception), wanted)
        await server.stopService()

    async def test_one_that_no_server_takes_in_is_not_healthy(self) -> None:
        """The rest of the process works."""
        server = self.server(
            'component.pong.enabled=true', 'component.pong.domain=pong.example', 'component.pong.secret=s',
            'component.pong.connect=tcp:127.0.0.1:1',
        )  # fmt: skip
        server.startService()
        await server.ready()
        self.assertEqual(server.http.health()['component pong'], 'no link to tcp:127.0.0.1:1')
        self.assertEqual(server.plugins.listing()[0]['server'], 'tcp:127.0.0.1:1')
        await server.stopService()
