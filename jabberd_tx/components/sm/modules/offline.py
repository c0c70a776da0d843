"""XEP-0160: messages for users of whom no client takes them are kept, and given to the next that does.

The two meet: a message that nobody takes is stored, and then the sessions are looked at again; a client that becomes
ready gets what is stored.  While it does (`_flushing`), the user's newer messages wait at the gate, so that they come
after it.  What is stored is dropped when the client's c2s has confirmed it.

Of several sms one gives a user what is stored: the one that has the claim.  Others see in the session store that the
client is `behind`, close their gates as well, and want the claim too: when they have it, there is as a rule nothing
left to do.  The claim of an sm that is gone is taken over.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from jabberd_tx.base.backoff import Backoff
from jabberd_tx.base.options import Option
from jabberd_tx.components.sm.hooks import STOP, Stop
from jabberd_tx.components.sm.lanes import Item
from jabberd_tx.components.sm.module import Module, hook
from jabberd_tx.components.sm.offline_sweep import OfflineSweep
from jabberd_tx.link.frames import OLDER, REPEAT
from jabberd_tx.storage import offline
from jabberd_tx.storage.offline import FULL, Stored
from jabberd_tx.storage.operations import StorageError
from jabberd_tx.storage.sessions.interface import Session, StaleEpoch
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.payloads.delay import stamp
from jabberd_tx.xmpp.payloads.hints import STORE, has_hint
from jabberd_tx.xmpp.stanza import Stanza

# Messages that are read from storage, and on their way to the client, at a time.
PAGE = 100
# Only one sm at a time gives a user what is stored; it says so anew with each page.
CLAIM, CLAIM_SECONDS = 'offline', 60.0
DAY = 86_400.0


class Offline(Module):
    """Keeps messages for users who are not online."""

    name = 'offline'
    xeps = ('XEP-0160', 'XEP-0203')
    server_features = ('msgoffline',)
    options = (
        Option('limit', int, 1000, 'Messages kept for a user; beyond, senders get an error.', low=0, reload=True),
        Option(
            'limit_bytes', int, 10_000_000, 'Bytes of messages kept for a user; beyond, the same.', unit='bytes', low=0,
            reload=True,
        ),
        Option(
            'expire', int, 0, 'After how many days a message that nobody has fetched may be dropped; 0: never.',
            unit='days', low=0, high=36_500, reload=True,
        ),
    )  # fmt: skip

    log = Logger()
    # what the sm is called as the holder of claims, from start to end
    _me: str
    _backoff: Backoff
    # user -> whether to look into storage once more
    _flushing: dict[str, bool]
    # user -> the stream of the client that has come last, while it is served
    _latest: dict[str, bytes]
    _sweep: OfflineSweep

    def start(self) -> None:
        """Nobody is being served."""
        links = self.sm.links
        self._me = _holder(links.node, links.incarnation)
        self._backoff = Backoff(0.05, 2.0)
        self._flushing, self._latest = {}, {}
        self._sweep = OfflineSweep(self.sm, self._expired)
        self._sweep.start()

    def stop(self) -> None:
        """Look for nothing more."""
        self._sweep.stop()

    # ---- in

    @hook('message_unreachable')
    async def store(self, message: Item) -> Stop:
        """Keep it; StanzaError when it can't be kept."""
        owner, stanza = message.to.bare, message.stanza
        if is_worthless(stanza) and not ('hints' in self.sm.modules and has_hint(stanza, STORE)):
            return STOP
        try:
            outcome = await self.sm.storage.run(
                offline.push, owner, message.uid, stanza.pack(), self.sm.reactor.seconds(),
                self.values.limit, self.values.limit_bytes, self._expired(), message.was_returned,
            )  # fmt: skip
        except StorageError:
            raise StanzaError('resource-constraint', 'the message can not be stored now') from None
        if outcome == FULL:
            raise StanzaError('service-unavailable', 'too many messages wait for the recipient already')
        self.sm.measures.messages.stored += 1
        if _ready(await self.sm.sessions.fetch(owner)):
            self._flush(owner)
        return STOP

    def _expired(self) -> float:
        """What came before that time need not be kept any longer."""
        return self.sm.reactor.seconds() - self.values.expire * DAY if self.values.expire else 0.0

    # ---- out

    @hook('session_ready')
    def come(self, session: Session) -> None:
        """A client takes messages."""
        self._latest[session.bare] = session.stream
        self._flush(session.bare)

    @hook('session_behind')
    def catch_up(self, session: Session) -> None:
        """Another sm gives it what is stored, or should have."""
        self._flush(session.bare)

    def _flush(self, owner: str) -> None:
        if owner in self._flushing:
            self._flushing[owner] = True
            return
        self._flushing[owner] = False
        self.sm.delivery.gates.close(owner)
        self.sm.spawn(self._serve(owner))

    async def _serve(self, owner: str) -> None:
        try:
            while await self._claimed(owner):
                self._flushing[owner] = False
                if await self._give_all(owner) and not self._flushing[owner]:
                    break
        except StorageError as error:
            self.log.warn('what is stored for {owner} stays there: {error}', owner=owner, error=str(error))
            await self._caught_up(await self.sm.sessions.fetch(owner))
        finally:
            del self._flushing[owner]
            self._latest.pop(owner, None)
            self.sm.delivery.gates.open(owner)
            await self.sm.sessions.release(owner, CLAIM, self._me)

    async def _claimed(self, owner: str) -> bool:
        """Whether it is ours to give: once no other sm is at it, and what clients before did not ack has come back;
        False when nobody is there to get it."""
        sessions, gone = self.sm.sessions, ''
        attempt = 0
        while True:
            holder = await sessions.claim(owner, CLAIM, self._me, CLAIM_SECONDS, gone)
            if holder == self._me and not await sessions.returns_expected(owner):
                return True
            gone = holder if holder != self._me and holder not in self._sms(owner) else ''
            if not gone:
                if _ready(await sessions.fetch(owner)) is None:
                    return False
                await self.sm.sleep(self._backoff.delay(attempt))
                attempt += 1

    def _sms(self, owner: str) -> set[str]:
        return {_holder(*instance) for instance in self.sm.links.instances(owner.rpartition('@')[2]).items()}

    async def _caught_up(self, sessions: Sequence[Session]) -> None:
        """They have what was stored; newer messages may go to them."""
        for session in sessions:
            if session.behind:
                try:
                    await self.sm.sessions.update(session.stream, session.bare, session.epoch, behind=False)
                except StaleEpoch:
                    pass  # it has moved, and whoever has attached it sees to it; or it is gone

    async def _give_all(self, owner: str) -> bool:
        """Page by page, until nothing is left, or nobody takes it; False if another sm has come in between."""
        # A session that moves is another one: it may take what it did not.
        refused: set[tuple[bytes, int]] = set()
        if self.values.expire:
            await self.sm.storage.run(offline.expire, owner, self._expired())
        while True:
            there = await self.sm.sessions.fetch(owner)
            session = _ready([one for one in there if (one.stream, one.epoch) not in refused], self._latest.get(owner))
            rows = await self.sm.storage.run(offline.page, owner, 0, PAGE) if session is not None else ()
            if session is None or not rows:
                await self._caught_up(there)
                return True
            if await self.sm.sessions.claim(owner, CLAIM, self._me, CLAIM_SECONDS) != self._me:
                return False
            taken = await self._give(session, in_order([stored for _, stored in rows]))
            if taken:
                there_at = {stored.uid: position for position, stored in rows}
                await self.sm.storage.run(offline.drop, owner, [there_at[uid] for uid in taken])
            if len(taken) < len(rows):
                refused.add((session.stream, session.epoch))

    def _give(self, session: Session, messages: Sequence[Stored]) -> Deferred[list[bytes]]:
        """Send them; the result is the uids of those that the session's c2s has confirmed."""
        done: Deferred[list[bytes]] = Deferred()
        taken: list[bytes] = []
        left = len(messages)

        def settled(uid: bytes | None) -> None:
            nonlocal left
            left -= 1
            if uid is not None:
                taken.append(uid)
            if not left:
                done.callback(taken)

        by, fetched = session.bare.rpartition('@')[2], self.sm.hooks.chains['message_fetched']
        for uid, packed, at in messages:
            try:
                stanza = stamp(Stanza.unpack(packed), at, by)
            except ValueError:
                self.log.error('a stored message for {owner} can not be read, and is dropped', owner=session.bare)
                settled(uid)
                continue
            if fetched and self.sm.hooks.ask_now('message_fetched', stanza, session)[0] is STOP:
                settled(uid)
                continue
            # A repeat: the client may have got it before it was stored (docs/delivery.md).
            self.sm.posts.to_stream(
                session.bare, session.node, session.stream, session.epoch, stanza, uid=uid, flags=REPEAT | OLDER,
                arrived=partial(settled, uid), failed=lambda reason: settled(None),
            )  # fmt: skip
        return done


def _holder(node: str, incarnation: bytes) -> str:
    """An sm, from its start to its end."""
    return f'{node} {incarnation.hex()}'


def in_order(messages: Sequence[Stored]) -> list[Stored]:
    """Those of each sender's stream by their numbers: what a client did not ack may have been stored after newer ones,
    since it comes back over another router."""
    streams: dict[bytes, list[Stored]] = {}
    for message in sorted(messages, key=lambda message: message.uid, reverse=True):
        streams.setdefault(message.uid[:16], []).append(message)
    return [streams[message.uid[:16]].pop() for message in messages]


def is_worthless(stanza: Stanza) -> bool:
    """A chat message of chat states alone is not worth keeping (XEP-0160 §3)."""
    content = [child for child in stanza.children if child.ns != ns.SID]  # which is said of it, not in it
    if stanza.attrs.get('type') != 'chat' or not content:
        return False
    return all(child.ns == ns.CHAT_STATES or (child.name == 'thread' and child.ns == ns.CLIENT) for child in content)


def _ready(sessions: Sequence[Session], latest: bytes | None = None) -> Session | None:
    """The session that stored messages go to: the one that has come last, to which nothing newer was sent; otherwise
    one of the highest priority.  None: nobody takes messages."""
    takers = [session for session in sessions if session.priority is not None and session.priority >= 0]
    return max(takers, key=lambda session: (session.stream == latest, session.priority or 0)) if takers else None
