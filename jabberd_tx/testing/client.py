"""An XMPP client for tests: over a socket, or in memory.

    client = XmppClient('romeo@example.net', 'secret')
    endpoint.connect(...)                                   # or memory_transport.connect(clock, client, server)
    await client.login()                                    # or its steps: open, authenticate, bind
    client.send("<message to='juliet@example.net'><body>hi</body></message>")
    message = await client.stanza('message')

What comes is kept in `inbox` until somebody asks for it.  On a clock, `run` drives such a coroutine:

    run(network, client.login())
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from jabberd_tx.testing.scram_client import ScramClient
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.events import Event, Limits, Nonza, StreamOpen, Violation
from jabberd_tx.xmpp.parser import StreamParser
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import STREAM_END, stream_header, to_xml

T = TypeVar('T')

# Of what a server may send.
LIMITS = Limits(1 << 24, 256, 256, 100000)


class Refused(Exception):
    """The server said no; str() is its XML, or what it sent instead of what was waited for."""


class Closed(Exception):
    """The connection is gone, and what was waited for has not come."""


class XmppClient(Protocol):
    """See the module's text.

    inbox     events that nobody has asked for yet, in order
    header    the last stream header of the server; features: the last <stream:features/>
    error     the stream error's condition, '' for none; error_xml: the whole of it
    jid       full JID, once bound
    handled   XEP-0198: stanzas received since <enabled/>; acked: what the server's last <a/> said
    answers   answer <r/> with <a/>
    enabled, resumed, failed   XEP-0198's answers, once they have come; resume_id: by which the stream may be resumed
    refusal   the condition of the last <failed/>
    closed    the connection is gone
    """

    def __init__(self, jid: str, password: str = '') -> None:
        self.user, _, self.domain = jid.rpartition('@')
        self.password = password
        self.inbox: list[Event] = []
        self.header: StreamOpen | None = None
        self.features: Nonza | None = None
        self.error, self.error_xml = '', b''
        self.jid = ''
        self.handled = 0
        self.acked: int | None = None
        self.acks_enabled = False
        self.answers = True
        self.enabled: Nonza | None = None
        self.resumed: Nonza | None = None
        self.failed: Nonza | None = None
        self.resume_id = self.refusal = ''
        self.closed = False
        self.on_stanza: Callable[[Stanza], None] | None = None
        self._parser = StreamParser(LIMITS)
        self._waiting: list[tuple[Callable[[Event], bool], Deferred[Event]]] = []

    # ---- the connection

    def dataReceived(self, data: bytes) -> None:
        """Note what it says, and hand it to whoever waits for it."""
        for event in self._parser.feed(data):
            self._note(event)
            for at, (wanted, waiting) in enumerate(self._waiting):
                if wanted(event):
                    del self._waiting[at]
                    waiting.callback(event)
                    break
            else:
                self.inbox.append(event)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Whoever waits will wait in vain."""
        self.closed = True
        waiting, self._waiting = self._waiting, []
        for _, deferred in waiting:
            deferred.errback(Closed(self.error or 'closed'))

    def _note(self, event: Event) -> None:
        if isinstance(event, Stanza):
            self.handled += 1
            if self.on_stanza is not None:
                self.on_stanza(event)
        elif isinstance(event, StreamOpen):
            self.header = event
        elif isinstance(event, Violation):
            self.error = f'broken: {event.condition}: {event.text}'
        elif isinstance(event, Nonza):
            if event.name == 'features':
                self.features = event
            elif event.name == 'error' and event.ns == ns.STREAM:
                self.error, self.error_xml = event.children[0].name, event.inner
            elif event.ns == ns.ACKS:
                self._note_ack(event)

    def _note_ack(self, event: Nonza) -> None:
        if event.name == 'enabled':
            self.handled, self.acks_enabled = 0, True
            self.enabled, self.resume_id = event, event.attrs.get('id', '')
        elif event.name == 'resumed':
            self.resumed, self.acks_enabled = event, True
        elif event.name == 'failed':
            self.failed, self.refusal = event, event.children[0].name
        elif event.name == 'a':
            self.acked = int(event.attrs['h'])
        elif event.name == 'r' and self.answers:
            self.ack()

    # ---- saying and hearing

    def send(self, what: str | bytes | Stanza) -> None:
        """XML, or a stanza."""
        data = to_xml(what) if isinstance(what, Stanza) else what.encode() if isinstance(what, str) else what
        self.transport.write(data)  # type: ignore[union-attr]

    def ack(self) -> None:
        """<a/> for what has come."""
        self.send(f"<a xmlns='{ns.ACKS}' h='{self.handled}'/>")

    def ask(self) -> None:
        """<r/>."""
        self.send(f"<r xmlns='{ns.ACKS}'/>")

    def when(self, wanted: Callable[[Event], bool]) -> Deferred[Event]:
        """The first event like that, of those in the inbox or to come."""
        for at, event in enumerate(self.inbox):
            if wanted(event):
                del self.inbox[at]
                result: Deferred[Event] = Deferred()
                result.callback(event)
                return result
        waiting: Deferred[Event] = Deferred()
        if self.closed:
            waiting.errback(Closed(self.error or 'closed'))
        else:
            self._waiting.append((wanted, waiting))
        return waiting

    async def stanza(self, name: str = '', **attrs: str) -> Stanza:
        """The next stanza of that name ('' for any) with these attributes (`from_` for 'from')."""
        wanted = {'from' if key == 'from_' else key: value for key, value in attrs.items()}
        event = await self.when(
            lambda event: (
                isinstance(event, Stanza)
                and event.name == (name or event.name)
                and all(event.attrs.get(key) == value for key, value in wanted.items())
            )
        )
        assert isinstance(event, Stanza)
        return event

    async def nonza(self, *names: str) -> Nonza:
        """The next first-level element of one of these names that is no stanza."""
        event = await self.when(lambda event: isinstance(event, Nonza) and event.name in names)
        assert isinstance(event, Nonza)
        return event

    async def iq(self, kind: str, id: str, payload: str, to: str = '') -> Stanza:
        """Ask, and wait for the answer with that id, result or error."""
        address = f" to='{to}'" if to else ''
        self.send(f"<iq type='{kind}' id='{id}'{address}>{payload}</iq>")
        answer = await self.when(
            lambda event: (
                isinstance(event, Stanza)
                and event.attrs.get('id') == id
                and event.attrs.get('type') in ('result', 'error')
            )
        )
        assert isinstance(answer, Stanza)
        return answer

    async def end(self) -> str:
        """Wait until the stream is over, and the connection; the stream error's condition, or ''."""
        try:
            await self.when(lambda event: False)
        except Closed:
            pass
        return self.error

    def close(self) -> None:
        """End the stream."""
        self.send(STREAM_END)

    def drop(self) -> None:
        """Be gone, without a word."""
        self.transport.abortConnection()  # type: ignore[union-attr]

    @property
    def stanzas(self) -> list[Stanza]:
        """Those in the inbox."""
        return [event for event in self.inbox if isinstance(event, Stanza)]

    def take_stanzas(self, name: str = '') -> list[Stanza]:
        """Those in the inbox, out of it."""
        taken = [stanza for stanza in self.stanzas if stanza.name == (name or stanza.name)]
        self.inbox = [event for event in self.inbox if event not in taken]
        return taken

    # ---- logging in

    async def open(self, **attrs: str) -> Nonza:
        """Send a stream header (`to`, version and what else is given) and wait for features."""
        self._parser.reset()
        self.features = None
        self.send(stream_header(ns.CLIENT, {'to': self.domain, 'version': '1.0', **attrs}))
        return await self.nonza('features')

    async def start_tls(self, creator: Any, **attrs: str) -> Nonza:
        """STARTTLS on a socket, with what `transport.startTLS` wants; then a new stream."""
        self.send(f"<starttls xmlns='{ns.TLS}'/>")
        answer = await self.nonza('proceed', 'failure')
        if answer.name != 'proceed':
            raise Refused('STARTTLS')
        self.transport.startTLS(creator)  # type: ignore[union-attr]
        return await self.open(**attrs)

    @property
    def mechanisms(self) -> list[str]:
        """SASL mechanisms in the last features."""
        features = self.features
        child = features.children if features is not None else ()
        for one in child:
            if one.name == 'mechanisms' and features is not None:
                return [
                    part.partition(b'</mechanism>')[0].decode()
                    for part in features.inner[one.start : one.end].split(b'<mechanism>')[1:]
                ]
        return []

    def send_auth(self, mechanism: str, initial: bytes | None) -> None:
        """<auth/>."""
        text = '' if initial is None else base64.b64encode(initial).decode() or '='
        self.send(f"<auth xmlns='{ns.SASL}' mechanism='{mechanism}'>{text}</auth>")

    def respond(self, data: bytes) -> None:
        """<response/>."""
        self.send(f"<response xmlns='{ns.SASL}'>{base64.b64encode(data).decode()}</response>")

    async def authenticate(
        self, mechanism: str = 'SCRAM-SHA-1', binding: tuple[str, bytes] | None = None, flag: str = 'n'
    ) -> None:
        """Log in by PLAIN or SCRAM; Refused with the failure's XML.  The caller opens the new stream."""
        if mechanism == 'PLAIN':
            self.send_auth('PLAIN', b'\0%b\0%b' % (self.user.encode(), self.password.encode()))
            await self._outcome('success')
            return
        exchange = ScramClient(mechanism, self.user, self.password, binding, flag)
        self.send_auth(mechanism, exchange.first())
        self.respond(exchange.final(await self._outcome('challenge')))
        exchange.check(await self._outcome('success'))

    async def _outcome(self, wanted: str) -> bytes:
        answer = await self.nonza(wanted, 'failure')
        if answer.name != wanted:
            raise Refused(answer.children[0].name if answer.children else 'failure')
        return base64.b64decode(answer.text)

    async def bind(self, resource: str = '') -> str:
        """Bind a resource; the full JID.  Refused with the error's condition."""
        wanted = f'<resource>{resource}</resource>' if resource else ''
        answer = await self.iq('set', 'bind', f"<bind xmlns='{ns.BIND}'>{wanted}</bind>")
        if answer.attrs['type'] != 'result':
            raise Refused(answer.inner.decode())
        self.jid = answer.inner.decode().partition('<jid>')[2].partition('</jid>')[0]
        return self.jid

    async def enable_acks(self, resume: bool = False, max: str = '') -> None:
        """XEP-0198; `resume`: so that the stream may be resumed, for `max` seconds."""
        wish = f" resume='true' max='{max}'" if max else " resume='true'" if resume else ''
        self.send(f"<enable xmlns='{ns.ACKS}'{wish}/>")
        answer = await self.nonza('enabled', 'failed')
        if answer.name != 'enabled':
            raise Refused(answer.inner.decode())

    async def login_to_resume(
        self, before: XmppClient, h: int | None = None, mechanism: str = 'PLAIN', previd: str = '', attrs: str = ''
    ) -> None:
        """Log in, and ask to resume the stream of another client of this user; this one goes on as that one.

        h: by default what that one has handled; attrs: of <resume/> instead.  Refused with the condition.
        """
        await self.open()
        await self.authenticate(mechanism)
        await self.open()
        self.jid, self.resume_id = before.jid, before.resume_id
        self.handled = before.handled if h is None else h
        attrs = attrs or f"previd='{previd or before.resume_id}' h='{self.handled}'"
        self.send(f"<resume xmlns='{ns.ACKS}' {attrs}/>")
        try:
            answer = await self.nonza('resumed', 'failed')
        except Closed as error:
            raise Refused(str(error)) from None
        if answer.name != 'resumed':
            raise Refused(self.refusal)

    async def login(self, resource: str = '', mechanism: str = 'SCRAM-SHA-1', acks: bool = False, **attrs: str) -> str:
        """All of it, on a stream that needs no TLS any more: the full JID."""
        await self.open(**attrs)
        await self.authenticate(mechanism)
        await self.open(**attrs)
        jid = await self.bind(resource)
        if acks:
            await self.enable_acks()
        return jid


def run(network: Any, coroutine: Coroutine[Any, Any, T]) -> T:
    """Drive a coroutine on a network's clock (testing.network) until it is done; its result.

    AssertionError when nothing moves any more and it still waits.
    """
    results: list[Any] = []
    deferred = Deferred.fromCoroutine(coroutine)
    deferred.addBoth(results.append)
    for _ in range(1000):
        network.settle()
        if results:
            break
    assert results, 'it waits for something that does not come'
    if isinstance(results[0], Failure):
        results[0].raiseException()
    return results[0]
