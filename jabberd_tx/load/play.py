"""The play itself: all log in, each line is sent at its time, what comes is counted."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore
from twisted.internet.endpoints import connectProtocol
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater

from jabberd_tx.load.cast import Cast, Line, Part, xml_of
from jabberd_tx.load.client import Account, LoadClient, LoginFailed
from jabberd_tx.load.report import Report
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import start_tag

# Lines that are sent before the reactor looks at what has come.
TOGETHER = 100
LOGIN_TIMEOUT = 60.0


class Play:
    """One run of a cast against a server."""

    def __init__(
        self, cast: Cast, endpoint: IStreamClientEndpoint, reactor: Any, *, domain: str, password: str, scale: float,
        security: str, tls: Any, logins: int = 20, quiet: float = 2.0,
    ) -> None:  # fmt: skip
        """scale: how many times faster than it was recorded; security, tls: see LoadClient; logins: at a time; quiet:
        it is over when everything is answered, or nothing has come for so many seconds."""
        self.cast, self.report = cast, Report()
        self.report.left_out = cast.left_out
        self._endpoint, self._reactor = endpoint, reactor
        self._domain, self._password, self._scale = domain, password, scale
        self._security, self._tls, self._logins, self._quiet = security, tls, logins, quiet
        self._clients: list[LoadClient | None] = []
        self._jids: dict[str, str] = {}
        self._under_way: dict[str, float] = {}  # when a message or IQ was sent, by id
        self._last = 0.0
        self._leaving = False

    async def run(self) -> Report:
        """All of it."""
        await self._log_in()
        started = self._last = self._reactor.seconds()
        if self.report.sessions:
            await self._send_all(started)
            self.report.seconds = self._reactor.seconds() - started
            await self._fall_quiet()
        self._leaving = True
        for client in self._clients:
            if client is not None:
                client.leave()
        return self.report

    # ---- coming

    async def _log_in(self) -> None:
        few = DeferredSemaphore(self._logins)
        coming = [few.run(self._entered, part) for part in self.cast.parts]
        self._clients = [client for _, client in await DeferredList(coming)]
        self.report.sessions = len([client for client in self._clients if client is not None])
        for part, client in zip(self.cast.parts, self._clients, strict=True):
            if client is not None and part.appears:
                client.send('<presence/>')

    def _entered(self, part: Part) -> Deferred[LoadClient | None]:
        return Deferred.fromCoroutine(self._enter(part))

    async def _enter(self, part: Part) -> LoadClient | None:
        account = Account(self.cast.accounts[part.number - 1], self._domain, self._password, part.resource)
        client = LoadClient(account, self._security, self._tls, self._came, self._closed)
        try:
            await connectProtocol(self._endpoint, client)
            jid = await client.ready.addTimeout(LOGIN_TIMEOUT, self._reactor)
        except LoginFailed as error:
            self.report.failed[str(error)] += 1
            return None
        except Exception as error:
            client.leave()
            self.report.failed[type(error).__name__] += 1
            return None
        self._jids[f'{account.user}@{account.domain}/{part.resource}'] = jid
        return client

    # ---- sending

    async def _send_all(self, started: float) -> None:
        for number, line in enumerate(self.cast.lines):
            wait = started + line.at / self._scale - self._reactor.seconds()
            if wait > 0 or number % TOGETHER == 0:
                await deferLater(self._reactor, max(0.0, wait))
            self.report.behind = max(self.report.behind, -wait)
            self._send(line)

    def _send(self, line: Line) -> None:
        client = self._clients[line.part]
        if client is None or client.closed:
            return
        self.report.sent[line.kind] += 1
        if line.kind != 'presence':
            self._under_way[line.id] = self._reactor.seconds()
        client.send(xml_of(line._replace(to=self._jids.get(line.to, line.to))))

    async def _fall_quiet(self) -> None:
        """Until all is answered and nothing has come for a while: what one message brings is not known."""
        self._last = max(self._last, self._reactor.seconds())
        while self._reactor.seconds() - self._last < self._quiet:
            await deferLater(self._reactor, 0.05)

    # ---- what comes

    def _came(self, client: LoadClient, stanza: Stanza) -> None:
        now = self._last = self._reactor.seconds()
        kind, id = stanza.attrs.get('type', ''), stanza.attrs.get('id', '')
        if kind == 'error':
            self.report.errors[_condition(stanza)] += 1
        if stanza.name == 'iq':
            self._came_iq(client, stanza, kind, id, now)
            return
        if kind != 'error':
            self.report.arrived[stanza.name] += 1
            sent = self._under_way.get(id) if stanza.name == 'message' else None
            if sent is not None:
                self.report.waits['message'].append(now - sent)

    def _came_iq(self, client: LoadClient, stanza: Stanza, kind: str, id: str, now: float) -> None:
        if kind in ('get', 'set'):
            # Whatever is asked, there is an answer: the recording's own are left out.
            attrs = {'type': 'result', 'id': id, 'to': stanza.attrs.get('from', '')}
            client.send(start_tag('iq', {name: value for name, value in attrs.items() if value}) + '/>')
            return
        sent = self._under_way.pop(id, None)
        if sent is not None:
            self.report.answered += 1
            self.report.waits['iq'].append(now - sent)

    def _closed(self, client: LoadClient, error: str) -> None:
        if not self._leaving:
            self.report.ended[error or 'closed'] += 1


def _condition(stanza: Stanza) -> str:
    """The condition of a stanza error."""
    for error in stanza.element.elements():
        if error.name == 'error':
            for child in error.elements():
                if child.name != 'text':
                    return str(child.name)
    return 'error'
