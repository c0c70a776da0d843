"""The HTTP port for machines that watch: /metrics for Prometheus, /healthz for a load balancer.

    port = HttpPort(options, metrics, reactor)
    port.check('links', lambda: None if pool.up else 'no link to any router')
    port.start()

It listens on loopback and asks for no password: what it tells is no secret, and it changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import Site

from jabberd_tx.base.metrics import CONTENT_TYPE, Metrics
from jabberd_tx.base.options import Option, Section

OPTIONS = Section(
    'http',
    'The HTTP port: /metrics (Prometheus) and /healthz.',
    Option('enabled', bool, True, 'Whether there is an HTTP port.'),
    Option(
        'interface', str, '127.0.0.1', 'The address to listen on.  There is no password: keep it on loopback.', low=1
    ),
    Option(
        'port',
        int,
        5280,
        'TCP port of `jabberd`, where all is in one process, and of processes of your own.',
        low=0,
        high=65535,
    ),
    # Processes apart on one machine read one file, and want a port each.
    Option('router_port', int, 5281, 'TCP port of `jabberd-router`.', low=0, high=65535),
    Option('c2s_port', int, 5282, 'TCP port of `jabberd-c2s`.', low=0, high=65535),
    Option('component_port', int, 5279, 'TCP port of `jabberd-component`.', low=0, high=65535),
    Option(
        'sm_port',
        int,
        5283,
        'TCP port of `jabberd-sm`. A second process of one kind on a machine needs another: --set http.c2s_port=5284.',
        low=0,
        high=65535,
    ),
)

# From the port of one process that a supervisor has to that of the next of its kind.
STEP = 10
# The kinds of processes that have a port of their own.
APART = ('router', 'c2s', 'sm', 'component')

# What is wrong, in a few words; None: nothing.
Check = Callable[[], str | None]

# Status, content type and body.
Page = Callable[[], tuple[int, str, bytes]]


def port_option(kind: str) -> str:
    """The option that has the port of a process of this kind: 'jabberd', one of APART, or one of your own."""
    return f'{kind}_port' if kind in APART else 'port'


class HttpPort:
    """The listening port, and the checks that /healthz makes."""

    log = Logger()

    def __init__(self, options: SimpleNamespace, metrics: Metrics, reactor: Any, kind: str = 'jabberd') -> None:
        """`kind`: of the process, see `port_option`."""
        self._options, self._reactor = options, reactor
        self._wanted: int = getattr(options, port_option(kind))
        self._checks: dict[str, Check] = {}
        self._listening: IListeningPort | None = None
        pages: dict[bytes, Page] = {b'/metrics': lambda: (200, CONTENT_TYPE, metrics.text()), b'/healthz': self._health}
        self._site = _QuietSite(_Pages(pages))
        self._site.noisy = False

    def check(self, name: str, check: Check) -> None:
        """Something that must be well for /healthz to answer 200.  It must be quick, and is called at each request."""
        self._checks[name] = check

    def health(self) -> dict[str, str]:
        """What each check says now: 'ok', or what is wrong."""
        return {name: self._asked(name, check) for name, check in self._checks.items()}

    def start(self) -> None:
        """Listen.  CannotListenError when the port is taken.  Without `enabled`, nothing happens."""
        if self._options.enabled:
            self._listening = self._reactor.listenTCP(self._wanted, self._site, interface=self._options.interface)

    @property
    def port(self) -> int:
        """The port that it listens on; 0: it does not."""
        host: Any = None if self._listening is None else self._listening.getHost()
        return 0 if host is None else int(host.port)

    async def stop(self) -> None:
        """Stop listening."""
        listening, self._listening = self._listening, None
        if listening is not None:
            await maybeDeferred(listening.stopListening)

    def _asked(self, name: str, check: Check) -> str:
        try:
            return check() or 'ok'
        except Exception:
            self.log.failure('the health check {name} failed', name=name)
            return 'the check failed'

    def _health(self) -> tuple[int, str, bytes]:
        found = self.health()
        well = all(result == 'ok' for result in found.values())
        body = json.dumps({'status': 'ok' if well else 'failing', 'checks': found}, indent=1) + '\n'
        return 200 if well else 503, 'application/json', body.encode()


class _QuietSite(Site):
    """Without a line in the log for each time that somebody looks."""

    def log(self, request: Request) -> None:
        pass


class _Pages(Resource):
    """Pages by path, without parameters, each made anew when asked for.  All else is 404, and 405 what isn't GET or
    HEAD."""

    isLeaf = True

    def __init__(self, pages: Mapping[bytes, Page]) -> None:
        super().__init__()
        self._pages = pages

    def render(self, request: Request) -> bytes:
        status, content_type, body = self._answer(request)
        request.setResponseCode(status)
        request.setHeader('Content-Type', content_type)
        request.setHeader('Cache-Control', 'no-store')
        return body

    def _answer(self, request: Request) -> tuple[int, str, bytes]:
        page = self._pages.get(request.path)
        if page is None:
            return 404, 'text/plain', b'There is /metrics and /healthz.\n'
        if request.method not in (b'GET', b'HEAD'):
            request.setHeader('Allow', 'GET, HEAD')
            return 405, 'text/plain', b'GET or HEAD.\n'
        return page()
