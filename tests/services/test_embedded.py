"""EmbeddedServer inside an application: it says when it is ready or why not, and leaves the process alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.error import CannotListenError
from twisted.trial.unittest import TestCase

from jabberd_tx.base.options import ConfigError
from jabberd_tx.components.sm.finding import DuplicateModule
from jabberd_tx.components.sm.module import Module
from jabberd_tx.components.stanza_component import StanzaComponent
from jabberd_tx.services.embedded import EmbeddedServer
from jabberd_tx.storage import accounts
from jabberd_tx.xmpp.jid import InvalidJid
from jabberd_tx.xmpp.sasl.verifiers import verify

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / 'examples'


class Named(Module):
    """Does nothing."""

    name = 'named'


class EmbeddedTests(TestCase):
    """With real ports and files."""

    def server(self, *overrides: str, modules: Sequence[type[Module]] = ()) -> EmbeddedServer:
        """On any free port, with a component."""
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        settings = ['c2s.tls_port=0', 'c2s.require_tls=false', 'http.enabled=false', 'server.node=e', *overrides]
        return EmbeddedServer(
            reactor, None, [f'server.data={folder}/data', *settings], modules=modules,
            components={'bot.localhost': StanzaComponent},
        )  # fmt: skip

    async def test_parts_are_there_once_it_is_ready(self) -> None:
        """Also for who asks late; the component serves its name; nothing is left after the stop."""
        turns, mask, hangup = reactor.doIteration, os.umask(0o022), signal.getsignal(signal.SIGHUP)
        server = self.server('c2s.port=0', modules=[Named])
        waiting = server.ready()
        server.startService()
        await waiting
        await server.ready()
        self.assertIn('named', server.sm.modules)
        self.assertEqual(list(server.sm.links.instances('bot.localhost')), ['bot.localhost-e'])
        self.assertEqual(list(server.components), ['bot.localhost'])
        self.assertEqual((os.umask(mask), signal.getsignal(signal.SIGHUP)), (0o022, hangup))
        await server.stopService()
        self.assertEqual(reactor.doIteration, turns)

    async def test_health_says_that_it_leaves_before_it_is_gone(self) -> None:
        """So that whoever shares out new clients sends it none."""
        server = self.server('c2s.port=0')
        server.startService()
        await server.ready()
        self.assertEqual(server.http.health()['clients'], 'ok')
        stopped = server.stopService()
        self.assertEqual(server.http.health()['clients'], 'about to leave')
        await stopped

    async def test_accounts_are_made_from_code(self) -> None:
        """Prepared as any; a second time it is a new password."""
        server = self.server('c2s.port=0')
        server.startService()
        await server.ready()
        self.assertTrue(await server.add_account('Juliet@localhost', 'one'))
        self.assertFalse(await server.add_account('juliet@localhost', 'two'))
        credentials = await server.storage.run(accounts.credentials, 'juliet@localhost')
        self.assertTrue(verify('two', credentials))
        for jid in ('localhost', 'juliet@localhost/x', 'juliet@elsewhere.net', '@'):
            with self.assertRaises(InvalidJid):
                await server.add_account(jid, 'secret')
        await server.stopService()

    async def test_who_waits_is_told_why_it_can_not_start(self) -> None:
        """The process lives on, and what was started is stopped with the service."""
        other = self.server('c2s.port=0')
        other.startService()
        await other.ready()
        port = other.c2s.listen(0).getHost().port
        server = self.server(f'c2s.port={port}')
        server.startService()
        with self.assertRaises(CannotListenError):
            await server.ready()
        with self.assertRaises(CannotListenError):
            await server.ready()
        await server.stopService()
        await other.stopService()

    def test_what_may_not_be_is_told_at_once(self) -> None:
        """A wrong option, one of a module that is not there, two modules of one name."""
        with self.assertRaises(ConfigError):
            self.server('c2s.prot=1')
        with self.assertRaises(ConfigError):
            self.server('modules.named.enabled=false')

        class Ping(Module):
            """Another one."""

            name = 'ping'

        with self.assertRaises(DuplicateModule):
            self.server(modules=[Ping])


def test_a_module_in_twisted_plugins_is_found_with_its_options(tmp_path: Path) -> None:
    """docs/embedding.md: one import in a file of that folder, anywhere on the path, is all that it takes."""
    (tmp_path / 'twisted' / 'plugins').mkdir(parents=True)
    (tmp_path / 'twisted' / 'plugins' / 'count_messages.py').write_text('from embedded import Count\n')
    code = (
        'from jabberd_tx.services.sections import all_sections\n'
        "print([[option.name for option in s.options] for s in all_sections() if s.name == 'modules.count'])"
    )
    path = os.pathsep.join([str(tmp_path), str(EXAMPLES), str(ROOT)])
    done = subprocess.run(
        [sys.executable, '-c', code], env={**os.environ, 'PYTHONPATH': path}, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "[['enabled', 'first']]\n", done.stderr
