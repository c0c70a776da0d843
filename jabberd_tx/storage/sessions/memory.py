"""The session store of one process: dicts.  All that it answers is authoritative, and comes at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime

from jabberd_tx.storage.sessions.interface import Session, StaleEpoch

# Claims that ran out without a release are swept when so many stand.
SWEEP_AT = 1024


class MemorySessions:
    """Implements SessionStore.  A session that was given out never changes: an update makes a new one."""

    __slots__ = ('_claims', '_clock', '_count', '_of_node', '_of_user', '_returns', '_sweep_at', '_sweep_returns_at')

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._of_user: dict[str, tuple[Session, ...]] = {}
        # (node, incarnation) -> stream -> bare JID
        self._of_node: dict[tuple[str, bytes], dict[bytes, str]] = {}
        # (bare JID, purpose) -> who has it, and when it runs out
        self._claims: dict[tuple[str, str], tuple[str, float]] = {}
        self._sweep_at = self._sweep_returns_at = SWEEP_AT
        # bare JID -> stream -> until when something of it may come back
        self._returns: dict[str, dict[bytes, float]] = {}
        self._count = 0

    # ---- asking

    def peek(self, bare: str) -> Sequence[Session]:
        """The user's sessions; () for none."""
        return self._of_user.get(bare, ())

    def fetch(self, bare: str) -> Deferred[Sequence[Session]]:
        """The same as `peek`, as a Deferred."""
        return succeed(self._of_user.get(bare, ()))

    def fetch_many(self, bares: Iterable[str]) -> Deferred[dict[str, Sequence[Session]]]:
        """Those of the users that have any."""
        of_user = self._of_user
        return succeed({bare: of_user[bare] for bare in bares if bare in of_user})

    def of_node(self, node: str, incarnation: bytes) -> Deferred[Sequence[Session]]:
        """All sessions that this start of a c2s node holds."""
        held = self._of_node.get((node, incarnation), {})
        found = [session for stream, bare in held.items() if (session := self._find(stream, bare)) is not None]
        return succeed(found)

    def nodes(self) -> Deferred[Sequence[tuple[str, bytes]]]:
        """See SessionStore."""
        return succeed(list(self._of_node))

    def on_renewed(self, call: Callable[[], None]) -> None:
        """Never: what is lost is lost with the process."""

    def count(self) -> int:
        """Sessions in the store."""
        return self._count

    # ---- changing

    def open(self, session: Session, replace: bool) -> Deferred[Session | None]:
        """See SessionStore.  The session given becomes the store's.

        A stream's own session goes on: its presence, directed presence and flags stay where the new one says nothing
        of them.  The same epoch again is accepted from the start of the node that holds it: it is a repeat.
        """
        users = self._of_user.get(session.bare, ())
        own = other = None
        for one in users:
            if one.stream == session.stream:
                own = one
            elif one.jid == session.jid:
                other = one
        if own is not None and not _supersedes(session, own):
            return fail(StaleEpoch(session.jid))
        if other is not None and not replace:
            return fail(StaleEpoch(session.jid))
        if own is not None:
            _take_over(session, own)
            self._remove(own)
        if other is not None:
            self._remove(other)
        self._add(session)
        return succeed(other)

    def update(self, stream: bytes, bare: str, epoch: int, **changes: Any) -> Deferred[Session]:
        """See SessionStore.  ValueError for another jid, AttributeError for what a session has not.  A higher epoch
        than the session's becomes its own."""
        found = self._find(stream, bare)
        if found is None or found.epoch > epoch:
            return fail(StaleEpoch(bare))
        if 'jid' in changes:
            return fail(ValueError('a session keeps its jid'))
        new = _copy(found)
        new.epoch = epoch
        try:
            for name, value in changes.items():
                setattr(new, name, value)
        except AttributeError as error:
            return fail(error)
        if 'node' in changes or 'incarnation' in changes:
            self._unindex(found)
            self._index(new)
        self._of_user[found.bare] = tuple([new if one is found else one for one in self._of_user[found.bare]])
        return succeed(new)

    def direct(
        self, stream: bytes, bare: str, epoch: int, add: Iterable[str] = (), drop: Iterable[str] = ()
    ) -> Deferred[Session]:
        """See SessionStore."""
        found = self._find(stream, bare)
        directed = found.directed if found is not None else frozenset[str]()
        return self.update(stream, bare, epoch, directed=directed.difference(drop).union(add))

    def close(self, stream: bytes, bare: str, epoch: int) -> Deferred[Session | None]:
        """See SessionStore."""
        found = self._find(stream, bare)
        if found is None or found.epoch > epoch:
            return succeed(None)
        self._remove(found)
        return succeed(found)

    def _find(self, stream: bytes, bare: str) -> Session | None:
        for one in self._of_user.get(bare, ()):
            if one.stream == stream:
                return one
        return None

    def _add(self, session: Session) -> None:
        there = self._of_user.get(session.bare, ())
        if there:
            session.bare = there[0].bare
        self._of_user[session.bare] = (*there, session)
        self._index(session)
        self._count += 1

    def _remove(self, session: Session) -> None:
        left = tuple([one for one in self._of_user[session.bare] if one is not session])
        if left:
            self._of_user[session.bare] = left
        else:
            del self._of_user[session.bare]
        self._unindex(session)
        self._count -= 1

    def _index(self, session: Session) -> None:
        self._of_node.setdefault((session.node, session.incarnation), {})[session.stream] = session.bare

    def _unindex(self, session: Session) -> None:
        node = (session.node, session.incarnation)
        held = self._of_node[node]
        del held[session.stream]
        if not held:
            del self._of_node[node]

    # ---- claims

    def claim(self, bare: str, purpose: str, holder: str, seconds: float, instead_of: str = '') -> Deferred[str]:
        """See SessionStore."""
        now = self._clock.seconds()
        claims = self._claims
        other, end = claims.get((bare, purpose), (holder, now))
        if end > now and other not in (holder, instead_of):
            return succeed(other)
        if len(claims) >= self._sweep_at:
            self._claims = claims = {what: claim for what, claim in claims.items() if claim[1] > now}
            self._sweep_at = max(SWEEP_AT, 2 * len(claims))
        claims[bare, purpose] = holder, now + seconds
        return succeed(holder)

    def release(self, bare: str, purpose: str, holder: str) -> Deferred[None]:
        """See SessionStore."""
        if self._claims.get((bare, purpose), ('', 0.0))[0] == holder:
            del self._claims[bare, purpose]
        return succeed(None)

    # ---- what comes back

    def expect_returns(self, bare: str, stream: bytes, seconds: float) -> Deferred[None]:
        """See SessionStore."""
        now = self._clock.seconds()
        if len(self._returns) >= self._sweep_returns_at:
            self._returns = {one: left for one in self._returns if (left := self._expected(one, now))}
            self._sweep_returns_at = max(SWEEP_AT, 2 * len(self._returns))
        self._returns[bare] = {**self._expected(bare, now), stream: now + seconds}
        return succeed(None)

    def returned(self, bare: str, stream: bytes) -> Deferred[None]:
        """See SessionStore."""
        streams = self._returns.get(bare)
        if streams is not None and streams.pop(stream, None) is not None and not streams:
            del self._returns[bare]
        return succeed(None)

    def returns_expected(self, bare: str) -> Deferred[bool]:
        """See SessionStore."""
        return succeed(bool(self._returns and self._expected(bare, self._clock.seconds())))

    def _expected(self, bare: str, now: float) -> dict[bytes, float]:
        return {stream: until for stream, until in self._returns.get(bare, {}).items() if until > now}


def _supersedes(new: Session, old: Session) -> bool:
    if new.epoch != old.epoch:
        return new.epoch > old.epoch
    return (new.node, new.incarnation) == (old.node, old.incarnation)


def _take_over(new: Session, old: Session) -> None:
    if new.presence is None:
        new.presence, new.priority = old.presence, old.priority
    new.directed = new.directed or old.directed
    new.interested = new.interested or old.interested
    new.carbons = new.carbons or old.carbons
    new.behind = new.behind or old.behind
    new.block_pushes = new.block_pushes or old.block_pushes
    if new.blocked is None:
        new.blocked = old.blocked


def _copy(session: Session) -> Session:
    new: Session = Session.__new__(Session)
    for name in Session.__slots__:
        setattr(new, name, getattr(session, name))
    return new
