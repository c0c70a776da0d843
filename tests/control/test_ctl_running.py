"""jabberd-ctl status, reload, db, and check beside running processes."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import closing
from types import SimpleNamespace
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from jabberd_tx.components.c2s import options as c2s
from jabberd_tx.control.admin import AdminSocket
from jabberd_tx.control.admin_wire import AdminError
from jabberd_tx.control.ctl import status as status_command
from jabberd_tx.control.options import socket_path
from jabberd_tx.control.reload import Reload
from jabberd_tx.storage import migrations
from jabberd_tx.storage.sql.sqlite_file import SqliteFile
from jabberd_tx.testing.ctl import PLAIN, CtlSite, Said


class CtlTests(TestCase):
    """A site whose processes are admin sockets in this one."""

    def setUp(self) -> None:
        self.site = CtlSite(self.mktemp())

    def listen(self, node: str, **operations: Any) -> AdminSocket:
        """A process of the site."""
        admin = AdminSocket(socket_path(self.site.admin, node), reactor, operations, self.site.admin)
        admin.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(admin.stop()))
        return admin

    async def ctl(self, *arguments: str) -> Said:
        return await deferToThread(self.site.run, *arguments)

    # ---- status

    async def test_status_shows_each_process(self) -> None:
        """What it tells of itself, and what the kernel does."""

        async def status() -> dict[str, object]:
            figures = {'sessions': 7, 'pins': {'sm-a7': 'up'}, 'listening': ['5222', '5223']}
            return {'node': 'c2s-a7', 'kind': 'c2s', 'version': '0.1', 'pid': os.getpid(), **figures}

        self.listen('c2s-a7', status=status)
        said = await self.ctl('status', '--figures')
        self.assertEqual(said.status, 0)
        lines = said.out.splitlines()
        self.assertEqual(lines[1].split()[:3], ['c2s-a7', 'running', str(os.getpid())])
        self.assertEqual(lines[3], f'c2s-a7: c2s 0.1, process {os.getpid()}')
        self.assertEqual(lines[4:7], ['  sessions: 7', '  pins: sm-a7 up', '  listening: 5222, 5223'])
        told = json.loads((await self.ctl('status', '--json')).out)
        self.assertEqual((told['node'], told['sessions']), ('c2s-a7', 7))
        self.assertGreater(told['uptime_seconds'], 0)
        self.assertGreater(told['memory_kib'], 1000)

    async def test_status_tells_of_a_process_that_does_not_answer(self) -> None:
        """The others are shown; the exit status is 1."""

        async def sick() -> None:
            raise AdminError('timed-out', 'status: not done within 60 s')

        async def well() -> dict[str, object]:
            return {'kind': 'sm'}

        self.listen('c2s-a7', status=sick)
        self.listen('sm-a7', status=well)
        said = await self.ctl('status')
        self.assertEqual((said.status, said.err), (1, 'c2s-a7: status: not done within 60 s\n'))
        self.assertRegex(said.out, '(?m)^c2s-a7 +no answer .* status: not done within 60 s$')
        self.assertRegex(said.out, '(?m)^sm-a7 +running')

    async def test_nothing_running_is_told(self) -> None:
        """By status and by reload."""
        for command in ('status', 'reload', 'restart'):
            self.assertEqual(await self.ctl(command), Said(1, '', 'Error: the server is not running\n'))

    async def test_status_watches(self) -> None:
        """Again and again, with rates; Ctrl-C is a good end."""
        looks = 0

        async def status() -> dict[str, object]:
            nonlocal looks
            looks += 1
            return {'kind': 'sm', 'pid': 1, 'counts': {'stanzas': 1000 * looks}, 'queues': {'pending': looks}}

        self.listen('sm-a7', status=status)
        slept: list[float] = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) > 2:
                raise KeyboardInterrupt

        self.patch(status_command, 'time', SimpleNamespace(sleep=sleep, strftime=time.strftime))
        said = await self.ctl('status', '--watch', '5')
        self.assertEqual((said.status, said.err, slept), (0, '', [1.0, 5.0, 5.0]))
        self.assertEqual(said.out.count('PROCESS'), 2)
        self.assertRegex(said.out, r'\d stanzas +3 pending\n')

    # ---- reload

    async def test_reload_reaches_every_process(self) -> None:
        """Each applies what it can, and names the rest."""
        configs = [self.site.config, self.site.config]
        for node, config in zip(('c2s-a7', 'c2s-b8'), configs, strict=True):
            self.listen(node, reload=Reload(config).as_operation)
        self.listen('other')
        said = await self.ctl('reload')
        self.assertEqual(said, Said(0, 'c2s-a7: nothing has changed\nc2s-b8: nothing has changed\n', ''))
        self.site.file.write_text(PLAIN.replace('[c2s]', '[c2s]\nrequire_tls = false\nbacklog = 64'))
        said = await self.ctl('reload')
        expected = ['applied: c2s.require_tls: True -> False', 'needs a restart: c2s.backlog: 4096 -> 64']
        self.assertEqual(said.out.splitlines(), [f'{n}: {line}' for n in ('c2s-a7', 'c2s-b8') for line in expected])
        self.assertEqual([config.section(c2s.OPTIONS).require_tls for config in configs], [False, False])

    async def test_reload_says_what_failed(self) -> None:
        """With status 1."""
        reload = Reload(self.site.config)
        reload.always('certificates', lambda: 'key.pem: expected a private key')
        self.listen('c2s-a7', reload=reload.as_operation)
        said = await self.ctl('reload')
        self.assertEqual(said, Said(1, 'c2s-a7: failed: certificates: key.pem: expected a private key\n', ''))

    async def test_a_file_with_a_mistake_is_sent_to_nobody(self) -> None:
        """It is told here, in one line."""
        self.listen('c2s-a7', reload=Reload(self.site.config).as_operation)
        folder = self.site.admin.folder
        self.site.file.write_text(f"[admin]\nfolder = '{folder}'\n[c2s]\nport = 'x'")
        said = await self.ctl('reload')
        self.assertEqual(said.status, 1)
        self.assertIn('c2s.port', said.err)

    # ---- restart

    def supervise(self, *names: str, refuses: str = '') -> list[str]:
        """A supervisor with these processes, in the order in which it ends them; what it was told to restart."""
        asked: list[str] = []

        async def status() -> dict[str, object]:
            return {'kind': 'supervisor', 'processes': [{'name': name, 'state': 'running'} for name in names]}

        async def restart(name: str) -> dict[str, object]:
            if name == refuses:
                raise AdminError('stopped', f'{name} was stopped before it was ready')
            asked.append(name)
            return {'name': name, 'pid': 100 + len(asked)}

        self.listen('supervisor-1', **{'status': status, 'process.restart': restart})
        return asked

    async def test_restart_goes_from_one_to_the_next(self) -> None:
        """All, those first that are ended last; or those that are named, in that order."""
        self.listen('c2s-1')
        asked = self.supervise('c2s-1', 'sm-1', 'router-1')
        said = await self.ctl('restart')
        self.assertEqual((said.status, asked), (0, ['router-1', 'sm-1', 'c2s-1']))
        self.assertEqual(said.out.splitlines()[0], 'router-1 runs again, process 101')
        await self.ctl('restart', 'c2s-1', 'router-1')
        self.assertEqual(asked[3:], ['c2s-1', 'router-1'])

    async def test_restart_ends_at_the_first_that_does_not_come_back(self) -> None:
        """With status 1."""
        asked = self.supervise('c2s-1', 'sm-1', 'router-1', refuses='sm-1')
        said = await self.ctl('restart')
        self.assertEqual((said.status, asked), (1, ['router-1']))
        self.assertEqual(said.err, 'Error: sm-1 was stopped before it was ready\n')

    async def test_restart_asks_nobody_when_a_name_is_wrong(self) -> None:
        """Or when there is no supervisor."""
        asked = self.supervise('c2s-1')
        said = await self.ctl('restart', 'c2s-1', 'c2s-7')
        expected = 'Error: c2s-7: no such process; there are: c2s-1\n'
        self.assertEqual((said.status, said.err, asked), (1, expected, []))

    async def test_restart_needs_a_supervisor(self) -> None:
        """One line says so."""
        self.listen('c2s-1')
        said = await self.ctl('restart')
        self.assertEqual(said.err, 'Error: no supervisor runs here ([processes] in the configuration)\n')

    # ---- db

    def test_db_upgrade_says_what_it_does(self) -> None:
        """Dry, for real, and when nothing is left to do."""
        dry = self.site.run('db', 'upgrade', '--dry-run')
        steps = [f'{step.version}, {step.text}\n' for step in migrations.pending(SqliteFile(self.site.database))]
        self.assertIn('0001, Accounts, rosters, offline messages\n', steps)
        self.assertEqual(dry, Said(0, ''.join([f'would be done: {step}' for step in steps]), ''))
        self.assertFalse(os.path.exists(self.site.database))
        done = self.site.run('db', 'upgrade')
        self.assertEqual(done.out, ''.join([f'done: {step}' for step in steps]))
        self.assertEqual(SqliteFile(self.site.database).marks().version, migrations.HEAD)
        self.assertIn('nothing to do', self.site.run('db', 'upgrade').out)

    def test_a_newer_schema_is_not_touched(self) -> None:
        """One line says so."""
        migrations.upgrade(SqliteFile(self.site.database))
        with closing(sqlite3.connect(self.site.database)) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        said = self.site.run('db', 'upgrade')
        self.assertEqual((said.status, 'newer' in said.err, said.err.count('\n')), (1, True, 1))
        self.assertEqual(self.site.run('user', 'list').status, 1)

    async def test_a_running_server_is_not_upgraded_under_its_feet(self) -> None:
        """It is named, and nothing is done; a dry run is allowed."""
        self.listen('sm-a7')
        said = await self.ctl('db', 'upgrade')
        self.assertEqual(said, Said(1, '', 'Error: stop the server first: sm-a7\n'))
        self.assertFalse(os.path.exists(self.site.database))
        self.assertEqual((await self.ctl('db', 'upgrade', '--dry-run')).status, 0)

    # ---- check

    async def test_check_knows_the_server_s_own_ports(self) -> None:
        """Taken by a process of the site is ok; its limits are those looked at."""
        port = reactor.listenTCP(0, Factory(), interface='127.0.0.1')  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        number = port.getHost().port
        text = PLAIN.replace("listen = '127.0.0.1:0'", f"listen = '127.0.0.1:{number}'")
        self.site.file.write_text(text)
        self.listen('router-a7')
        said = await self.ctl('check')
        self.assertIn(f'ok    port {number} (router.listen): taken by this server (process {os.getpid()})', said.out)
        self.assertIn('file descriptors of router-a7', said.out)
