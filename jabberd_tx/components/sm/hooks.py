"""Hooks: named points of the session manager where modules have their say.

A point is declared here with what its handlers get and what their answer means.  Handlers of a point are called in
order, lowest first, and the first that answers with anything but None stops the chain.  `asked` points may answer
with an awaitable.  `Hooks.listing()` tells who sits where in a running server.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.logger import Logger

from jabberd_tx.components.sm.tally import Tallies, Tally
from jabberd_tx.xmpp.errors import StanzaError

if TYPE_CHECKING:
    from jabberd_tx.storage.sessions.interface import Session

Handler = Callable[..., Any]


class Point(NamedTuple):
    """A place where handlers are called.

    arguments  what each gets
    help       when it is called, and what an answer means
    asked      whether an answer may be an awaitable
    """

    name: str
    arguments: str
    help: str
    asked: bool = False


POINTS = (
    Point(
        'message_sent',
        'message: Item',
        'A user of ours sends a message.  A Stanza goes on in its place; STOP settles it; StanzaError refuses it.',
        asked=True,
    ),
    Point(
        'message_to',
        'message: Item',
        'A message is about to be delivered to a user of ours.  Answers as for message_sent.',
        asked=True,
    ),
    Point(
        'message_concerns',
        'stanza: Stanza, own: Sequence[Session] | None, others: Sequence[Session] | None',
        "Whether the module wants to see a message: True or False.  Called for each on its way, with its sender's "
        "sessions and its recipient's (None: not known; ELSEWHERE, which is empty: one at another domain), so it may "
        'not parse, wait or make anything.  A module that has no handler here is asked about every message at '
        'message_sent, message_to and message_placed.  One that has may be asked all the same where a message goes a '
        'longer way.',
    ),
    Point(
        'message_takers',
        'message: Item, takers: Sequence[Session]',
        'The sessions that are about to get a message to a bare JID.  A list (of one at least) goes on in their '
        'place; StanzaError refuses the message.',
    ),
    Point(
        'message_placed',
        'message: Item, takers: Sequence[Session]',
        'A message that modules have seen is on its way to these sessions, or to another domain or storage (none). '
        'Once for each message, if it may have to be sent again.  Answers mean nothing.',
    ),
    Point(
        'message_refused',
        'message: Item, error: Stanza',
        'A message that was told at message_placed is answered with this error after all.  Answers mean nothing.',
    ),
    Point(
        'message_returned',
        'message: Item',
        'A message comes back that a client of ours was sent and never acked.  Answers as for message_sent.',
        asked=True,
    ),
    Point(
        'message_unreachable',
        'message: Item',
        'The recipient exists and no resource takes the message (RFC 6121 §8.5.2.2).  STOP: it is settled (stored, '
        'or dropped for a good reason); StanzaError refuses it; without an answer it is refused.',
        asked=True,
    ),
    Point(
        'message_fetched',
        'stanza: Stanza, session: Session',
        'A message that was stored is about to be given to a client.  STOP drops it.',
    ),
    Point(
        'iq_sent',
        'stanza: Stanza, sender: Jid, to: Jid',
        'A user of ours sends an IQ to anybody else.  STOP drops it; StanzaError refuses it.',
        asked=True,
    ),
    Point(
        'iq_to',
        'stanza: Stanza, sender: Jid, to: Jid',
        'An IQ is for a client or the account of a user of ours, from anybody else.  Answers as for iq_sent.',
        asked=True,
    ),
    Point(
        'presence_sent',
        'stanza: Stanza, sender: Jid, to: Jid',
        'A user of ours sends presence of any type to somebody.  STOP drops it; StanzaError refuses it.',
        asked=True,
    ),
    Point(
        'presence_to',
        'stanza: Stanza, sender: Jid, to: Jid',
        'Presence of any type goes to one address; what is for a bare JID of ours, then to each of its clients.  STOP '
        "drops it; of 'subscribed', 'unsubscribe' and 'unsubscribed' the roster takes note all the same.",
        asked=True,
    ),
    Point(
        'presence_broadcast',
        'stanza: Stanza, session: Session',
        'A client of ours says to all who may see it that it is available, or gone.  A Stanza goes on in its place. '
        '`session` is as it was before.',
        asked=True,
    ),
    Point(
        'presence_shown',
        'session: Session, viewers: Sequence[Session]',
        "A session's presence goes to sessions of its own user and of others.  A list goes on in their place.",
    ),
    Point(
        'session_opening',
        'session: Session',
        'A session is about to be put into the store: the one time that attributes may be set on it.  '
        'Answers mean nothing.',
        asked=True,
    ),
    Point('session_started', 'session: Session', 'A client has bound a resource.  Answers mean nothing.'),
    Point(
        'session_ready',
        'session: Session',
        'A client takes messages from now on: its presence has got a priority that is not negative.',
    ),
    Point(
        'session_behind',
        'session: Session',
        'A newer message waits since the client has not been given what is stored.  While anybody listens here a '
        'client that becomes ready is `behind`; whoever does gives it what is stored, and then has the session store '
        'say that it is not.  The gate of its user is to be closed meanwhile (gates.py).',
    ),
    Point('session_ended', 'session: Session', "A client's session is over."),
    Point(
        'user_forgotten',
        'owner: str',
        'What is remembered of a user may be outdated: the account may have been removed.',
    ),
    Point(
        'peers_changed',
        'domain: str',
        'Another process has begun to serve a domain of ours as well: what is remembered of users may be outdated.',
    ),
    Point('vcard_changed', 'owner: str, photo: str', "A user's vCard is another; the hash of its photo, or ''."),
    Point('disco_identities', 'request: IqRequest', 'More identities of the entity asked, as (category, type, name).'),
    Point('disco_features', 'request: IqRequest', 'More features of the entity asked, as str.'),
    Point('disco_forms', 'request: IqRequest', 'Forms (payloads/forms.py) of the entity asked (XEP-0128).'),
    Point('disco_nodes', 'request: IqRequest', 'Nodes, as str, at which the entity asked tells the same as without.'),
    Point('disco_items', 'request: IqRequest', 'Items of the entity asked, as (jid, name, node).'),
)


# Where modules see messages that are on their way.
ON_THE_WAY = ('message_sent', 'message_to', 'message_placed')


class Stop:
    """What a handler answers when there is nothing left to do."""

    def __repr__(self) -> str:
        return 'STOP'


STOP = Stop()


class _Elsewhere(tuple['Session', ...]):
    """Not the same as (), which says that a user of ours has no session."""


# At message_concerns: the sessions of a recipient at another domain.
ELSEWHERE = _Elsewhere()


class _Entry(NamedTuple):
    order: int
    owner: str
    handler: Handler


class Seat(NamedTuple):
    """One handler, as `Hooks.listing` tells it: point, order, the module it belongs to, its own name."""

    point: str
    order: int
    owner: str
    handler: str


class Hooks:
    """The handlers of every point.

    `chains[name]` is the list of a point's handlers, in order; it is changed in place, so that the stanza path
    may hold on to it, and is empty (false) while nobody is interested.  `unconcerned` are the handlers of messages
    on their way whose modules have none at message_concerns: while there are any, each message is shown to all.
    """

    log = Logger()

    def __init__(self, points: tuple[Point, ...] = POINTS, tallies: Tallies | None = None) -> None:
        self._of = (tallies or Tallies()).of
        # The tally of each handler in a chain, at its index.
        self._tallies: dict[str, list[Tally]] = {point.name: [] for point in points}
        self.points = {point.name: point for point in points}
        self.chains: dict[str, list[Handler]] = {point.name: [] for point in points}
        self._entries: dict[str, list[_Entry]] = {point.name: [] for point in points}
        self.unconcerned: list[Handler] = []

    def add(self, point: str, handler: Handler, order: int = 50, owner: str = '') -> None:
        """Call `handler` at that point; of equal order, those that came first.  KeyError for no such point."""
        entries = self._entries[point]
        entries.append(_Entry(order, owner, handler))
        entries.sort(key=lambda entry: entry.order)
        self._refresh(point)

    def remove(self, owner: str) -> None:
        """Take a module's handlers away."""
        for point, entries in self._entries.items():
            entries[:] = [entry for entry in entries if entry.owner != owner]
            self._refresh(point)

    def _refresh(self, point: str) -> None:
        entries = self._entries
        self.chains[point][:] = [entry.handler for entry in entries[point]]
        self._tallies[point][:] = [self._of(entry.owner) for entry in entries[point]]
        concerned = {entry.owner for entry in entries.get('message_concerns', ())} - {''}
        self.unconcerned[:] = [
            entry.handler for name in ON_THE_WAY for entry in entries.get(name, ()) if entry.owner not in concerned
        ]

    def listing(self) -> list[Seat]:
        """All handlers, by point and order."""
        return [
            Seat(point, entry.order, entry.owner, getattr(entry.handler, '__name__', repr(entry.handler)))
            for point, entries in self._entries.items()
            for entry in entries
        ]

    # ---- calling

    async def ask(self, point: str, *arguments: Any) -> Any:
        """The first answer, or None.  A StanzaError goes through; what else goes wrong is logged and passed over."""
        answer, pending = self.ask_now(point, *arguments)
        return answer if pending is None else await pending

    def ask_now(self, point: str, *arguments: Any) -> tuple[Any, Awaitable[Any] | None]:
        """The same as (answer, None) if it is there at once, otherwise (None, what to await for it)."""
        chain, tallies = self.chains[point], self._tallies[point]
        for index, handler in enumerate(chain):
            tallies[index].calls += 1
            try:
                answer = handler(*arguments)
            except StanzaError:
                raise
            except Exception:
                self.failed(point, handler)
                continue
            if isawaitable(answer):
                return None, self._wait_for(answer, point, handler, chain[index + 1 :], arguments)
            if answer is not None:
                return answer, None
        return None, None

    async def _wait_for(
        self, pending: Awaitable[Any], point: str, asked: Handler, others: list[Handler], arguments: tuple[Any, ...]
    ) -> Any:
        """What `asked` will have answered, or else the others."""
        try:
            answer = await pending
            if answer is not None:
                return answer
        except StanzaError:
            raise
        except Exception:
            self.failed(point, asked)
        for handler in others:
            self._tally(point, handler).calls += 1
            try:
                answer = handler(*arguments)
                if isawaitable(answer):
                    answer = await answer
            except StanzaError:
                raise
            except Exception:
                self.failed(point, handler)
                continue
            if answer is not None:
                return answer
        return None

    def collect(self, point: str, *arguments: Any) -> list[Any]:
        """What all handlers answer, one after the other: each gives an iterable or None."""
        found: list[Any] = []
        for handler, tally in zip(self.chains[point], self._tallies[point], strict=True):
            tally.calls += 1
            try:
                found.extend(handler(*arguments) or ())
            except StanzaError:
                raise
            except Exception:
                self.failed(point, handler)
        return found

    def tell(self, point: str, *arguments: Any) -> None:
        """Call all; answers mean nothing, failures are logged."""
        for handler, tally in list(zip(self.chains[point], self._tallies[point], strict=True)):
            tally.calls += 1
            try:
                handler(*arguments)
            except Exception:
                self.failed(point, handler)

    def failed(self, point: str, handler: Handler) -> None:
        """Log the exception that is being handled."""
        self._tally(point, handler).failures += 1
        self.log.failure(
            'a handler of {point} failed: {handler}', point=point, handler=getattr(handler, '__qualname__', handler)
        )

    def _tally(self, point: str, handler: Handler) -> Tally:
        """Of a handler, which may have been taken away meanwhile."""
        owners = [entry.owner for entry in self._entries[point] if entry.handler == handler]
        return self._of(owners[0] if owners else '')
