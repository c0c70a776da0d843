"""One attempt to log in, by RFC 6120's profile of SASL; sasl2.py has XEP-0388's.

An exchange is a coroutine.  What comes from the client is held while it runs, but for the answer to a challenge.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from jabberd_tx.xmpp import ns, sasl
from jabberd_tx.xmpp.events import Nonza
from jabberd_tx.xmpp.sasl import SaslFailure

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.connection import ClientConnection
    from jabberd_tx.components.c2s.stream import Login


class Exchange:
    """From the element that begins it to success or failure.  As it stands, of RFC 6120 §6; XEP-0388's overrides."""

    ns = ns.SASL
    challenge = staticmethod(sasl.challenge)
    failure = staticmethod(sasl.failure)
    decode = staticmethod(lambda text: sasl.decode(text) or b'')

    def __init__(self, login: Login, conn: ClientConnection, request: Nonza) -> None:
        """`begin` begins it."""
        self._login, self._conn, self._request = login, conn, request
        self._mechanism = request.attrs.get('mechanism', '')
        self._task: Deferred[Any] | None = None
        self._answer: Deferred[Any] | None = None  # where what the client says next goes
        self._expected = ''  # which element that is
        self._read: Callable[[Nonza], Any] | None = None  # and what it says

    def begin(self) -> None:
        """Read the request, and go on from there."""
        self._conn.hold()
        task = Deferred.fromCoroutine(self._run())
        if not task.called:
            self._task = task
        task.addErrback(self._refused).addErrback(self._login.broken)

    async def _run(self) -> None:
        initial = sasl.decode(self._request.text)
        who = await self._login.run_mechanism(self._mechanism, initial, self.ask)
        self._conn.write(sasl.success(who.data))
        self._login.logged_in_anew(who.jid)

    def _refused(self, failure: Failure) -> None:
        self._task = None
        if self._login.is_over or failure.check(CancelledError):
            return  # cancelled by `lost`, in the end or for another attempt
        failure.trap(SaslFailure)
        assert isinstance(failure.value, SaslFailure)
        self._login.failed(self._mechanism, failure.value, self.failure(failure.value))

    def lost(self) -> None:
        """The stream is over."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    # ---- what the client says

    def ask(self, challenge: bytes) -> Deferred[bytes]:
        """Send a challenge; the response, or SaslFailure."""
        return self._wait_for('response', self._decoded, self.challenge(challenge))

    def _decoded(self, event: Nonza) -> bytes:
        return self.decode(event.text)

    def _wait_for(self, name: str, read: Callable[[Nonza], Any], element: bytes) -> Deferred[Any]:
        """Send something; what is read from the element of that name, or SaslFailure."""
        self._conn.write(element)
        answer: Deferred[Any] = Deferred()
        self._answer, self._expected, self._read = answer, name, read
        self._conn.proceed()
        return answer

    def take(self, event: Nonza) -> None:
        """What comes while it runs: an answer, the wish to stop, or to begin anew (§6.4.2)."""
        if event.ns == self.ns == ns.SASL and event.name == 'auth':
            self._give_way(event)
            return
        answered = False
        if event.ns == self.ns and event.name == 'abort':
            answered = self._answer_with(_aborted, event)
        elif event.ns == self.ns and event.name == self._expected and self._read is not None:
            answered = self._answer_with(self._read, event)
        if not answered:
            self._login.fail('not-authorized', 'not expected here')

    def _give_way(self, event: Nonza) -> None:
        """To another attempt; this one counts as failed, which bounds how often."""
        self.lost()
        self._login.failed(self._mechanism, SaslFailure('aborted', 'another attempt takes its place'), b'')
        self._login.take(event)

    def _answer_with(self, read: Callable[[Nonza], Any], event: Nonza) -> bool:
        answer, self._answer, self._read = self._answer, None, None
        if answer is None:
            return False
        self._conn.hold()
        try:
            data = read(event)
        except SaslFailure as failure:
            answer.errback(failure)
        else:
            answer.callback(data)
        return True


def _aborted(event: Nonza) -> bytes:
    raise SaslFailure('aborted')
