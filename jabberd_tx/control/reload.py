"""Reading the configuration again in a running process: SIGHUP, or `jabberd-ctl reload`.

    reload = Reload(config)
    reload.on_change(c2s.OPTIONS, lambda changes: service.options_changed())
    reload.always('certificates', contexts.reload)
    reload.on_signal(reactor)
    admin.register('reload', reload.as_operation)

Options that can be reloaded take their new value in the objects that Config.section gave; what has to do more about
it registers for its section.  The rest is named, and waits for a restart.
"""

from __future__ import annotations

import inspect
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger

from jabberd_tx.base.options import Change, Config, ConfigError, Section
from jabberd_tx.control.admin_wire import AdminError

# What they give, or an async function in the end: None, or in words why it could not be applied.
Outcome = str | None | Awaitable[str | None]
OnChange = Callable[[Sequence[Change]], Outcome]
Always = Callable[[], Outcome]


class Report(NamedTuple):
    """What a reload did, a line for each.

    applied  'c2s.require_tls: True -> False', or the name of what is always done again
    restart  what has another value in the file and wants a restart to get it
    failed   'certificates: …': what could not be applied, and why
    """

    applied: list[str]
    restart: list[str]
    failed: list[str]


class Reload:
    """One process's configuration, and what wants to know when it changes."""

    log = Logger()

    def __init__(self, config: Config) -> None:
        self._config = config
        self._on_change: list[tuple[Section, OnChange]] = []
        self._always: list[tuple[str, Always]] = []
        self._lock = DeferredLock()

    def on_change(self, section: Section, call: OnChange) -> None:
        """Call when reloadable options of the section have taken new values, with what changed."""
        self._on_change.append((section, call))

    def always(self, name: str, call: Always) -> None:
        """Call at each reload: for what lies in other files, such as certificates."""
        self._always.append((name, call))

    async def run(self) -> Report:
        """Read the file again and apply it.  ConfigError: it is not valid, and nothing has changed.

        A reload that is asked for while one runs comes after it.
        """
        report: Report = await self._lock.run(lambda: Deferred.fromCoroutine(self._run()))
        return report

    async def _run(self) -> Report:
        try:
            found = self._config.apply(self._config.reread())
        except ConfigError as error:
            self.log.error('reload: {error}; nothing is changed', error=error)
            raise
        report = Report([], [str(change) for change in found.restart], [])
        for section, call in self._on_change:
            changes = [change for change in found.reload if change.section is section]
            if changes:
                await self._attempt(section.name, call, report, changes)
        broken = {line.partition(':')[0] for line in report.failed}
        report.applied.extend([str(change) for change in found.reload if change.section.name not in broken])
        for name, act in self._always:
            if await self._attempt(name, act, report):
                report.applied.append(name)
        self._tell(report)
        return report

    async def _attempt(self, name: str, call: Callable[..., Any], report: Report, *arguments: Any) -> bool:
        try:
            outcome = call(*arguments)
            reason = await outcome if inspect.isawaitable(outcome) else outcome
        except ConfigError as error:
            reason = str(error)
        except Exception as error:
            self.log.failure('reload: {name} failed', name=name)
            reason = str(error) or type(error).__name__
        if reason is None:
            return True
        report.failed.append(f'{name}: {reason}')
        return False

    def _tell(self, report: Report) -> None:
        for line in report.applied:
            self.log.info('reload: applied {line}', line=line)
        for line in report.failed:
            self.log.error('reload: {line}', line=line)
        for line in report.restart:
            self.log.warn('reload: needs a restart: {line}', line=line)

    async def as_operation(self) -> dict[str, list[str]]:
        """For AdminSocket.register; AdminError('bad-config') for a file that is not valid."""
        try:
            return (await self.run())._asdict()
        except ConfigError as error:
            raise AdminError('bad-config', str(error)) from None

    def on_signal(self, reactor: IReactorFromThreads, number: int = signal.SIGHUP) -> None:
        """Reload at the signal.  Call in the main thread."""
        signal.signal(number, lambda signum, frame: reactor.callFromThread(self.signalled))

    def signalled(self) -> None:
        """Reload; what goes wrong is logged."""
        Deferred.fromCoroutine(self.run()).addErrback(lambda failure: failure.trap(ConfigError) and None)
