"""What is around the components of a process: configuration, turn, metrics, HTTP, admin socket, reload.

    server = Server('jabberd', config, reactor, assemble)

`assemble(server)` is a coroutine that makes and starts the components, in order, and says with
`server.on_stop` how each is stopped; they are stopped the other way round.  Nothing here claims the process for
itself: services/process.py does, where twistd runs nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from jabberd_tx import __version__
from jabberd_tx.base import site
from jabberd_tx.base.metrics import Metrics
from jabberd_tx.base.options import Config, ConfigError, Section
from jabberd_tx.base.turn import Turn
from jabberd_tx.base.turn_clock import TurnClock
from jabberd_tx.control import http
from jabberd_tx.control import options as admin_options
from jabberd_tx.control.admin import AdminSocket
from jabberd_tx.control.figures import counts_and_queues
from jabberd_tx.control.http import HttpPort
from jabberd_tx.control.reload import Reload
from jabberd_tx.storage.operations import StorageError

Assemble = Callable[[Any], Awaitable[None]]

# What is wrong with the site, not with the code: told in one line.
EXPECTED = (ConfigError, StorageError, CannotListenError, OSError)


class Server(Service):
    """The services of one node of a site.

    kind      'jabberd', 'router', 'c2s', 'sm', 'component', 'supervisor'; node: its name among the others, 'c2s-a7'
    turn, metrics, http, admin, reload   what the components may use
    figures   by name, what `jabberd-ctl status` asks for; links: to routers, the same as lists of Pool.status
    """

    log = Logger()

    def __init__(self, kind: str, config: Config, reactor: Any, assemble: Assemble, node: str = '') -> None:
        """`node`: a name that is not made from kind and configuration."""
        self.kind, self.config, self.reactor = kind, config, reactor
        self.node = node or site.node_name(config.section(site.OPTIONS), kind)
        self.setName(self.node)
        self.turn = Turn(reactor)
        self.metrics = Metrics()
        self._turn_clock = TurnClock(self.metrics)
        self.http = HttpPort(config.section(http.OPTIONS), self.metrics, reactor, kind)
        path = admin_options.socket_path(config.section(admin_options.OPTIONS), self.node)
        self.admin = AdminSocket(path, reactor, {'status': self._status}, config.section(admin_options.OPTIONS))
        self.reload = Reload(config)
        self.admin.register('ping', self._ping)
        self.admin.register('reload', self.reload.as_operation)
        self.figures: dict[str, Callable[[], object]] = {}
        self.links: list[Callable[[], list[dict[str, Any]]]] = []
        self._assemble = assemble
        self._stack = AsyncExitStack()
        self._started: Deferred[None] | None = None
        self._is_ready = False

    def section(self, section: Section) -> Any:
        """The values of a section of the configuration."""
        return self.config.section(section)

    def name_of(self, component: str) -> str:
        """The name of one component of this process: 'sm-a7'."""
        return site.node_name(self.section(site.OPTIONS), component)

    def on_stop(self, stop: Callable[[], Awaitable[None]]) -> None:
        """Something to be stopped, before what was started before it."""
        self._stack.push_async_callback(stop)

    # ---- life

    def startService(self) -> None:
        """Begin; `started` and `failed` say how it went on."""
        super().startService()
        self._turn_clock.start(self.reactor)
        self._started = Deferred.fromCoroutine(self._start())
        self._started.addCallback(lambda ignored: self.started())
        self._started.addErrback(self.failed)

    async def _start(self) -> None:
        self.admin.start()
        self.on_stop(self.admin.stop)
        self.http.start()
        self.on_stop(self.http.stop)
        await self._assemble(self)

    def started(self) -> None:
        """All components run."""
        self._turn_clock.forget()
        self._is_ready = True
        self.log.info('{node} is ready (jabberd-tx {version})', node=self.node, version=__version__)

    def failed(self, failure: Any) -> None:
        """They do not, and why; what was started before is stopped with the service."""
        if failure.check(*EXPECTED):
            self.log.critical('{node} cannot start: {error}', node=self.node, error=str(failure.value))
        else:
            self.log.failure('{node} cannot start', failure=failure, node=self.node)

    def stopService(self) -> Deferred[None]:
        """Stop the components, the last started first; twistd waits for it."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._started is not None:
            await self._started
        self.log.info('{node} leaves', node=self.node)
        await self._stack.aclose()
        self._turn_clock.stop()

    async def _ping(self) -> dict[str, object]:
        """For whoever watches whether the process lives (control/watchdog/heartbeat.py)."""
        return {'pid': os.getpid(), 'ready': self._is_ready}

    async def _status(self) -> dict[str, object]:
        """For `jabberd-ctl status`."""
        figures = {name: read() for name, read in self.figures.items()}
        head = {'node': self.node, 'kind': self.kind, 'version': __version__, 'pid': os.getpid()}
        links = [row for read in self.links for row in read()]
        return {**head, 'http_port': self.http.port, **figures, 'links': links, **counts_and_queues(self.metrics)}
