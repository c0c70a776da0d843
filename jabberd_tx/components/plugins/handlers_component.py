"""A component made of wokkel's XMPPHandlers: each stanza is shown to them, what they send is sent.

Theory of operation.  The handlers have a stream (stream.py) while there is a link.  Stanzas are shown in the order in
which they come.  A message is confirmed when all that observe it are done, and its sender's next one waits for that;
an IQ when it is answered, which somebody promises by `handled`, as wokkel's handlers do.  IQs and presence wait for
nothing: a handler that asks a user something, in order to answer that user, gets to hear it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.python.failure import Failure

from jabberd_tx.components.plugins.elements import error_of, stanza_of
from jabberd_tx.components.plugins.handlers import Handlers
from jabberd_tx.components.plugins.stream import HandlerStream, Shown
from jabberd_tx.components.stanza_component import SENT, Answer, StanzaComponent
from jabberd_tx.link.interfaces import Link, Links
from jabberd_tx.xmpp.errors import CONDITIONS, StanzaError, error_reply, may_reply
from jabberd_tx.xmpp.jid import InvalidJid, parse
from jabberd_tx.xmpp.stanza import Stanza

# How long a handler may take that has promised an answer, or gives something to be awaited.
ANSWER_S = 60.0
# Requests of handlers whose answers are known as such; of more, the oldest are forgotten.
MOST_ASKED = 10_000

# Who asks or is asked, and the IQ's id.
_Asked = tuple[str, str]


class HandlersComponent(StanzaComponent):
    """See the module's text."""

    out_of_turn = frozenset(('iq', 'presence'))

    def __init__(
        self, links: Links, name: str, reactor: Any, policy: str | None = None, handlers: Iterable[Any] = ()
    ) -> None:
        super().__init__(links, name, reactor, policy)
        self.handlers = Handlers(self.send_xml, reactor)
        self._stream: HandlerStream | None = None
        self._unanswered: dict[_Asked, list[Deferred[None]]] = {}  # what users ask
        self._asked: dict[_Asked, None] = {}  # what handlers ask
        for handler in handlers:
            handler.setHandlerParent(self.handlers)

    # ---- the stream's life

    def on_link_up(self, link: Link) -> None:
        """The first is the handlers' stream."""
        super().on_link_up(link)
        if self._stream is None:
            self._stream = HandlerStream(self.name, self.send_xml, self.reactor.callLater)
            self.handlers.open(self._stream)

    def on_link_down(self, link: Link) -> None:
        """With the last it ends."""
        super().on_link_down(link)
        if self.links.pick('') is None:
            self._end_stream()

    def _end_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            self._asked.clear()
            self.handlers.close()

    async def stop(self) -> None:
        """See StanzaComponent; then the stream ends."""
        await super().stop()
        for waiting in list(self._unanswered.values()):
            for answered in list(waiting):
                answered.cancel()
        self._end_stream()

    # ---- what comes

    def message(self, stanza: Stanza) -> Answer:
        """Refused when nobody observes such, or one that does has failed."""
        shown = self._show(stanza)
        if shown.pending:
            return self._message_done(shown)
        self._judge(shown)
        return None

    async def _message_done(self, shown: Shown) -> None:
        await self._all_done(shown)
        self._judge(shown)

    def _judge(self, shown: Shown) -> None:
        self._raise_first(shown)
        if not shown.anybody:
            raise StanzaError('service-unavailable')

    def presence(self, stanza: Stanza) -> Answer:
        """Nothing is ever refused."""
        return self._only_shown(stanza)

    def answered(self, stanza: Stanza) -> None:
        """Those to IQs are shown if they come from whoever was asked."""
        if stanza.name == 'iq':
            try:
                key = (parse(stanza.attrs['from']).full, stanza.attrs['id'])
                del self._asked[key]
            except (KeyError, InvalidJid):
                return
        done = self._only_shown(stanza)
        if done is not None:
            Deferred.fromCoroutine(done).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        self.faults += 1
        self.log.failure('{name} failed at an answer', failure, name=self.name)

    def _only_shown(self, stanza: Stanza) -> Any:
        shown = self._show(stanza)
        if shown.pending:
            return self._shown_done(shown)
        self._raise_first(shown)
        return None

    async def _shown_done(self, shown: Shown) -> None:
        await self._all_done(shown)
        self._raise_first(shown)

    def iq(self, stanza: Stanza) -> Answer:
        """A request: a handler answers it, or has promised to, or there is an error."""
        key = (stanza.attrs.get('from', ''), stanza.attrs.get('id', ''))
        answered: Deferred[None] = Deferred()
        self._unanswered.setdefault(key, []).append(answered)
        try:
            shown = self._show(stanza)
            if not shown.pending:
                if answered.called:
                    self._log(shown.failures)
                    return SENT
                self._check_promise(shown)
        except Exception:
            self._forget(key, answered)
            raise
        return self._wait_for_answer(key, answered, shown)

    async def _wait_for_answer(self, key: _Asked, answered: Deferred[None], shown: Shown) -> Stanza:
        try:
            await self._all_done(shown)
            if not answered.called:
                self._check_promise(shown)
            answered.addTimeout(ANSWER_S, self.reactor)
            await answered
        except (TimeoutError, CancelledError):
            raise StanzaError('remote-server-timeout') from None
        finally:
            self._forget(key, answered)
        return SENT

    def _check_promise(self, shown: Shown) -> None:
        """Raises unless somebody will answer."""
        # A child of that name would be found too: nothing but True is a promise.
        if shown.element is not None and shown.element.handled is True:
            self._log(shown.failures)
            return
        self._raise_first(shown)
        raise StanzaError('service-unavailable')

    def _forget(self, key: _Asked, answered: Deferred[None]) -> None:
        waiting = self._unanswered.get(key, [])
        if answered in waiting:
            waiting.remove(answered)
        if not waiting:
            self._unanswered.pop(key, None)

    # ---- showing

    def _show(self, stanza: Stanza) -> Shown:
        if self._stream is None:
            return Shown()
        shown = self._stream.show(stanza.name, lambda: stanza.element)
        # All of them begin now.
        shown.pending = [
            Deferred.fromCoroutine(_await(one)).addTimeout(ANSWER_S, self.reactor) for one in shown.pending
        ]
        return shown

    async def _all_done(self, shown: Shown) -> None:
        for one in shown.pending:
            try:
                await one
            except TimeoutError:
                self.log.warn('a handler of {name} took more than {limit} s', name=self.name, limit=ANSWER_S)
                shown.failures.append(StanzaError('remote-server-timeout'))
            except Exception as error:
                shown.failures.append(error)

    def _raise_first(self, shown: Shown) -> None:
        """What an observer has raised, if any has."""
        if shown.failures:
            first, *others = shown.failures
            self._log(others)
            raise error_of(first) or first

    def _log(self, failures: Iterable[Exception]) -> None:
        """Those that nobody is told of."""
        for error in failures:
            if error_of(error) is None:
                self.faults += 1
                self.log.failure('a handler of {name} failed', Failure(error), name=self.name)

    # ---- sending

    def send_xml(self, sent: Any) -> None:
        """Send an element, or XML as text.  ValueError for what is no stanza, or may not be sent; TooManyKept."""
        stanza = stanza_of(sent)
        self.send(stanza)
        if stanza.name != 'iq':
            return
        to, id = stanza.attrs['to'], stanza.attrs.get('id', '')
        if may_reply(stanza):
            if len(self._asked) >= MOST_ASKED:
                del self._asked[next(iter(self._asked))]
            self._asked[parse(to).full, id] = None
        else:
            waiting = self._unanswered.get((to, id))
            if waiting:
                answered = waiting.pop(0)
                self._forget((to, id), answered)
                answered.callback(None)

    def undelivered(self, stanza: Stanza, reason: str) -> None:
        """The handlers get the error that a server would have answered with."""
        super().undelivered(stanza, reason)
        if reason not in CONDITIONS and may_reply(stanza) and stanza.attrs.get('type') != 'unavailable':
            self.answered(error_reply(stanza, 'remote-server-not-found'))


async def _await(one: Awaitable[Any]) -> Any:
    return await one



