"""jabberd-ctl components; the reference of a component plugin."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from click.testing import CliRunner
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from jabberd_tx.base.options import Option, Section
from jabberd_tx.components.plugins.finding import DuplicatePlugin
from jabberd_tx.components.plugins.plugin import ComponentPlugin
from jabberd_tx.control.admin import AdminSocket
from jabberd_tx.control.admin_wire import AdminError
from jabberd_tx.control.component_operations import components_operation
from jabberd_tx.control.component_reference import one_component
from jabberd_tx.control.ctl.main import command
from jabberd_tx.control.options import socket_path
from jabberd_tx.storage.module_tables import ModuleTables
from jabberd_tx.storage.schema import OWNER_BYTES, JidText
from jabberd_tx.testing.ctl import CtlSite, Said

HEAD = {'xeps': [], 'module': 'a'}
TOLD: list[dict[str, Any]] = [
    {
        **HEAD, 'name': 'dice', 'state': 'on', 'help': 'Rolls dice.', 'xeps': ['XEP-9999'], 'domain': 'dice.localhost',
        'server': '', 'linked': True, 'handlers': ['Rolling', 'PingHandler'],
        'stanzas': 4, 'faults': 1, 'taken': 2, 'sent': 3,
    },
    {
        **HEAD, 'name': 'echo', 'state': 'on', 'help': 'Echoes.', 'domain': 'echo.example', 'server': 'tcp:a:5347',
        'linked': False, 'handlers': [], 'stanzas': 0, 'faults': 0, 'taken': 0, 'sent': 0,
    },
    {**HEAD, 'name': 'shout', 'state': 'failed', 'help': 'Is loud.'},
]  # fmt: skip


class CtlComponentsTests(TestCase):
    """Processes that are admin sockets in this one."""

    def setUp(self) -> None:
        self.site = CtlSite(self.mktemp())

    def listen(self, node: str, operation: Any) -> None:
        admin = AdminSocket(socket_path(self.site.admin, node), reactor, {'components': operation}, self.site.admin)
        admin.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(admin.stop()))

    async def ctl(self, *arguments: str) -> Said:
        return await deferToThread(self.site.run, *arguments)

    async def test_each_process_is_asked(self) -> None:
        """What is on, what it serves, what it has done."""
        self.listen('component-a', components_operation(lambda: TOLD))
        self.listen('jabberd-b', components_operation(lambda: []))
        said = await self.ctl('components')
        self.assertEqual(
            said.out.splitlines(),
            [
                'component-a: 2 of 3 components on',
                '  dice: on: Rolls dice.',
                '    XEP-9999',
                '    serves dice.localhost on the routers',
                '    made of Rolling, PingHandler',
                '    4 stanzas taken, 2 not done with, 1 failed; 3 sent and not confirmed',
                '  echo: on: Echoes.',
                '    serves echo.example at tcp:a:5347 by XEP-0114, which can not be reached',
                '    0 stanzas taken, 0 not done with, 0 failed; 0 sent and not confirmed',
                '  shout: failed: Is loud.',
                'jabberd-b: 0 of 0 components on',
            ],
        )

    async def test_some_are_asked_for(self) -> None:
        self.listen('component-a', components_operation(lambda: TOLD))
        told = await self.ctl('components', '--json', 'shout')
        self.assertEqual(json.loads(told.out), {'node': 'component-a', 'components': TOLD[2:]})
        unknown = await self.ctl('components', 'whisper')
        self.assertEqual((unknown.status, unknown.err), (1, 'Error: component-a: no component is named whisper\n'))

    async def test_who_can_not_be_asked_is_told(self) -> None:
        """Nobody runs; one does not answer."""
        said = Said(1, '', 'Error: no process that runs components is running here\n')
        self.assertEqual(await self.ctl('components'), said)

        async def sick() -> None:
            raise AdminError('timed-out', 'components: not done within 60 s')

        self.listen('component-a', sick)
        said = await self.ctl('components')
        self.assertEqual((said.status, said.err), (1, 'component-a: components: not done within 60 s\n'))


metadata = sa.MetaData()
sa.Table('dice', metadata, sa.Column('owner', JidText(OWNER_BYTES), primary_key=True))


def make(op: object) -> None:
    """Nothing."""


class Dice(ComponentPlugin):
    """Rolls dice."""

    name, subdomain, policy, xeps = 'dice', 'games', 'from', ('XEP-9999',)
    options = (Option('most', int, 100, 'Dice at once.', low=1),)
    tables = ModuleTables('dice', metadata, make)


def test_the_reference_tells_what_is_declared() -> None:
    page = one_component(Dice)
    for part in (
        '## dice\n\nRolls dice. A component. It serves `games.` below the first domain', 'Off by default.',
        '- Options: `[component.dice]`', '[XEP-9999](https://xmpp.org/extensions/xep-9999.html)', '`from`',
        '- Tables: `dice`', '| `most` | `100` |', '| `enabled` | `false` |', '| `connect` |',
    ):  # fmt: skip
        assert part in page, part


def test_two_plugins_of_one_name_are_told_in_one_line() -> None:
    def sections() -> list[Section]:
        raise DuplicatePlugin('a and b both declare a component dice')

    said = CliRunner().invoke(command(sections, lambda: None), ['components'])
    assert (said.exit_code, said.output) == (1, 'Error: a and b both declare a component dice\n')
