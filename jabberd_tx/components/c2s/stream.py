"""A client's stream from its header to the bound resource (RFC 6120 §4 to §7), by the table of login_states.py.

What a client may send before it has logged in is bounded in bytes and in seconds (`deadline`, looked at once a second).
"""

from __future__ import annotations

from collections.abc import Collection, Coroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from jabberd_tx.components.c2s import features
from jabberd_tx.components.c2s.authentication import Ask, Authenticated
from jabberd_tx.components.c2s.binding import Binding
from jabberd_tx.components.c2s.exchange import Exchange
from jabberd_tx.components.c2s.header import check_header, language, response_header
from jabberd_tx.components.c2s.login_states import BINDING, CHOICE, EXCHANGE, HEADER, OVER, STARTING, TABLE, State
from jabberd_tx.components.c2s.registration import Attempt, take_request
from jabberd_tx.components.c2s.resume_request import ask_to_resume
from jabberd_tx.components.c2s.sasl2 import ExtensibleExchange
from jabberd_tx.components.c2s.upgrades import missing
from jabberd_tx.xmpp import acks, ns, sasl
from jabberd_tx.xmpp.errors import stream_error
from jabberd_tx.xmpp.jid import Jid, parse
from jabberd_tx.xmpp.parser import Event, Nonza, StreamClose, StreamOpen
from jabberd_tx.xmpp.payloads import sasl2
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.connection import ClientConnection
    from jabberd_tx.components.c2s.service import C2S


class Login:
    """From the connection to the session, or the end of the stream.

    deadline   the service's tick at which it is given up
    offered    the mechanisms; bindings: the stream's channel binding data, until somebody has logged in
    upgrades   mechanisms that the account of `sender` could have as well; continued: <continue/> has been sent
    binding    how it gets a session
    """

    __slots__ = (
        '_bytes', '_conn', '_exchange', '_failures', '_since', '_state', '_task', 'binding', 'bindings', 'c2s',
        'continued', 'deadline', 'domain', 'jid', 'lang', 'offered', 'registration', 'sender', 'upgrades',
    )  # fmt: skip
    log = Logger()

    def __init__(self, c2s: C2S, conn: ClientConnection) -> None:
        self.c2s = c2s
        self.deadline = c2s.tick_after(c2s.options.login_timeout)
        self.domain = ''
        self.jid: Jid | None = None
        self.lang: str | None = None
        self.sender = ''  # the bare JID that the header says it is from
        self.registration: Attempt | None = None  # once it has asked for an account
        self.binding = Binding(self, conn)
        self._conn = conn
        self._state: State = HEADER
        self._bytes = self._failures = 0
        self._since = c2s.reactor.seconds()
        self.bindings: dict[str, bytes] = {}
        self.offered: tuple[str, ...] = ()
        self.upgrades: tuple[str, ...] = ()
        self.continued = False
        self._task: Deferred[Any] | None = None  # a resumption under way
        self._exchange: Exchange | None = None  # the attempt to log in that is under way

    # ---- what comes

    def may_receive(self, size: int) -> bool:
        """Count what a client sends before it has logged in; False once it is too much, and the stream over."""
        if self.jid is None:
            self._bytes += size
            if self._bytes > self.c2s.options.unauthenticated_bytes:
                self.fail('policy-violation', 'too much data before login')
                return False
        return True

    def take(self, event: Event) -> None:
        """One event of the parser."""
        if isinstance(event, Stanza):
            what = 'stanza'
        elif isinstance(event, Nonza):
            what = f'{event.ns} {event.name}'
        elif isinstance(event, StreamOpen):
            what = 'open'
        elif isinstance(event, StreamClose):
            self._closed()
            return
        else:
            self.fail(event.condition, event.text)
            return
        method = TABLE.get((self._state, what))
        if method is not None:
            getattr(self, method)(event)
        elif self._state is BINDING and what != 'stanza':
            self.fail('unsupported-stanza-type', 'not expected here')
        else:
            self.fail('not-authorized', 'first log in and bind a resource')

    def _closed(self) -> None:
        self.lost()
        self._conn.close()

    def lost(self) -> None:
        """The stream is over: nothing is waited for any more."""
        self._state = OVER
        self.c2s.logins.discard(self)
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.lost()
        self.binding.lost()

    def fail(self, condition: str, text: str = '', inner: str = '') -> None:
        """End the stream with a stream error; a response header goes first where none was sent (§4.9.1.1)."""
        if self._state is OVER:
            return
        self.log.info(
            'stream of {peer} ended before a session: {condition}: {text}',
            peer=self._conn.peer,
            condition=condition,
            text=text,
        )
        header = b''
        if self._state is HEADER:
            header = response_header(self.domain or self.c2s.domains[0])
        self.lost()
        self._conn.close(header + stream_error(condition, text, inner))

    def expire(self) -> None:
        """The deadline has come."""
        if self._state is STARTING:
            self.binding.give_up('remote-server-timeout', 'no session in time')
        self.fail('connection-timeout', 'login took too long')

    # ---- the header

    def _open(self, event: StreamOpen) -> None:
        domain, problem = check_header(event, self.c2s.domains, self.domain, self.jid)
        self.domain = domain or self.domain
        if problem is not None:
            self.fail(*problem)
            return
        self.lang = language(event)
        self.sender = parse(event.attrs['from']).bare if 'from' in event.attrs else ''
        conn = self._conn
        conn.write(response_header(domain, event.attrs.get('from', '')))
        if self.jid is not None:
            conn.write(features.after_login(self.c2s.offer.after(self.domain)))
            self._state = BINDING
            return
        self._state = CHOICE
        starttls, may_log_in, plain = self.c2s.tls_policy(conn)
        other = self.c2s.options.see_other_host
        if other and (may_log_in or not starttls):
            # Under TLS where the client is going to use it: nobody may lead it astray (§4.9.3.19).
            self.fail('see-other-host', inner=other)
            return
        if may_log_in and self.c2s.upgrades.on() and self.sender.endswith(f'@{domain}'):
            conn.hold()
            self._task = task = Deferred.fromCoroutine(self._offer_what_is_known(starttls, plain))
            task.addErrback(lambda failure: None if self.is_over else self.broken(failure))
        else:
            self._offer(starttls, may_log_in, plain)

    async def _offer_what_is_known(self, starttls: str, plain: bool) -> None:
        known = await self.c2s.upgrades.known(self.sender)
        self.upgrades = missing(known)
        self._offer(starttls, True, plain, known)
        self._conn.proceed()

    def _offer(self, starttls: str, may_log_in: bool, plain: bool, known: Collection[str] = sasl.HASHES) -> None:
        conn = self._conn
        if may_log_in:
            self.bindings = self.c2s.bindings(conn)
            self.offered = self.c2s.authentication.offered(conn.secure, plain, self.bindings, self.domain, known)
        conn.write(self.c2s.offer.before_login(starttls, self.offered, tuple(self.bindings), self.upgrades))

    # ---- TLS

    def _start_tls(self, event: Nonza) -> None:
        conn = self._conn
        starttls, _, _ = self.c2s.tls_policy(conn)
        if not starttls or conn.queued or not conn.parser.idle:
            # Not offered, or followed by what might pass for the first bytes under TLS.
            self._refuse_tls(event)
            return
        conn.write(f"<proceed xmlns='{ns.TLS}'/>".encode())
        conn.start_tls()
        self._state = HEADER

    def _refuse_tls(self, event: Nonza) -> None:
        """§5.4.2.2: failure, and the stream ends."""
        conn = self._conn
        self.lost()
        conn.close(f"<failure xmlns='{ns.TLS}'/>".encode())

    def _register(self, event: Stanza) -> None:
        self._task = take_request(self, self._conn, event)

    # ---- SASL

    def _authenticate(self, event: Nonza) -> None:
        extensible = event.ns == ns.SASL2
        if self.continued or (extensible and not self.c2s.options.sasl2):
            self.fail('not-authorized', 'not offered, or not any more')  # XEP-0388 §4.8
            return
        self._state = EXCHANGE
        self._exchange = (ExtensibleExchange if extensible else Exchange)(self, self._conn, event)
        self._exchange.begin()

    def _abort(self, event: Nonza) -> None:
        reason = sasl.SaslFailure('aborted')
        self.failed('', reason, (sasl2 if event.ns == ns.SASL2 else sasl).failure(reason))

    def _go_on(self, event: Nonza) -> None:
        assert self._exchange is not None
        self._exchange.take(event)

    def run_mechanism(self, mechanism: str, initial: bytes | None, ask: Ask) -> Coroutine[Any, Any, Authenticated]:
        """Of one that was offered; SaslFailure, at once or later."""
        if mechanism not in self.offered:
            known = not self._conn.secure and mechanism in ('PLAIN', *sasl.HASHES)
            raise sasl.SaslFailure('encryption-required' if known else 'invalid-mechanism')
        return self.c2s.authentication.run(
            mechanism, initial, self.domain, self.bindings, ask, self._conn.address or '', self.offered
        )

    def logged_in_anew(self, who: Jid) -> None:
        """A new stream follows."""
        self._conn.parser.reset()
        self._logged_in(who, HEADER)

    def logged_in(self, who: Jid) -> None:
        """Logged in, and the stream goes on (XEP-0388): a session may be asked for as ever."""
        self._conn.write(features.after_login(self.c2s.offer.after(self.domain)))
        self._logged_in(who, BINDING)

    def _logged_in(self, who: Jid, state: State) -> None:
        self.jid, self._exchange, self.bindings, self._failures, self._state = who, None, {}, 0, state
        conn = self._conn
        conn.parser.limits = self.c2s.limits
        conn.proceed()

    def broken(self, failure: Failure) -> None:
        """What should not have failed did."""
        self.log.failure('a login failed for a reason of our own', failure)
        self.fail('internal-server-error')

    @property
    def is_over(self) -> bool:
        """The stream has ended, or a session has taken over."""
        return self._state is OVER

    def failed(self, mechanism: str, failure: sasl.SaslFailure, element: bytes) -> None:
        """An attempt to log in has failed; `element` tells the client."""
        conn = self._conn
        self._exchange = None
        self.c2s.measures.logins.failed += 1
        self.log.info(
            'login failed: {peer} at {domain} by {mechanism!r}: {condition} {text}',
            peer=conn.peer,
            domain=self.domain,
            mechanism=mechanism[:40],
            condition=failure.condition,
            text=failure.text,
        )
        conn.write(element)
        self._state = CHOICE
        self._failures += 1
        if self._failures >= self.c2s.options.login_attempts:
            self.fail('policy-violation', 'too many failed logins')
        else:
            conn.proceed()

    def over(self) -> None:
        """A session takes over."""
        self._exchange = self._task = None
        self._state = OVER
        self.binding.over()
        self._conn.parser.limits = self.c2s.limits
        self.c2s.logins.discard(self)
        self.c2s.measures.logged_in(self.c2s.reactor.seconds() - self._since)

    def end_with(self, error: bytes) -> None:
        """End the stream with this stream error; for an exchange or a resumption, of itself."""
        self._task = self._exchange = None
        self.lost()
        self._conn.close(error)

    # ---- a session

    def _bind(self, stanza: Stanza) -> None:
        assert self.jid is not None
        self.binding.take(self.jid, stanza)

    def starts(self) -> None:
        """An sm is asked for a session, or another c2s for an earlier one."""
        self._state = STARTING
        self._conn.hold()

    def may_bind(self) -> None:
        """There is none; the connection is still held."""
        self._state = BINDING

    def _refuse_acks(self, event: Nonza) -> None:
        self._conn.write(acks.failed('unexpected-request'))

    def _resume(self, event: Nonza) -> None:
        assert self.jid is not None
        self.starts()
        self._task = ask_to_resume(self, self._conn, self.jid, event)

    def not_resumed(self, answer: bytes) -> None:
        """The client may bind a resource instead."""
        self._task = None
        self._conn.write(answer)
        self.may_bind()
        self._conn.proceed()
