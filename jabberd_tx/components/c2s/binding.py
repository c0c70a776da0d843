"""The session that a login asks the sm for: by a resource that the client binds (RFC 6120 §7), or with SASL2."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from jabberd_tx.components.c2s.anonymous import session_of
from jabberd_tx.components.c2s.session import Session
from jabberd_tx.xmpp.errors import StanzaError, error_reply
from jabberd_tx.xmpp.jid import InvalidJid, Jid, prepare_resource
from jabberd_tx.xmpp.payloads import bind
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import to_xml

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.connection import ClientConnection
    from jabberd_tx.components.c2s.stream import Login


class NoSession(Exception):
    """The sm has refused to make it, with this stanza error condition."""

    def __init__(self, condition: str, text: str) -> None:
        super().__init__(condition, text)
        self.condition, self.text = condition, text


class Binding:
    """Of one login."""

    __slots__ = ('_answer', '_conn', '_login', '_refusals', '_request', '_session')

    def __init__(self, login: Login, conn: ClientConnection) -> None:
        self._login, self._conn = login, conn
        self._session: Session | None = None  # that the sm is asked for
        self._answer: Deferred[Session] | None = None  # where it goes
        self._request: Stanza | None = None  # of the client, that waits for it
        self._refusals = 0

    def ask(self, who: Jid, resource: str, carbons: bool = False) -> Deferred[Session]:
        """The sm for a session: it, or NoSession.  `carbons`: with copies from the start (XEP-0280)."""
        login, c2s = self._login, self._login.c2s
        login.deadline = min(login.deadline, c2s.tick_after(c2s.options.bind_timeout))
        self._session = session = session_of(c2s, self._conn, who, resource, login.lang)
        answer: Deferred[Session] = Deferred()
        self._answer = answer
        session.carbons = carbons
        c2s.sessions[session.stream] = session
        c2s.pins.start(session)
        return answer

    def bound(self, session: Session) -> None:
        """The sm has made it."""
        answer = self._answer
        if session is not self._session or answer is None:
            session.end()
            return
        self._session = self._answer = None
        answer.callback(session)

    def refused(self, condition: str, text: str) -> None:
        """The sm has not made it."""
        answer = self._answer
        self._session = self._answer = None
        if answer is not None:
            answer.errback(NoSession(condition, text))

    def over(self) -> None:
        """A session has taken over.  What is left of the login goes at once, and does not wait to be found garbage."""
        del self._login

    def lost(self) -> None:
        """The stream is over."""
        session = self._session
        self._session = self._answer = None
        if session is not None:
            session.end()

    # ---- a client that binds a resource itself

    def take(self, who: Jid, stanza: Stanza) -> None:
        """What comes where a resource may be bound; `who` has logged in."""
        try:
            resource = resource_wanted(stanza)
        except StanzaError as error:
            self._refuse(stanza, error.condition, error.text)
            return
        if resource is None:
            self._login.fail('not-authorized', 'first bind a resource')
            return
        self._request = stanza
        self._login.starts()
        self.ask(who, resource).addCallbacks(self._begin, self._go_back).addErrback(self._login.broken)

    def _begin(self, session: Session) -> None:
        request, conn = self._request, self._conn
        assert request is not None
        self._login.over()
        conn.write(to_xml(bind.result(request, session.jid)))
        conn.become(session)
        conn.proceed()

    def _go_back(self, failure: Failure) -> None:
        failure.trap(NoSession)
        assert isinstance(failure.value, NoSession)
        self._login.may_bind()
        self.give_up(failure.value.condition, failure.value.text)
        self._conn.proceed()

    def give_up(self, condition: str, text: str) -> None:
        """Refuse what the client asks for, if it does."""
        request, self._request = self._request, None
        if request is not None:
            self._refuse(request, condition, text)

    def _refuse(self, request: Stanza, condition: str, text: str) -> None:
        """The client may ask again, but not for ever (§7.7.3)."""
        self._conn.write(to_xml(error_reply(request, condition, text)))
        self._refusals += 1
        if self._refusals >= self._login.c2s.options.bind_attempts:
            self._login.fail('policy-violation', 'too many refused resources')


def resource_wanted(stanza: Stanza) -> str | None:
    """The resource, prepared; one that nobody can guess where the client leaves it to the server (§7.6.1).

    None when it is no request to bind; StanzaError for one that can not be granted (§7.7.2.1).
    """
    resource = bind.wanted(stanza)
    if resource is None:
        return None
    if 'id' not in stanza.attrs:
        raise StanzaError('bad-request', 'an IQ needs an id')
    if not resource:
        # Chosen before an sm is asked, so that a repeated request for a session asks for the same one.
        return secrets.token_hex(8)
    try:
        return prepare_resource(resource)
    except InvalidJid as error:
        raise StanzaError('bad-request', str(error)) from None
