"""IQs: answered here for the server and for accounts, by who they are for and what they hold; passed on to full JIDs.

An IQ with a payload that nobody answers gets service-unavailable (RFC 6120 §8.4, RFC 6121 §8.5).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.logger import Logger

from jabberd_tx.components.sm.hooks import STOP
from jabberd_tx.components.sm.module import OTHER_ACCOUNT, OWN_ACCOUNT, SERVER, IqUse
from jabberd_tx.components.sm.tally import Tally
from jabberd_tx.link.frames import CLIENT, REPEAT, Route
from jabberd_tx.storage.operations import StorageError
from jabberd_tx.xmpp.errors import StanzaError, condition_of
from jabberd_tx.xmpp.jid import Jid, parse
from jabberd_tx.xmpp.stanza import Child, Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.sm.service import SessionManager


class Answered:
    """What a method returns that has sent its answer itself."""


ANSWERED = Answered()


class IqRequest:
    """A get or set that is for the server or an account.

    stanza   the whole
    child    its payload
    sender   prepared
    to       whom it is for: a domain or a bare JID
    place    SERVER, OWN_ACCOUNT or OTHER_ACCOUNT (module.py)
    stream   the stream id of the sender's session, if that is one of ours; else None
    """

    __slots__ = ('child', 'place', 'sender', 'stanza', 'stream', 'to')

    def __init__(self, stanza: Stanza, child: Child, sender: Jid, to: Jid, place: str, stream: bytes | None) -> None:
        self.stanza, self.child, self.sender, self.to = stanza, child, sender, to
        self.place, self.stream = place, stream

    def result(self, ns: str = '', name: str = '', xml: bytes = b'') -> Stanza:
        """The answer with one child, or empty."""
        attrs = {'type': 'result', 'id': self.stanza.attrs['id'], 'to': self.stanza.attrs['from']}
        if 'to' in self.stanza.attrs:
            attrs['from'] = self.stanza.attrs['to']
        return Stanza.build('iq', attrs, (ns, name, xml)) if xml else Stanza('iq', attrs)


class _Answerer(NamedTuple):
    use: IqUse
    method: Callable[[IqRequest], Any]
    owner: str
    tally: Tally


class IqSeat(NamedTuple):
    """One answerer, as `IqAnswers.listing` tells it."""

    kind: str
    ns: str
    name: str
    places: tuple[str, ...]
    owner: str


class IqAnswers:
    """Who answers what."""

    log = Logger()

    def __init__(self, sm: SessionManager) -> None:
        self._sm, self._seconds = sm, sm.reactor.seconds
        self._answerers: dict[tuple[str, str, str], list[_Answerer]] = {}
        self._sent_hooks, self._to_hooks = sm.hooks.chains['iq_sent'], sm.hooks.chains['iq_to']

    def add(self, use: IqUse, method: Callable[[IqRequest], Any], owner: str = '') -> None:
        """ValueError when somebody answers that already for one of the places."""
        known = self._answerers.setdefault((use.kind, use.ns, use.name), [])
        for other in known:
            if other.use.places & use.places:
                raise ValueError(f'{owner}: {other.owner} answers {use.kind} {use.ns} already')
        known.append(_Answerer(use, method, owner, self._sm.tallies.of(owner)))

    def remove(self, owner: str) -> None:
        """Take a module's away."""
        for what, known in list(self._answerers.items()):
            known[:] = [answerer for answerer in known if answerer.owner != owner]
            if not known:
                del self._answerers[what]

    def listing(self) -> list[IqSeat]:
        """All answerers."""
        return [
            IqSeat(one.use.kind, one.use.ns, one.use.name, tuple(sorted(one.use.places)), one.owner)
            for known in self._answerers.values()
            for one in known
        ]

    # ---- taking

    def take(self, frame: Route, stanza: Stanza) -> Coroutine[Any, Any, None] | None:
        """An IQ of a user of ours, or from elsewhere.  Returns what is left to do; StanzaError, InvalidJid."""
        attrs = stanza.attrs
        kind = attrs.get('type')
        if kind not in ('get', 'set', 'result', 'error') or not attrs.get('id'):
            raise StanzaError('bad-request', 'an IQ has an id, and one of four types')
        if kind in ('get', 'set') and len(stanza.children) != 1:
            raise StanzaError('bad-request', 'a get or set has one child')
        sender = parse(attrs['from'])
        to = parse(attrs.get('to') or sender.bare)
        if (self._sent_hooks or self._to_hooks) and to.bare != sender.bare:
            return self._ask_hooks(frame, stanza, sender, to)
        return self._take(frame, stanza, sender, to)

    def _ask_hooks(self, frame: Route, stanza: Stanza, sender: Jid, to: Jid) -> Coroutine[Any, Any, None] | None:
        points = ['iq_sent'] if frame.flags & CLIENT else []
        if to.local and to.domain in self._sm.domains:
            points.append('iq_to')
        for index, point in enumerate(points):
            answer, pending = self._sm.hooks.ask_now(point, stanza, sender, to)
            if pending is not None:
                return self._wait_for_hooks(frame, stanza, sender, to, pending, points[index + 1 :])
            if answer is STOP:
                return None
        return self._take(frame, stanza, sender, to)

    async def _wait_for_hooks(
        self, frame: Route, stanza: Stanza, sender: Jid, to: Jid, pending: Awaitable[Any], points: list[str]
    ) -> None:
        try:
            answer = await pending
            for point in points:
                if answer is not STOP:
                    answer = await self._sm.hooks.ask(point, stanza, sender, to)
            work = None if answer is STOP else self._take(frame, stanza, sender, to)
        except StanzaError as error:
            self._sm.refuse(frame, stanza, error.condition, error.text, error.type, error.application)
            return
        if work is not None:
            await work

    def _take(self, frame: Route, stanza: Stanza, sender: Jid, to: Jid) -> Coroutine[Any, Any, None] | None:
        if to.domain not in self._sm.domains:
            self._pass_outside(frame, stanza, to)
            return None
        if to.bare != sender.bare and self._sm.elsewhere.may_be(frame, to):
            return self._look_up(frame, stanza, sender, to)
        return self._take_here(frame, stanza, sender, to)

    async def _look_up(self, frame: Route, stanza: Stanza, sender: Jid, to: Jid) -> None:
        """The recipient may be known elsewhere."""
        elsewhere, work = self._sm.elsewhere, None
        try:
            if await elsewhere.holds(to.bare):
                elsewhere.pass_on(frame, stanza, to, 'service-unavailable')
            else:
                work = self._take_here(frame, stanza, sender, to)
        except StorageError:
            self._sm.refuse(frame, stanza, 'resource-constraint', 'try again later')
        except StanzaError as error:
            self._sm.refuse(frame, stanza, error.condition, error.text, error.type, error.application)
        if work is not None:
            await work

    def _take_here(self, frame: Route, stanza: Stanza, sender: Jid, to: Jid) -> Coroutine[Any, Any, None] | None:
        kind = stanza.attrs['type']
        if to.resource and to.local:
            return self._pass_on(frame, stanza, to)
        if kind in ('result', 'error'):
            # Or an answer that nobody needs: to a roster push.
            self._sm.questions.answered(stanza, sender)
            return None
        if to.resource:
            raise StanzaError('service-unavailable')
        child = stanza.children[0]
        place = SERVER if not to.local else OWN_ACCOUNT if to.bare == sender.bare else OTHER_ACCOUNT
        stream = frame.uid[:16] if frame.flags & CLIENT else None
        answerer = self._find(kind, child, place)
        request = IqRequest(stanza, child, sender, to, place, stream)
        if place == OTHER_ACCOUNT:
            return self._answer_if_there(frame, request, answerer)
        return self._answer(frame, request, answerer)

    def _find(self, kind: str, child: Child, place: str) -> _Answerer:
        known = self._answerers.get((kind, child.ns, child.name), ())
        for answerer in known:
            if place in answerer.use.places:
                return answerer
        if known and place == OTHER_ACCOUNT and kind == 'set':
            raise StanzaError('forbidden')  # RFC 6121 §2.3.3; says nothing of whether there is such an account
        raise StanzaError('service-unavailable')

    # ---- answering

    def _answer(self, frame: Route, request: IqRequest, answerer: _Answerer) -> Coroutine[Any, Any, None] | None:
        tally = answerer.tally
        tally.calls += 1
        since = self._seconds()
        try:
            answer = answerer.method(request)
        except Exception as error:
            self._refuse(frame, request, error, tally)
            return None
        if isawaitable(answer):
            return self._wait(frame, request, answer, tally, since)
        self._reply(frame, request, answer)
        tally.answered += 1
        tally.seconds += self._seconds() - since
        return None

    async def _wait(self, frame: Route, request: IqRequest, pending: Any, tally: Tally, since: float) -> None:
        try:
            self._reply(frame, request, await pending)
        except Exception as error:
            self._refuse(frame, request, error, tally)
        else:
            tally.answered += 1
            tally.seconds += self._seconds() - since

    async def _answer_if_there(self, frame: Route, request: IqRequest, answerer: _Answerer) -> None:
        try:
            if not await self._sm.accounts.exist(request.to.bare):
                raise StanzaError('service-unavailable')
        except Exception as error:
            self._refuse(frame, request, error, answerer.tally)
            return
        work = self._answer(frame, request, answerer)
        if work is not None:
            await work

    def _reply(self, frame: Route, request: IqRequest, answer: Stanza | Answered | None) -> None:
        if not isinstance(answer, Answered):
            self._sm.reply(frame, answer if answer is not None else request.result())

    def _refuse(self, frame: Route, request: IqRequest, error: Exception, tally: Tally) -> None:
        if isinstance(error, StanzaError):
            self._sm.refuse(frame, request.stanza, error.condition, error.text, error.type, error.application)
        elif isinstance(error, StorageError):
            self._sm.refuse(frame, request.stanza, 'resource-constraint', 'try again later')
        else:
            tally.failures += 1
            self.log.failure('answering {name} failed', name=request.child.ns)
            self._sm.refuse(frame, request.stanza, 'internal-server-error')

    # ---- passing on

    def _pass_on(self, frame: Route, stanza: Stanza, to: Jid) -> Coroutine[Any, Any, None] | None:
        sessions = self._sm.sessions.peek(to.bare)
        if sessions is None:
            return self._fetch_and_pass_on(frame, stanza, to)
        self._pass_to(frame, stanza, to, sessions)
        return None

    async def _fetch_and_pass_on(self, frame: Route, stanza: Stanza, to: Jid) -> None:
        self._pass_to(frame, stanza, to, await self._sm.sessions.fetch(to.bare))

    def _pass_to(self, frame: Route, stanza: Stanza, to: Jid, sessions: Any) -> None:
        for session in sessions:
            if session.jid == to.full:
                self._sm.posts.to_stream(
                    self._owner(frame, to), session.node, session.stream, session.epoch, stanza,
                    uid=frame.uid, flags=frame.flags & REPEAT, failed=lambda reason: self._gone(frame, stanza, reason),
                )  # fmt: skip
                return
        self._gone(frame, stanza)

    def _pass_outside(self, frame: Route, stanza: Stanza, to: Jid) -> None:
        if not self._sm.links.reachable(to.domain):
            raise StanzaError('remote-server-not-found')
        self._sm.posts.to_name(
            self._owner(frame, to), to.domain, None, stanza, uid=frame.uid, flags=frame.flags & REPEAT,
            failed=lambda reason: self._sm.refuse(frame, stanza, condition_of(reason, 'remote-server-not-found')),
        )  # fmt: skip

    @staticmethod
    def _owner(frame: Route, to: Jid) -> str:
        return frame.key if isinstance(frame.key, str) else to.bare

    def _gone(self, frame: Route, stanza: Stanza, reason: str = '') -> None:
        """No such session: a get or set is answered, the rest is dropped (RFC 6121 §8.5.3.2.3)."""
        if stanza.attrs.get('type') in ('get', 'set'):
            self._sm.refuse(frame, stanza, condition_of(reason, 'service-unavailable'))
