"""The admin socket, over real unix sockets: who gets in, what is answered, and what ends a connection."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SkipTest, TestCase

from jabberd_tx.control.admin import AdminSocket, may_speak
from jabberd_tx.control.admin_client import AdminLink, find_running
from jabberd_tx.control.admin_wire import LENGTH, MOST_BYTES, AdminError, read_reply, request
from jabberd_tx.control.options import OPTIONS, socket_path
from jabberd_tx.storage.operations import StorageError


class FakeTime(Clock):
    """Time as the test says, sockets as they are."""

    listenUNIX = staticmethod(reactor.listenUNIX)  # type: ignore[attr-defined]


class AdminSocketTests(TestCase):
    """One process's socket, asked from a thread as jabberd-ctl does."""

    def setUp(self) -> None:
        self.options = OPTIONS.defaults()
        self.options.folder = os.path.join(self.mktemp(), 'run')
        self.clock = FakeTime()
        self.admin = self.socket('c2s-a7')

    def socket(self, node: str, **operations: Any) -> AdminSocket:
        """A started one, stopped after the test."""
        made = AdminSocket(socket_path(self.options, node), self.clock, operations, self.options)
        made.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(made.stop()))
        return made

    async def ask(self, operation: str, **arguments: Any) -> Any:
        """Over a connection of its own."""
        return await deferToThread(self._ask, operation, arguments)

    def _ask(self, operation: str, arguments: dict[str, Any]) -> Any:
        with AdminLink(self.admin.path, 20) as link:
            return link.ask(operation, **arguments)

    async def refused(self, operation: str, **arguments: Any) -> tuple[str, str]:
        """Condition and text of the AdminError."""
        error = await self.assertFailure(Deferred.fromCoroutine(self.ask(operation, **arguments)), AdminError)
        return error.condition, error.text

    async def raw(self, data: bytes) -> bytes:
        """Send bytes, read until the other side closes."""
        return await deferToThread(self._raw, data)

    def _raw(self, data: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(20)
            peer.connect(self.admin.path)
            peer.sendall(data)
            got = b''
            while more := peer.recv(65536):
                got += more
            return got

    # ---- asking

    async def test_operations_get_their_arguments_and_give_results(self) -> None:
        """Of any kind that CBOR has; `operations` lists what there is."""

        async def echo(**arguments: object) -> object:
            return arguments

        self.admin.register('echo', echo)
        everything = {'a': [1, 2.5, None, True], 'b': b'\0\xff', 'c': {'d': 'ü'}}
        self.assertEqual(await self.ask('echo', **everything), everything)
        self.assertEqual(await self.ask('operations'), ['echo', 'operations'])

    async def test_one_connection_may_ask_again_and_again(self) -> None:
        """One after another, also when they are sent at once; replies come in order."""
        begun: list[int] = []
        waiting: list[Deferred[None]] = []

        async def slow(number: int) -> int:
            begun.append(number)
            if number == 1:
                waiting.append(gate := Deferred())
                await gate
            return number * 10

        self.admin.register('slow', slow)
        asked = deferToThread(self._pipelined, [request('slow', {'number': number}) for number in range(4)])
        while not waiting:
            await deferToThread(lambda: None)
        self.assertEqual(begun, [0, 1])
        waiting[0].callback(None)
        self.assertEqual(await asked, [0, 10, 20, 30])
        self.assertEqual(begun, [0, 1, 2, 3])

    def _pipelined(self, requests: list[bytes]) -> list[Any]:
        with AdminLink(self.admin.path, 20) as link:
            link._socket.sendall(b''.join(requests))
            return [read_reply(link._read(LENGTH.unpack(link._read(4))[0])) for _ in requests]

    async def test_a_request_may_come_a_byte_at_a_time(self) -> None:
        """And is answered when it is whole."""
        got = await deferToThread(self._dribbled, request('operations', {}))
        self.assertEqual(got, ['operations'])

    def _dribbled(self, data: bytes) -> Any:
        with AdminLink(self.admin.path, 20) as link:
            for at in range(len(data)):
                link._socket.sendall(data[at : at + 1])
            return read_reply(link._read(LENGTH.unpack(link._read(4))[0]))

    # ---- refusals

    async def test_what_cannot_be_done_is_answered_with_a_condition(self) -> None:
        """And the connection and the process go on."""

        async def needs(owner: str) -> None:
            raise AdminError('no-such-user', owner)

        async def stored() -> None:
            raise StorageError('overloaded: 9 operations wait')

        async def broken() -> None:
            raise ZeroDivisionError('a secret')

        async def odd() -> object:
            return object()

        for name, function in (('needs', needs), ('stored', stored), ('broken', broken), ('odd', odd)):
            self.admin.register(name, function)
        self.assertEqual(await self.refused('needs', owner='x'), ('no-such-user', 'x'))
        self.assertEqual((await self.refused('needs'))[0], 'bad-request')
        self.assertEqual((await self.refused('needs', owner='x', more=1))[0], 'bad-request')
        self.assertEqual(await self.refused('nothing'), ('unknown-operation', 'nothing: no such operation here'))
        self.assertEqual(await self.refused('stored'), ('storage', 'overloaded: 9 operations wait'))
        self.assertEqual(await self.refused('broken'), ('failed', 'broken: failed; the log says why'))
        self.assertEqual((await self.refused('odd'))[0], 'failed')
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.assertEqual(await self.ask('operations'), sorted(['broken', 'needs', 'odd', 'operations', 'stored']))

    async def test_an_operation_that_takes_too_long_is_given_up(self) -> None:
        """With a condition that says so."""
        begun: list[Deferred[None]] = []

        async def endless() -> None:
            begun.append(never := Deferred())
            await never

        self.admin.register('endless', endless)
        asked = Deferred.fromCoroutine(self.refused('endless'))
        while not begun:
            await deferToThread(lambda: None)
        self.clock.advance(self.options.timeout + 1)
        self.assertEqual(await asked, ('timed-out', 'endless: not done within 60 s'))

    async def test_a_request_that_is_too_long_ends_the_connection(self) -> None:
        """After a reply that says so; before its bytes have come."""
        got = await self.raw(LENGTH.pack(MOST_BYTES + 1) + b'x' * 100)
        with self.assertRaises(AdminError) as raised:
            read_reply(got[LENGTH.size :])
        self.assertEqual(raised.exception.condition, 'bad-request')

    async def test_silence_ends_the_connection(self) -> None:
        """After the idle time, also in the middle of a request."""
        asked = Deferred.fromCoroutine(self.raw(request('operations', {})[:5]))
        while not any([connection._buffer for connection in self.admin._connections]):
            await deferToThread(lambda: None)
        self.clock.advance(self.options.idle_timeout + 1)
        self.assertEqual(await asked, b'')

    async def test_connections_have_a_bound(self) -> None:
        """Beyond it they are closed at once; when others have gone there is room again."""
        links = await gatherResults(
            [deferToThread(AdminLink, self.admin.path, 20) for _ in range(self.options.connections)]
        )
        await gatherResults([deferToThread(link.ask, 'operations') for link in links])
        self.assertEqual((await self.refused('operations'))[0], 'gone')
        for link in links:
            link.close()
        while self.admin._connections:
            await deferToThread(lambda: None)
        self.assertEqual(await self.ask('operations'), ['operations'])

    def test_names_are_given_once(self) -> None:
        """Two services can't answer for the same operation."""

        async def status() -> None:
            pass

        self.admin.register('status', status)
        self.assertRaises(ValueError, self.admin.register, 'status', status)

    # ---- who gets in

    def test_folder_and_socket_are_private(self) -> None:
        """0700 and 0600; a folder that was open to others is closed."""
        folder = os.path.dirname(self.admin.path)
        self.assertEqual(stat.S_IMODE(os.stat(folder).st_mode), 0o700)
        self.assertEqual(stat.S_IMODE(os.stat(self.admin.path).st_mode), 0o600)
        os.chmod(folder, 0o755)
        self.socket('sm-a7')
        self.assertEqual(stat.S_IMODE(os.stat(folder).st_mode), 0o700)

    def test_the_same_user_and_root_may_speak(self) -> None:
        """Nobody else."""
        self.assertEqual([may_speak(uid, 1000) for uid in (1000, 0, 1001)], [True, True, False])

    async def test_another_user_is_sent_away(self) -> None:
        """Even where the modes let it connect: the kernel says who it is."""
        if os.geteuid() != 0:
            raise SkipTest('only root can become another user')
        path = os.path.join('/tmp', f'admin-test-{os.getpid()}', 'x.sock')
        admin = AdminSocket(path, self.clock, {}, self.options)
        admin.start()
        self.addCleanup(os.rmdir, os.path.dirname(path))
        self.addCleanup(lambda: Deferred.fromCoroutine(admin.stop()))
        os.chmod(os.path.dirname(path), 0o755)
        os.chmod(path, 0o666)
        code = (
            'import os, socket, sys; os.setgid(65534); os.setuid(65534); s = socket.socket(socket.AF_UNIX); '
            's.settimeout(20); s.connect(sys.argv[1]); s.sendall(bytes.fromhex(sys.argv[2])); print(s.recv(100))'
        )
        asked = [sys.executable, '-c', code, path, request('operations', {}).hex()]
        done = await deferToThread(subprocess.run, asked, capture_output=True, timeout=30)
        # Closed with the request unread: the kernel may tell it as an end or as a reset.
        self.assertTrue(done.stdout == b"b''\n" or b'Reset' in done.stderr or b'BrokenPipe' in done.stderr, done)
        self.assertEqual(admin._connections, set())

    # ---- sockets

    async def test_the_socket_of_a_killed_process_is_replaced(self) -> None:
        """Nobody answers on it; jabberd-ctl passes it over."""
        path = socket_path(self.options, 'sm-a7')
        left = socket.socket(socket.AF_UNIX)
        left.bind(path)
        left.listen()
        left.close()
        running = await deferToThread(find_running, self.options)
        self.assertEqual([link.node for link in running.links], ['c2s-a7'])
        running.close()
        self.socket('sm-a7')
        running = await deferToThread(find_running, self.options)
        self.assertEqual([link.node for link in running.links], ['c2s-a7', 'sm-a7'])
        running.close()

    def test_a_name_that_is_taken_stops_the_start(self) -> None:
        """The other process keeps its socket."""
        second = AdminSocket(self.admin.path, self.clock, {}, self.options)
        self.assertRaises(OSError, second.start)
        self.assertTrue(os.path.exists(self.admin.path))

    async def test_folders_may_be_deep(self) -> None:
        """A unix socket's address has 107 bytes, a checkout's path may have more; a node's name is bounded."""
        self.options.folder = os.path.join(self.options.folder, 'deep' * 20, 'deep' * 20)
        deep = self.socket('c2s-a7')
        self.assertGreater(len(deep.path), 160)
        running = await deferToThread(find_running, self.options)
        self.assertEqual([link.node for link in running.links], ['c2s-a7'])
        self.assertEqual(await deferToThread(running.able, 'operations'), running.links)
        running.close()
        second = AdminSocket(deep.path, self.clock, {}, self.options)
        self.assertRaises(OSError, second.start)
        await deep.stop()
        self.assertEqual(os.listdir(self.options.folder), [])
        long = AdminSocket(socket_path(self.options, 'x' * 100), self.clock, {}, self.options)
        self.assertIn('at most', str(self.assertRaises(OSError, long.start)))

    async def test_stop_removes_the_socket_and_hangs_up(self) -> None:
        """On who is connected as well."""
        link = await deferToThread(AdminLink, self.admin.path, 20)
        await deferToThread(link.ask, 'operations')
        await self.admin.stop()
        self.assertFalse(os.path.exists(self.admin.path))
        error = await self.assertFailure(deferToThread(link.ask, 'operations'), AdminError)
        self.assertEqual(error.condition, 'gone')
        link.close()

    async def test_peers_are_told_by_the_kernel(self) -> None:
        """jabberd-ctl knows the process that it speaks to."""
        link = await deferToThread(AdminLink, self.admin.path, 20)
        self.addCleanup(link.close)
        self.assertEqual((link.peer.pid, link.peer.uid), (os.getpid(), os.getuid()))
