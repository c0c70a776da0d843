"""What comes in: each frame is taken once, and a stream's stanzas in their order.

A stanza whose handling takes time (a roster is read, a session is opened) holds up what its stream sends after it: for
a client's frames by stream id, for what comes from elsewhere by the user that it is for.  Messages hold up nothing:
they have their lanes.  IQs and presence are confirmed when they are taken, also when they have to wait; messages when
they are settled; what changes a roster from outside, and the end of a session, when it is done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from jabberd_tx.link import events
from jabberd_tx.link import session as vocabulary
from jabberd_tx.link.frames import CLIENT, REPEAT, RETURNED, Route, confirmation
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.jid import InvalidJid, parse
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.sm.service import SessionManager
    from jabberd_tx.link.interfaces import Link

# What may still have to be done for a frame.
Work = Coroutine[Any, Any, None] | None


class Arrival(NamedTuple):
    """A frame, the link it came over, and its payload."""

    frame: Route
    via: Link
    stanza: Stanza


class Intake:
    """See the module's text."""

    log = Logger()

    def __init__(self, sm: SessionManager) -> None:
        self._sm = sm
        self._take_message = sm.delivery.take
        self._counts = sm.measures.stanzas
        # stream id or bare JID -> what waits until the present one is done
        self._queues: dict[bytes | str, deque[Arrival]] = {}
        self._in_progress: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._queues)

    def on_route(self, frame: Route, via: Link) -> None:
        """Component.on_route."""
        stanza = frame.payload
        if type(stanza) is not Stanza:
            stanza = Stanza.unpack(stanza)  # type: ignore[arg-type]
        if frame.flags == CLIENT and stanza.name == 'message' and not (self._queues and frame.uid[:16] in self._queues):
            # The stanza path.
            self._counts.message += 1
            owner: str = frame.key  # type: ignore[assignment]
            try:
                to = parse(stanza.attrs.get('to') or owner)
            except InvalidJid as error:
                self._refuse(Arrival(frame, via, stanza), 'jid-malformed', str(error))
                return
            if to.local:
                self._take_message(frame, via, stanza, to, owner)
            else:
                self._message_to_server(Arrival(frame, via, stanza))
            return
        self._take(Arrival(frame, via, stanza))

    def _take(self, arrival: Arrival) -> None:
        frame = arrival.frame
        name = arrival.stanza.name
        if frame.flags & REPEAT and name != vocabulary.NAME and self._is_known(arrival):
            return
        key: bytes | str | None = frame.uid[:16]
        if not frame.flags & CLIENT:
            if not frame.flags & RETURNED and name != events.NAME and not self._may_say(arrival):
                return
            # A given-back message is for its own lane to order.
            key = frame.key if isinstance(frame.key, str) and name != 'message' else None
        queue = self._queues.get(key) if key is not None else None
        if queue is not None:
            if frame.flags & CLIENT and name in ('iq', 'presence'):
                self._confirm(arrival)
            queue.append(arrival)
            return
        self._hold(key, self._dispatch(arrival, confirm=True))

    def _may_say(self, arrival: Arrival) -> bool:
        """Whether what comes from elsewhere is from whom it says: for a domain that somebody serves nobody else speaks,
        but for a clustering component."""
        frame, _, stanza = arrival
        try:
            domain = parse(stanza.attrs.get('from', '')).domain
            parse(stanza.attrs.get('to', ''))
        except InvalidJid:
            domain = ''
        source, links = frame.source, self._sm.links
        serving = links.instances(domain)
        if (serving or domain in self._sm.domains) and source not in serving and source != links.node:
            if not self._sm.elsewhere.is_cluster(source):
                domain = ''
        if not domain:
            self.log.warn('{source} sent a stanza from somebody else', source=frame.source)
            self._confirm(arrival)
        return bool(domain)

    def _is_known(self, arrival: Arrival) -> bool:
        frame = arrival.frame
        if frame.uid in self._in_progress or self._sm.delivery.again(frame, arrival.via):
            return True
        queue = self._queues.get(frame.uid[:16], ())
        return any(waiting.frame.uid == frame.uid for waiting in queue)

    # ---- one at a time

    def _hold(self, key: bytes | str | None, work: Work) -> None:
        """Do it; unless it is done at once, what follows under this key waits."""
        if work is None:
            return
        done = Deferred.fromCoroutine(work)
        if not done.called:
            if key is not None and key not in self._queues:
                self._queues[key] = deque()
            done.addErrback(self._failed)
            done.addCallback(self._next, key)
        else:
            done.addErrback(self._failed)

    def _next(self, result: None, key: bytes | str | None) -> None:
        if key is None:
            return
        queue = self._queues[key]
        while queue:
            work = self._dispatch(queue.popleft(), confirm=False)
            if work is None:
                continue
            done = Deferred.fromCoroutine(work)
            if not done.called:
                done.addErrback(self._failed)
                done.addCallback(self._next, key)
                return
            done.addErrback(self._failed)
        del self._queues[key]

    def _failed(self, failure: Any) -> None:
        self.log.failure('handling a stanza failed', failure=failure)

    # ---- by kind

    def _dispatch(self, arrival: Arrival, confirm: bool) -> Work:
        """`confirm`: an IQ or a presence was not confirmed yet."""
        frame, via, stanza = arrival
        name = stanza.name
        try:
            if name == 'message':
                self._counts.message += 1
                self._message(arrival)
                return None
            if name == 'iq':
                self._counts.iq += 1
                if confirm or not frame.flags & CLIENT:
                    self._confirm(arrival)
                return self._sm.iqs.take(frame, stanza)
            if name == 'presence':
                self._counts.presence += 1
                if not frame.flags & CLIENT:
                    return self._confirmed_when_done(arrival, self._sm.presence.take_inbound(frame, stanza))
                if confirm:
                    self._confirm(arrival)
                return self._sm.presence.take(frame, stanza)
            if name == events.NAME and not frame.flags & CLIENT:
                self._confirm(arrival)
                self._sm.feed.take(frame, stanza)
                return None
            if name == vocabulary.NAME and frame.flags & CLIENT:
                self._counts.session += 1
                return self._confirmed_when_done(arrival, self._sm.lifecycle.take(frame, stanza))
        except InvalidJid as error:
            self._refuse(arrival, 'jid-malformed', str(error))
            return None
        except StanzaError as error:
            self._refuse(arrival, error.condition, error.text, error.type, error.application)
            return None
        self.log.warn('{source} sent a {name}, which is no stanza', source=frame.source, name=name)
        self._confirm(arrival)
        return None

    def _message(self, arrival: Arrival) -> None:
        frame, via, stanza = arrival
        owner = self.owner_of(arrival)
        to = parse(stanza.attrs.get('to') or owner)
        if to.local:
            self._sm.delivery.take(frame, via, stanza, to, owner if frame.flags & CLIENT else to.bare)
        elif to.domain not in self._sm.domains and not frame.flags & RETURNED:
            self._sm.delivery.take(frame, via, stanza, to, owner)
        else:
            self._message_to_server(arrival)

    def _message_to_server(self, arrival: Arrival) -> None:
        """To a bare domain, or a resource of one: ours takes none (RFC 6120 §10.5.1)."""
        frame, via, stanza = arrival
        to = parse(stanza.attrs['to'])
        if to.domain not in self._sm.domains:
            self._sm.delivery.take(frame, via, stanza, to, self.owner_of(arrival))
        elif stanza.attrs.get('type') in ('error', 'headline'):
            self._confirm(arrival)
        else:
            self._refuse(arrival, 'service-unavailable')

    @staticmethod
    def owner_of(arrival: Arrival) -> str:
        """Whose frame it is: by its key, or the bare JID that it is to."""
        key = arrival.frame.key
        return key if isinstance(key, str) else parse(arrival.stanza.attrs['to']).bare

    # ---- confirming

    def _confirm(self, arrival: Arrival) -> None:
        frame = arrival.frame
        self._sm.delivery.settled.mark(frame.uid)
        self._sm.links.confirm(frame.source, confirmation(frame), arrival.via)

    def _confirmed_when_done(self, arrival: Arrival, work: Work) -> Work:
        if work is None:
            self._confirm(arrival)
            return None
        self._in_progress.add(arrival.frame.uid)
        return self._do_and_confirm(arrival, work)

    async def _do_and_confirm(self, arrival: Arrival, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            self._in_progress.discard(arrival.frame.uid)
            self._confirm(arrival)

    def _refuse(
        self, arrival: Arrival, condition: str, text: str = '', kind: str | None = None, application: bytes = b''
    ) -> None:
        self._sm.refuse(arrival.frame, arrival.stanza, condition, text, kind, application)
        self._confirm(arrival)

    # ---- now and then

    def waiting(self) -> Iterator[Route]:
        """Messages that wait for something before them: they are not forgotten."""
        for queue in self._queues.values():
            for arrival in queue:
                if arrival.stanza.name == 'message':
                    yield arrival.frame
