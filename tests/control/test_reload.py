"""Reload: what can be applied is, the rest is named, and a file with a mistake changes nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from jabberd_tx.base.options import Change, ConfigError, Option, Section, load
from jabberd_tx.control.admin_wire import AdminError
from jabberd_tx.control.reload import Reload

LISTEN = Section(
    'listen',
    'For these tests.',
    Option('port', int, 1, 'Wants a restart.'),
    Option('limit', int, 1, 'May change.', reload=True),
    Option('secret', str, 'a', 'May change, and is not shown.', reload=True, secret=True),
)
OTHER = Section('other', 'For these tests.', Option('limit', int, 1, 'May change.', reload=True))


class ReloadTests(TestCase):
    """With a real file."""

    def setUp(self) -> None:
        self.file = Path(self.mktemp() + '.toml')
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text('')
        self.config = load(self.file, [LISTEN, OTHER])
        self.reload = Reload(self.config)

    async def test_options_are_applied_or_named(self) -> None:
        """In the objects that the services hold; who asked for a section is told what changed in it."""
        held = self.config.section(LISTEN)
        told: list[str] = []

        def changed(changes: Sequence[Change]) -> None:
            told.extend([change.key for change in changes])

        self.reload.on_change(LISTEN, changed)
        self.reload.on_change(OTHER, lambda changes: self.fail('nothing of it has changed'))
        self.file.write_text("[listen]\nport = 2\nlimit = 3\nsecret = 'bb'")
        report = await self.reload.run()
        self.assertEqual(report.applied, ['listen.limit: 1 -> 3', "listen.secret: '…' -> '…'"])
        self.assertEqual(report.restart, ['listen.port: 1 -> 2'])
        self.assertEqual(report.failed, [])
        self.assertEqual((held.port, held.limit, held.secret), (1, 3, 'bb'))
        self.assertEqual(told, ['listen.limit', 'listen.secret'])

    async def test_what_wants_a_restart_is_named_again_until_then(self) -> None:
        """What was applied is not."""
        self.file.write_text('[listen]\nport = 2\nlimit = 3')
        await self.reload.run()
        report = await self.reload.run()
        self.assertEqual((report.applied, report.restart), ([], ['listen.port: 1 -> 2']))

    async def test_a_mistake_in_the_file_changes_nothing(self) -> None:
        """ConfigError, for jabberd-ctl a condition with the same line; the next one works."""
        self.reload.always('certificates', lambda: self.fail('called for a file that is not valid'))
        self.file.write_text("[listen]\nlimit = 'three'")
        await self.assertFailure(Deferred.fromCoroutine(self.reload.run()), ConfigError)
        error = await self.assertFailure(Deferred.fromCoroutine(self.reload.as_operation()), AdminError)
        self.assertEqual(error.condition, 'bad-config')
        self.assertIn('listen.limit', error.text)
        self.assertEqual(self.config.section(LISTEN).limit, 1)

    async def test_a_file_that_cannot_be_used_is_told_in_a_line(self) -> None:
        """It is no fault of the program: no traceback is logged."""

        def read() -> None:
            raise ConfigError('link.tls_key: key.pem: No such file or directory')

        self.reload.always('certificates', read)
        report = await self.reload.run()
        self.assertEqual(report.failed, ['certificates: link.tls_key: key.pem: No such file or directory'])
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_what_is_always_done_is_reported(self) -> None:
        """Also where no option has changed; a reason, or an exception, is a failure."""

        async def later() -> str | None:
            return 'key.pem: expected a private key'

        def broken() -> None:
            raise OSError('no such file')

        self.reload.always('certificates', lambda: None)
        self.reload.always('more certificates', later)
        self.reload.always('broken', broken)
        report = await self.reload.as_operation()
        self.assertEqual(report['applied'], ['certificates'])
        failed = ['more certificates: key.pem: expected a private key', 'broken: no such file']
        self.assertEqual(report['failed'], failed)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    async def test_options_that_could_not_be_applied_are_not_called_applied(self) -> None:
        """The section's failure stands instead; another section's options are applied."""
        self.reload.on_change(LISTEN, lambda changes: 'the socket is busy')
        self.file.write_text('[listen]\nlimit = 3\n[other]\nlimit = 4')
        report = await self.reload.run()
        self.assertEqual((report.applied, report.failed), (['other.limit: 1 -> 4'], ['listen: the socket is busy']))

    async def test_reloads_come_one_after_another(self) -> None:
        """A second one asked for meanwhile waits, and sees the file as it is then."""
        gate: Deferred[None] = Deferred()
        values: list[int] = []

        async def slow(changes: Sequence[Change]) -> None:
            values.append(changes[0].new)
            if len(values) == 1:
                await gate

        self.reload.on_change(OTHER, slow)
        self.file.write_text('[other]\nlimit = 2')
        first = Deferred.fromCoroutine(self.reload.run())
        second = Deferred.fromCoroutine(self.reload.run())
        self.file.write_text('[other]\nlimit = 3')
        self.assertEqual(values, [2])
        gate.callback(None)
        self.assertEqual((await first).applied, ['other.limit: 1 -> 2'])
        self.assertEqual((await second).applied, ['other.limit: 2 -> 3'])

    async def test_the_signal_reloads(self) -> None:
        """SIGHUP, sent by the kernel; a mistake in the file is logged and harms nothing."""
        self.addCleanup(signal.signal, signal.SIGHUP, signal.getsignal(signal.SIGHUP))
        done: list[Deferred[None]] = [Deferred(), Deferred()]
        pending = iter(done)
        self.reload.on_change(OTHER, lambda changes: next(pending).callback(None))
        self.reload.on_signal(reactor)  # type: ignore[arg-type]
        self.file.write_text('[other]\nlimit = 2')
        os.kill(os.getpid(), signal.SIGHUP)
        await done[0]
        self.file.write_text('[other]\nlimit = ')
        os.kill(os.getpid(), signal.SIGHUP)
        await self.assertFailure(Deferred.fromCoroutine(self.reload.run()), ConfigError)
        self.file.write_text('[other]\nlimit = 5')
        os.kill(os.getpid(), signal.SIGHUP)
        await done[1]
        self.assertEqual(self.config.section(OTHER).limit, 5)
