"""jabberd-ctl modules and reference; the page made from what modules declare."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from jabberd_tx.base.options import Option
from jabberd_tx.components.sm.hooks import POINTS
from jabberd_tx.components.sm.module import SERVER, Module, answers, hook
from jabberd_tx.control.admin import AdminSocket
from jabberd_tx.control.admin_wire import AdminError
from jabberd_tx.control.module_operations import modules_operation
from jabberd_tx.control.module_reference import module_page, one_module
from jabberd_tx.control.options import socket_path
from jabberd_tx.storage.module_tables import ModuleTables
from jabberd_tx.testing.ctl import CtlSite, Said

TOLD = [
    {
        'name': 'ping', 'state': 'on', 'help': 'Answers pings.', 'xeps': ['XEP-0199'], 'module': 'a', 'features': [],
        'hooks': [['message_sent', 20, 'look']], 'calls': 3, 'failures': 1,
        'answers': [['get', 'urn:xmpp:ping', 'ping', ['own account', 'server']]],
    },
    {
        'name': 'shout', 'state': 'off', 'help': 'Is loud.', 'xeps': [], 'module': 'b', 'features': [],
        'hooks': [], 'answers': [], 'calls': 0, 'failures': 0,
    },
]  # fmt: skip


class CtlModulesTests(TestCase):
    """Session managers that are admin sockets in this process."""

    def setUp(self) -> None:
        self.site = CtlSite(self.mktemp())

    def listen(self, node: str, operation: Any) -> None:
        admin = AdminSocket(socket_path(self.site.admin, node), reactor, {'modules': operation}, self.site.admin)
        admin.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(admin.stop()))

    async def ctl(self, *arguments: str) -> Said:
        return await deferToThread(self.site.run, *arguments)

    async def test_each_session_manager_is_asked(self) -> None:
        """State, counts, hooks in their order, answers."""
        for node in ('sm-a', 'sm-b'):
            self.listen(node, modules_operation(lambda: TOLD))
        said = await self.ctl('modules')
        self.assertEqual(
            said.out.splitlines()[:5],
            [
                'sm-a: 1 of 2 modules on',
                '  ping: on (3 calls, 1 failed): Answers pings.',
                '    XEP-0199',
                '    hook message_sent, order 20: look',
                '    answers get ping of urn:xmpp:ping for own account, server',
            ],
        )
        self.assertIn('  shout: off: Is loud.\nsm-b: 1 of 2', said.out)
        lines = (await self.ctl('modules', '--json', 'shout')).out.splitlines()
        self.assertEqual(json.loads(lines[1]), {'node': 'sm-b', 'modules': TOLD[1:]})
        unknown = await self.ctl('modules', 'whisper')
        self.assertEqual((unknown.status, unknown.err), (1, 'Error: sm-a: no module is named whisper\n'))

    async def test_who_can_not_be_asked_is_told(self) -> None:
        """Nobody runs; one does not answer."""
        self.assertEqual(await self.ctl('modules'), Said(1, '', 'Error: no session manager is running here\n'))

        async def sick() -> None:
            raise AdminError('timed-out', 'modules: not done within 60 s')

        self.listen('sm-a', sick)
        said = await self.ctl('modules')
        self.assertEqual((said.status, said.err), (1, 'sm-a: modules: not done within 60 s\n'))

    async def test_the_reference_is_printed_of_all_or_some(self) -> None:
        """Without a server."""
        whole = (await self.ctl('reference')).out
        self.assertTrue(whole.startswith('# Modules\n') and '\n## ping\n' in whole and '## Hooks' in whole)
        some = (await self.ctl('reference', 'ping')).out
        self.assertTrue(some.startswith('## ping\n') and '## disco' not in some and some.strip() in whole)
        self.assertEqual((await self.ctl('reference', 'shout')).err, 'Error: no module or component is named shout\n')


METADATA = sa.MetaData()
sa.Table('declares', METADATA, sa.Column('owner', sa.Text, primary_key=True))


class Declares(Module):
    """Declares all that may be."""

    name = 'declares'
    xeps = ('XEP-0999',)
    server_features = ('urn:example:d',)
    enabled = False
    options = (Option('size', int, 7, 'How | many.', low=1),)
    tables = ModuleTables('declares', METADATA, lambda op: None)

    @hook('message_sent', order=7)
    def look(self, message: Any) -> None: ...

    @answers('get', 'urn:example:d', 'd', SERVER)
    def tell(self, request: Any) -> None: ...


def test_all_that_a_module_declares_is_on_the_page() -> None:
    """Also of one from elsewhere; and every point is explained."""
    text = one_module(Declares)
    for part in (
        '## declares', 'Declares all that may be. Off by default.', '[XEP-0999](https://xmpp.org/extensions/xep-0999.html)',
        'Features of the server: `urn:example:d`', 'Answers `get` of `d` in `urn:example:d` (server)',
        'Hooks: `message_sent` (order 7)', 'Tables: `declares`',
        '| `size` | `7` | an integer at least 1 | How \\| many. |', '| `enabled` | `false` |',
    ):  # fmt: skip
        assert part in text, part
    page = module_page([Declares])
    assert all(f'| `{point.name}` |' in page for point in POINTS)
