"""The session store: who is online where.  In memory for one sm; shared by all sms later.

What is asked on the stanza path answers at once or says that it does not know; what must be
right ("is nobody there?") is asked of the store itself (docs/delivery.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from jabberd_tx.xmpp.stanza import Stanza


class Session:
    """One client's session, as the store last knew it.  Replaced by the store, never changed by others.

    jid, bare    full and bare JID, prepared
    node, incarnation  the c2s that holds its stream
    stream       16 bytes
    epoch        grows with every move; a write with a lower one is refused
    presence     the last broadcast presence while available, else None
    priority     of that presence; None while unavailable
    interested   has asked for the roster
    carbons      wants copies (XEP-0280)
    directed     full or bare JIDs that got directed presence
    block_pushes has asked for the block list (XEP-0191): is told of its changes
    behind       takes messages, but has not been given all that is stored for the user: newer ones wait for that
    blocked      JIDs that the user has blocked (XEP-0191), the same for all of the user's sessions; None: not known
    """

    __slots__ = (
        'bare', 'behind', 'block_pushes', 'blocked', 'carbons', 'directed', 'epoch', 'incarnation', 'interested', 'jid',
        'node', 'presence', 'priority', 'stream',
    )  # fmt: skip

    def __init__(self, jid: str, node: str, incarnation: bytes, stream: bytes, epoch: int = 0) -> None:
        self.jid, self.bare = jid, jid.partition('/')[0]
        self.node, self.incarnation, self.stream, self.epoch = node, incarnation, stream, epoch
        self.presence: Stanza | None = None
        self.priority: int | None = None
        self.interested = self.carbons = self.block_pushes = self.behind = False
        self.directed: frozenset[str] = frozenset()
        self.blocked: frozenset[str] | None = None


class StaleEpoch(Exception):
    """The session has moved on: a higher epoch is in the store, or it is not there any more."""


class SessionStore(Protocol):
    """See the module's text.  All JIDs are prepared."""

    def peek(self, bare: str) -> Sequence[Session] | None:
        """The user's sessions if they are known here and now; None: not known, ask `fetch`.

        An empty answer is never given from a cache: a store that may be behind says None.
        """

    def fetch(self, bare: str) -> Deferred[Sequence[Session]]:
        """The user's sessions, from the store itself."""

    def fetch_many(self, bares: Iterable[str]) -> Deferred[dict[str, Sequence[Session]]]:
        """The same for many, in one question; users without a session are left out."""

    def open(self, session: Session, replace: bool) -> Deferred[Session | None]:
        """Add a session (which becomes the store's), or take over the stream's own with a higher epoch, or with
        the same one where node and incarnation are the same, too: a repeat.  A lower epoch is refused by StaleEpoch.
        What the stream's own has and the new one doesn't say (presence with priority, directed, flags) stays.

        Where another stream has the same full JID: with `replace` it is removed and returned; without,
        StaleEpoch is raised and nothing changes.
        """

    def update(self, stream: bytes, bare: str, epoch: int, **changes: Any) -> Deferred[Session]:
        """Set attributes of a session; StaleEpoch when it is gone or has a higher epoch.  A higher one than the
        session's becomes its own."""

    def direct(
        self, stream: bytes, bare: str, epoch: int, add: Iterable[str] = (), drop: Iterable[str] = ()
    ) -> Deferred[Session]:
        """Add to whom a session's directed presence went, and drop others; refused as `update` is.  It may be done by
        several at a time."""

    def close(self, stream: bytes, bare: str, epoch: int) -> Deferred[Session | None]:
        """Remove it; returns it as it was, or None when it was gone, or has a higher epoch."""

    def of_node(self, node: str, incarnation: bytes) -> Deferred[Sequence[Session]]:
        """All sessions that this start of a c2s node holds."""

    def nodes(self) -> Deferred[Sequence[tuple[str, bytes]]]:
        """Every start of a c2s node that holds sessions: its name and incarnation."""

    def claim(self, bare: str, purpose: str, holder: str, seconds: float, instead_of: str = '') -> Deferred[str]:
        """Take a user's named claim (such as the offline flush) for so long, unless somebody has it; who has it now.

        Whoever has it may claim it again, from then on.  `instead_of`: it is also taken from this holder, who is gone.
        """

    def release(self, bare: str, purpose: str, holder: str) -> Deferred[None]:
        """Give a claim back; nothing happens when another has it, or nobody."""

    def expect_returns(self, bare: str, stream: bytes, seconds: float) -> Deferred[None]:
        """What a stream of the user's was given, and its client did not ack, is about to come back: note that, for so
        long at most."""

    def returned(self, bare: str, stream: bytes) -> Deferred[None]:
        """It has come back, or there was nothing."""

    def returns_expected(self, bare: str) -> Deferred[bool]:
        """Whether anything is expected of any of the user's streams."""

    def on_renewed(self, call: Callable[[], None]) -> None:
        """`call` whenever the store has lost what it held, and waits for all sessions to be opened again."""

    def count(self) -> int:
        """Sessions known here, for metrics."""
