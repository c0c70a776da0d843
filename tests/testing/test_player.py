"""Acceptance scripts as they are played: what the server does otherwise is told with the script's line."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import pytest
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from jabberd_tx.services.embedded import EmbeddedServer
from jabberd_tx.testing.acceptance import player
from jabberd_tx.testing.acceptance.player import PASSWORD, Mismatch, Player, account_of
from jabberd_tx.testing.acceptance.script import parse

CHAT = """# Two of them.
juliet/balcony comes online
romeo/orchard comes online
juliet/balcony sends
    <message to='$romeo/orchard' id='1'><body>Romeo</body></message>
"""


@pytest.mark.system
class PlayerTests(TestCase):
    """Against a server on a socket, without TLS."""

    async def play(self, text: str) -> None:
        """Mismatch."""
        script = parse(text, 's', 's.txt')
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        settings = ['c2s.port=0', 'c2s.tls_port=0', 'c2s.require_tls=false', 'http.enabled=false', 'server.node=p']
        server = EmbeddedServer(reactor, None, [f'server.data={folder}/data', *settings])
        server.startService()
        await server.ready()
        try:
            for user in script.users:
                await server.add_account(f'{account_of(script, user)}@localhost', PASSWORD)
            port = server.c2s.listen(0).getHost().port
            await deferToThread(Player(script, 'localhost', [port], None).play)
        finally:
            await server.stopService()

    async def mismatch(self, text: str) -> str:
        """What is told."""
        with patch.object(player, 'SECONDS', 1.0), self.assertRaises(Mismatch) as raised:
            await self.play(text)
        return str(raised.exception)

    async def test_a_conversation_that_goes_as_it_is_written(self) -> None:
        """To its end."""
        await self.play(
            CHAT + 'romeo/orchard receives\n'
            "    <message from='$juliet/balcony' id='{id}'><body>Romeo</body></message>\n"
            "romeo/orchard sends\n    <message to='$juliet/balcony' id='re-{id}'/>\n"
            "juliet/balcony receives\n    <message from='$romeo/orchard' id='re-1'/>\n"
        )

    async def test_what_is_other_than_written(self) -> None:
        """Told with what has come."""
        said = await self.mismatch(
            CHAT + "romeo/orchard receives\n    <message from='$juliet/balcony'><body>Paris</body></message>\n"
        )
        self.assertTrue(said.startswith("s.txt:6: <message/>: <body/> holds 'Romeo', not 'Paris'; romeo/orchard"), said)
        self.assertIn('Romeo</', said)

    async def test_what_does_not_come(self) -> None:
        """Told after a while; so is a stream that does not end."""
        said = await self.mismatch(CHAT + 'juliet/balcony receives\n    <message/>\n')
        self.assertEqual(said, 's.txt:6: juliet/balcony has received nothing')
        said = await self.mismatch(CHAT + 'the stream of juliet/balcony ends\n')
        self.assertTrue(said.startswith('s.txt:6: Silence'), said)

    async def test_what_comes_and_is_not_told_of(self) -> None:
        """At the end, and where nothing is expected."""
        for more in ('', 'romeo/orchard receives nothing\n'):
            said = await self.mismatch(CHAT + more)
            self.assertIn('romeo/orchard has received <ns0:message', said)
            self.assertTrue(said.endswith('of which the script does not tell'), said)

    async def test_a_stream_that_ends_otherwise(self) -> None:
        """With another error."""
        said = await self.mismatch(
            "# x\njuliet logs in\njuliet sends\n    <love xmlns='urn:example:love'/>\n"
            'the stream of juliet ends with conflict\n'
        )
        self.assertEqual(said, 's.txt:5: the stream has ended with unsupported-stanza-type')

    async def test_what_was_never_kept(self) -> None:
        """Is told before anything is sent."""
        said = await self.mismatch("# x\njuliet logs in\njuliet sends\n    <presence id='{id}'/>\n")
        self.assertEqual(said, "s.txt:3: nothing was kept as 'id'")
