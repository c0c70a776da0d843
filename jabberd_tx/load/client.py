"""A client that logs in, says what it is told, and tells what comes."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, NamedTuple

from twisted.internet import ssl
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.events import Event, Limits, Nonza, Violation
from jabberd_tx.xmpp.parser import StreamParser
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import STREAM_END, escape, stream_header

# Of what a server may send.
LIMITS = Limits(1 << 24, 256, 256, 100_000)
STARTTLS, DIRECT, PLAIN = 'starttls', 'direct', 'none'


class Account(NamedTuple):
    """Who logs in: user@domain with this password, and the resource that it asks for."""

    user: str
    domain: str
    password: str
    resource: str


class LoginFailed(Exception):
    """Why, in a word or two."""


class LoadClient(Protocol):
    """One stream.

    ready   fires with the full JID, or fails with LoginFailed
    closed  the connection is gone
    """

    transport: Any = None

    def __init__(
        self, account: Account, security: str, tls: Callable[[], Any], on_stanza: Callable[[LoadClient, Stanza], None],
        on_closed: Callable[[LoadClient, str], None],
    ) -> None:  # fmt: skip
        """security: STARTTLS, DIRECT (the connection has TLS already) or PLAIN (none at all); tls: makes what startTLS
        takes.  on_closed: the connection of a client that was ready is gone, and the stream error or ''."""
        self.account, self.jid = account, ''
        self.ready: Deferred[str] = Deferred()
        self.closed = False
        self._security, self._tls, self._on_stanza, self._on_closed = security, tls, on_stanza, on_closed
        self._parser = StreamParser(LIMITS)
        self._authenticated = False
        self._error = ''

    # ---- the connection

    def connectionMade(self) -> None:
        """Begin."""
        self._open()

    def dataReceived(self, data: bytes) -> None:
        """Go on with the login, or hand over what has come."""
        for event in self._parser.feed(data):
            self._take(event)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The end."""
        self.closed = True
        self._parser.close()
        if not self.ready.called:
            self.ready.errback(LoginFailed(self._error or 'the connection was closed'))
        elif self.jid:
            self._on_closed(self, self._error)

    def send(self, xml: str) -> None:
        """Write it."""
        self.transport.write(xml.encode())

    def leave(self) -> None:
        """Close the stream in good order."""
        if not self.closed and self.transport is not None:
            self.transport.write(STREAM_END)
            self.transport.loseConnection()

    # ---- logging in

    def _open(self) -> None:
        self._parser = StreamParser(LIMITS)
        self.transport.write(stream_header(ns.CLIENT, {'to': self.account.domain, 'version': '1.0'}))

    def _take(self, event: Event) -> None:
        if isinstance(event, Stanza):
            if self.jid:
                self._on_stanza(self, event)
            elif event.attrs.get('id') == 'bind':
                self._bound(event)
        elif isinstance(event, Nonza):
            self._take_nonza(event)
        elif isinstance(event, Violation):
            self._fail(event.condition)

    def _take_nonza(self, event: Nonza) -> None:
        if event.ns == ns.STREAM and event.name == 'features':
            self._go_on({child.name for child in event.children})
        elif event.ns == ns.STREAM and event.name == 'error':
            self._error = event.children[0].name if event.children else 'stream error'
        elif event.ns == ns.TLS and event.name == 'proceed':
            self.transport.startTLS(self._tls())
            self._security = DIRECT
            self._open()
        elif event.ns == ns.SASL and event.name == 'success':
            self._authenticated = True
            self._open()
        elif event.ns in (ns.SASL, ns.TLS) and event.name == 'failure':
            self._fail(event.children[0].name if event.children else 'failure')

    def _go_on(self, features: set[str]) -> None:
        if self._security == STARTTLS:
            if 'starttls' not in features:
                self._fail('no STARTTLS')
                return
            self.send(f"<starttls xmlns='{ns.TLS}'/>")
        elif not self._authenticated:
            account = self.account
            secret = base64.b64encode(f'\0{account.user}\0{account.password}'.encode()).decode()
            self.send(f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>{secret}</auth>")
        elif not self.jid:
            resource = f'<resource>{escape(self.account.resource)}</resource>' if self.account.resource else ''
            self.send(f"<iq type='set' id='bind'><bind xmlns='{ns.BIND}'>{resource}</bind></iq>")

    def _bound(self, stanza: Stanza) -> None:
        if stanza.attrs.get('type') != 'result':
            self._fail('no resource')
            return
        self.jid = str(stanza.element.bind.jid)
        self.ready.callback(self.jid)

    def _fail(self, why: str) -> None:
        self._error = why
        self.transport.abortConnection()


def trusting(domain: str, authority: bytes | None, anybody: bool) -> Callable[[], Any]:
    """Makes what startTLS takes.  authority: PEM certificates that may vouch for the server, None for the system's;
    anybody: whoever it is."""
    if anybody:
        return lambda: ssl.CertificateOptions()
    roots = None
    if authority is not None:
        begin = b'-----BEGIN CERTIFICATE-----'
        found = [ssl.Certificate.loadPEM(begin + part) for part in authority.split(begin)[1:]]
        roots = ssl.trustRootFromCertificates(found)
    return lambda: ssl.optionsForClientTLS(domain, roots)
