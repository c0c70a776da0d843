"""`twistd jabberd` with [processes] in the configuration: starts the others, and keeps them up."""

from __future__ import annotations

import signal
import sys
from itertools import groupby
from typing import Any

from twisted.internet.defer import Deferred, DeferredList

from jabberd_tx.base import site
from jabberd_tx.base.options import Config
from jabberd_tx.control import options as admin
from jabberd_tx.control.admin_wire import AdminError
from jabberd_tx.control.watchdog.options import OPTIONS
from jabberd_tx.control.watchdog.output import FileOutput, Output, PrefixedOutput
from jabberd_tx.control.watchdog.watched import RUNNING, WatchedProcess
from jabberd_tx.services.layout import Planned, plan, secrets_of
from jabberd_tx.services.process import ServerProcess
from jabberd_tx.services.server import Server


class Supervisor(ServerProcess):
    """The processes of this machine.

    processes  by name, in the order in which they are ended
    """

    def __init__(self, config: Config, reactor: Any) -> None:
        here = config.section(site.OPTIONS).node
        # Without a process id in it: a second supervisor finds the first one's admin socket, and does not start.
        super().__init__('supervisor', config, reactor, self._assemble_processes, f'supervisor-{here or "1"}')
        self.processes: dict[str, WatchedProcess] = {}

    async def _assemble_processes(self, server: Server) -> None:
        planned = plan(self.config)
        made = [part for text in secrets_of(self.config) for part in ('--set', text)]
        for one in planned:
            self.processes[one.name] = self._watched(one, made)
        self.figures['processes'] = lambda: [process.status() for process in self.processes.values()]
        self.http.check('processes', self._health)
        self.metrics.gauge(
            'jabberd_process_up', 'Whether a process runs.',
            lambda: {name: float(_runs(process)) for name, process in self.processes.items()}, label='process',
        )  # fmt: skip
        self.metrics.counted(
            'jabberd_process_restarts', 'How often a process was started again after it had ended by itself.',
            lambda: {name: process.restarts for name, process in self.processes.items()}, label='process',
        )  # fmt: skip
        self.admin.register('process.restart', self._restart)
        self.on_stop(self._end_all)
        for process in reversed(self.processes.values()):
            process.start()

    def started(self) -> None:
        """The signals that are passed on."""
        super().started()
        signal.signal(signal.SIGHUP, lambda number, frame: self.reactor.callFromThread(self._hung_up))

    # ---- inside

    def _watched(self, one: Planned, made: list[str]) -> WatchedProcess:
        path = admin.socket_path(self.section(admin.OPTIONS), one.name)
        options = self.section(OPTIONS)
        return WatchedProcess(one.name, one.kind, [*one.command, *made], path, self._output(one), self.reactor, options)

    def _output(self, one: Planned) -> Output:
        options = self.section(OPTIONS)
        if options.log_folder:
            return FileOutput(options.log_folder, one.name, options.log_bytes, options.log_files)
        # Not sys.stdout, which twistd has made a part of its own log.
        stream = sys.__stdout__
        assert stream is not None
        return PrefixedOutput(one.name, stream.buffer)

    async def _end_all(self) -> None:
        """Those who speak with clients first, routers last; what is of one kind at once."""
        for _, processes in groupby(self.processes.values(), lambda process: process.kind):
            await DeferredList([Deferred.fromCoroutine(process.stop()) for process in processes])
        for process in self.processes.values():
            process.output.close()

    def _hung_up(self) -> None:
        for process in self.processes.values():
            process.output.reopen()
            process.signal(signal.SIGHUP)
        self.reload.signalled()

    def _health(self) -> str | None:
        missing = [f'{process.name} is {process.state}' for process in self.processes.values() if not _runs(process)]
        return ', '.join(missing) or None

    async def _restart(self, name: str) -> dict[str, Any]:
        """For `jabberd-ctl restart`."""
        process = self.processes.get(name) if type(name) is str else None
        if process is None:
            known = ', '.join(self.processes)
            raise AdminError('no-such-process', f'{name}: no such process here; there are: {known}')
        if not await process.restart():
            raise AdminError('stopped', f'{name} was stopped before it was ready')
        return process.status()


def _runs(process: WatchedProcess) -> bool:
    return process.state == RUNNING
