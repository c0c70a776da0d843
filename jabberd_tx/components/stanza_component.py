"""A component that serves a name of its own, with stanzas in and stanzas out: the base class for bots and services.

    class Echo(StanzaComponent):
        def message(self, stanza):
            return self.answer(stanza, b'<body>you said something</body>')

    Echo(links, 'echo.example.net', reactor).start()

What comes is taken once, and what one sender sends in its order, also where a method takes time.  It is confirmed when
the method is done; what is sent is kept until it is confirmed (link/kept_frames.py).  So a message to or from a
component has docs/delivery.md's promise, as long as the component's process lives.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable
from inspect import isawaitable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from jabberd_tx.base.backoff import Backoff
from jabberd_tx.base.replay import ReplayWindow
from jabberd_tx.components.slot_gate import SlotGate, make_gate
from jabberd_tx.components.slot_leases import SlotLeases
from jabberd_tx.link import events
from jabberd_tx.link.frames import EVERY_INSTANCE, REPEAT, Bounce, Confirm, Fanout, Route, Working
from jabberd_tx.link.interfaces import Link, Links
from jabberd_tx.link.kept_frames import KeptFrames, TooManyKept
from jabberd_tx.storage.leases.interface import Holder, LeaseStore
from jabberd_tx.xmpp.errors import CONDITIONS, StanzaError, error_reply, may_reply
from jabberd_tx.xmpp.jid import parse
from jabberd_tx.xmpp.stanza import Stanza

__all__ = ['SENT', 'Answer', 'StanzaComponent']

# A stanza to be sent, or nothing; at once or later.
Answer = Stanza | None | Awaitable[Stanza | None]
# In place of an answer: it has been sent already.
SENT = Stanza('iq', {})

# What may wait here, taken and sent, before no more is asked for.
MOST_PENDING = 1000
# Refusals of a name that may be otherwise the next time.
FOR_NOW = ('conflict', 'no-slot')
# How long a stop waits for what is under way, and how often it looks.
STOP_S, LOOK_S = 5.0, 0.02


class _Arrival:
    """A stanza that is not confirmed: its uid, and who wants to hear of it over which link."""

    __slots__ = ('senders', 'stanza', 'uid')

    def __init__(self, frame: Route, link: Link, stanza: Stanza) -> None:
        self.uid, self.stanza = frame.uid, stanza
        self.senders = [(frame.source, link)]


class StanzaComponent:
    """A Component (link/interfaces.py).  Override `message`, `presence`, `iq`, `answered`.

    out_of_turn      kinds of stanzas that do not wait while a method takes its time for what their sender sent before
    stanzas, faults  taken so far, and those at which a method failed with something else than StanzaError
    """

    log = Logger()
    out_of_turn: frozenset[str] = frozenset()

    def __init__(
        self,
        links: Links,
        name: str,
        reactor: IReactorTime,
        policy: str | None = None,
        leases: LeaseStore | None = None,
        **options: object,
    ) -> None:
        """`policy`: which instance gets what, if there are several; options: those of BIND, such as slots and slot
        (docs/routing.md).  `leases`: bind the name `exclusive`, and take only what is for slots that are leased here.
        """
        self.links, self.name, self.reactor = links, parse(name).domain, reactor
        self.stanzas = self.faults = 0
        self._policy = policy
        self._window = ReplayWindow()
        self._taken: dict[bytes, _Arrival] = {}
        self._queues: dict[str, deque[_Arrival]] = {}  # by sender: what waits for a method that takes its time
        self._kept = KeptFrames(links, reactor, self.undelivered)
        self._options = options
        self._backoff = Backoff(0.2, 60.0)
        self._refusals = 0
        self._again: IDelayedCall | None = None  # a name that was refused is asked for again
        self._gate: SlotGate | None = None
        if leases is not None:
            self._policy = policy = policy or 'to'
            self._options = {**options, 'exclusive': True}
            holder = Holder(links.node, links.incarnation)
            self._leases = SlotLeases(leases, self.name, holder, reactor, self.slot_gained, self.slot_lost)
            self._gate = make_gate(links, self._leases, reactor, self._admit, policy, options)
        links.attach(self)

    def start(self, **options: object) -> None:
        """Serve the name; options: more of BIND."""
        self._options |= options
        self.links.bind(self.name, self._policy, **self._options)

    async def stop(self) -> None:
        """Leave new work to others, finish what is under way."""
        if self._again is not None:
            self._again.cancel()
            self._again = None
        self.links.drain()
        end = self.reactor.seconds() + STOP_S
        while (self._taken or self._kept) and self.reactor.seconds() < end:
            await deferLater(self.reactor, LOOK_S)
        if self._gate is not None:
            await self._leases.stop()
        self._kept.stop()
        self.links.unbind(self.name)

    def status(self) -> dict[str, int]:
        """For an operator."""
        return {'taken': len(self._taken), 'sent': len(self._kept)}

    # ---- to be overridden

    def message(self, stanza: Stanza) -> Answer:
        """A message; StanzaError refuses it."""
        raise StanzaError('service-unavailable')

    def presence(self, stanza: Stanza) -> Answer:
        """Presence, of any type but error."""
        return None

    def iq(self, stanza: Stanza) -> Answer:
        """A get or set: the result, None for an empty one, StanzaError for an error."""
        raise StanzaError('service-unavailable')

    def answered(self, stanza: Stanza) -> None:
        """An error, or the result of an IQ, for something that this component has sent."""

    def event(self, stanza: Stanza) -> None:
        """Of a session manager's sessions (link/events.py), which this component watches."""

    def undelivered(self, stanza: Stanza, reason: str) -> None:
        """Nobody has taken what this component sent, for a reason of BOUNCE; what a router's rules do not let pass is
        answered with its error."""
        if reason in CONDITIONS:
            if may_reply(stanza):
                self.answered(error_reply(stanza, reason))
            return
        self.log.warn('{name}: nobody took {stanza}: {reason}', name=self.name, stanza=stanza, reason=reason)

    def slot_gained(self, slot: int) -> None:
        """Of an exclusive name: this slot is ours from now on, and nobody else's."""

    def slot_lost(self, slot: int) -> None:
        """It is not any more: what is kept for it here is somebody else's to do."""

    # ---- sending

    def send(self, stanza: Stanza) -> None:
        """Send a stanza to its `to`.  ValueError (InvalidJid) for a `to` or `from` that may not be; TooManyKept."""
        sender = stanza.attrs.get('from')
        if sender is None:
            stanza = stanza.with_attrs(from_=self.name)
        elif parse(sender).domain != self.name:
            raise ValueError(f'{sender} is not of {self.name}')
        to = parse(stanza.attrs.get('to', ''))
        self._kept.send(to.domain, to.bare, stanza)

    def send_to_all(self, name: str, stanza: Stanza) -> None:
        """Send it to every instance of a name: those that the router sees, and that have room for it.  TooManyKept."""
        sender = stanza.attrs.get('from')
        self._kept.send(name + EVERY_INSTANCE, name, stanza if sender else stanza.with_attrs(from_=self.name))

    def watch(self, sm: str) -> None:
        """Ask the session manager of that node for word of its sessions; whether it gives any its configuration says.

        Ask again when the node has come anew, or has said that it is over."""
        self._kept.send(sm, sm, events.watch())

    def answer(self, stanza: Stanza, *children: tuple[str, str, bytes]) -> Stanza:
        """The answer to a stanza: of its kind (the result of an IQ), back to its sender, with these children
        (namespace, name, XML)."""
        attrs = {'to': stanza.attrs['from'], 'from': stanza.attrs.get('to', self.name)}
        kind = 'result' if stanza.name == 'iq' else stanza.attrs.get('type')
        if kind is not None:
            attrs['type'] = kind
        if 'id' in stanza.attrs:
            attrs['id'] = stanza.attrs['id']
        return Stanza.build(stanza.name, attrs, *children)

    # ---- taking

    def on_route(self, frame: Route, link: Link) -> None:
        if self._gate is None or self._gate.admits(frame, link):
            self._admit(frame, link)

    def _admit(self, frame: Route, link: Link) -> None:
        uid, stanza = frame.uid, frame.payload
        if frame.flags & REPEAT:
            known = self._taken.get(uid)
            if known is not None:
                known.senders.append((frame.source, link))
                return
            if self._window.seen(uid):
                self.links.confirm(frame.source, uid, link)
                return
        if not isinstance(stanza, Stanza):
            stanza = Stanza.unpack(stanza)
        arrival = self._taken[uid] = _Arrival(frame, link, stanza)
        queue = self._queues.get(stanza.attrs.get('from', ''))
        if queue is not None and stanza.name not in self.out_of_turn:
            queue.append(arrival)
        else:
            self._take(arrival)

    def _take(self, arrival: _Arrival) -> None:
        """Do it; unless it is done at once, what its sender sends next waits."""
        sender = arrival.stanza.attrs.get('from', '')
        self.stanzas += 1
        try:
            answer = self._ask(arrival.stanza)
        except Exception as error:
            self._refuse(arrival.stanza, error)
            self._done(arrival)
            return
        if not isawaitable(answer):
            self._reply(arrival.stanza, answer)
            self._done(arrival)
            return
        if arrival.stanza.name in self.out_of_turn:
            Deferred.fromCoroutine(self._wait(arrival, answer))
            return
        self._queues.setdefault(sender, deque())
        done = Deferred.fromCoroutine(self._wait(arrival, answer))
        done.addCallback(lambda ignored: self._next(sender))

    async def _wait(self, arrival: _Arrival, pending: Awaitable[Stanza | None]) -> None:
        try:
            self._reply(arrival.stanza, await pending)
        except Exception as error:
            self._refuse(arrival.stanza, error)
        self._done(arrival)

    def _next(self, sender: str) -> None:
        queue = self._queues.pop(sender)
        while queue:
            self._take(queue.popleft())
            again = self._queues.get(sender)
            if again is not None:
                again.extend(queue)
                return

    def _ask(self, stanza: Stanza) -> Any:
        kind = stanza.attrs.get('type')
        if stanza.name == events.NAME:
            self.event(stanza)
            return None
        if kind == 'error' or (stanza.name == 'iq' and kind not in ('get', 'set')):
            self.answered(stanza)
            return None
        if stanza.name == 'message':
            return self.message(stanza)
        return self.iq(stanza) if stanza.name == 'iq' else self.presence(stanza)

    def _reply(self, stanza: Stanza, answer: Stanza | None) -> None:
        if answer is None and stanza.name == 'iq' and stanza.attrs.get('type') in ('get', 'set'):
            answer = self.answer(stanza)
        if answer is None or answer is SENT:
            return
        try:
            self.send(answer)
        except (ValueError, TooManyKept) as error:
            self.log.error('{name} can not answer: {error}', name=self.name, error=str(error))

    def _refuse(self, stanza: Stanza, error: Exception) -> None:
        if not isinstance(error, StanzaError):
            self.faults += 1
            self.log.failure('{name} failed at a {kind}', name=self.name, kind=stanza.name)
            error = StanzaError('internal-server-error')
        if may_reply(stanza) and stanza.name != 'presence':
            self._reply(stanza, error.reply(stanza))

    def _done(self, arrival: _Arrival) -> None:
        del self._taken[arrival.uid]
        self._window.mark(arrival.uid)
        for node, link in arrival.senders:
            self.links.confirm(node, arrival.uid, link)

    # ---- the rest of what links call

    def on_fanout(self, frame: Fanout, link: Link) -> None:
        """Those are for sessions, and there are none here."""
        self.links.failed(frame.source, frame.uid, [stream for stream, _ in frame.targets], link)

    def on_confirm(self, frame: Confirm) -> None:
        for uid in frame.uids:
            self._kept.confirmed(uid)

    def on_working(self, frame: Working) -> None:
        """Nothing is repeated for being slow."""

    def on_bounce(self, frame: Bounce, link: Link) -> None:
        self._kept.bounced(frame, link)

    def on_up(self, name: str, node: str, incarnation: bytes) -> None:
        self._kept.name_came(name)

    def on_down(self, name: str, node: str, incarnation: bytes) -> None:
        self._kept.name_lost(name)

    def on_path_lost(self, name: str, node: str, link: Link) -> None:
        self._kept.path_lost(link, name)

    def on_refused(self, name: str, outcome: str) -> None:
        """Somebody else has the name, or our slot: until it is gone."""
        if outcome in FOR_NOW and self._again is None:
            self._again = self.reactor.callLater(self._backoff.delay(min(self._refusals, 10)), self._ask_again)
            self._refusals += 1

    def _ask_again(self) -> None:
        self._again = None
        self.links.bind(self.name, self._policy, **self._options)

    def on_drain(self, node: str) -> None:
        """The router picks others."""

    def on_link_up(self, link: Link) -> None:
        self._kept.link_came()

    def on_link_down(self, link: Link) -> None:
        self._kept.link_lost(link)

    def congested(self) -> bool:
        return len(self._taken) + len(self._kept) + (len(self._gate) if self._gate is not None else 0) > MOST_PENDING
