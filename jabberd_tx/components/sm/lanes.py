"""Lanes: the messages of one stream to one user, in order.

An item may be sent only while everything before it in its lane is settled, or on its way to the very same sessions
over the same path, which keep what goes over them in order.  So whatever a bounce does to one item, no later one
overtakes it (docs/delivery.md).  `held` is False while all items are on one way: all that the stanza path looks at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jabberd_tx.link.frames import RETURNED

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from jabberd_tx.link.frames import Fanout, Route
    from jabberd_tx.link.interfaces import Link
    from jabberd_tx.storage.sessions.interface import Session
    from jabberd_tx.xmpp.jid import Jid
    from jabberd_tx.xmpp.stanza import Stanza

# Where an item is on its way to: a session's stream, several of them, or a name that somebody else serves.
Target = bytes | tuple[bytes, ...] | str


class Part(NamedTuple):
    """What one node got of an item that goes to several sessions."""

    frame: Route | Fanout
    streams: frozenset[bytes]


class Trouble:
    """What only an item needs that does not just go to one session and is confirmed.

    tried     (stream, node) of sessions that it need not be sent to again: they bounced it, or have it
    parts     by node, while it is on its way to several sessions
    reached   one session has it
    deciding  somebody is finding out what to do with it
    repeat    it may have been delivered already: say so
    ready     the hooks have seen it
    asked     they have, and it has not gone anywhere yet; `placed`: it has, and they know
    attempts  how often it was sent back for lack of credit or of a path, and `since` which tick
    also      (node, what to confirm to it, link) of others who wait for it to be settled
    sessions  the answer of the session store, to be used once
    returned  a client was given it, and its c2s has given it back
    stale     nodes that gave it back before they confirmed it: one confirmation of theirs says nothing
    elsewhere  its recipient is not known here; None: nobody has asked
    """

    __slots__ = (
        'also', 'asked', 'attempts', 'deciding', 'elsewhere', 'parts', 'placed', 'reached', 'ready', 'repeat',
        'returned', 'sessions', 'since', 'stale', 'tried',
    )  # fmt: skip

    def __init__(self) -> None:
        self.tried: set[tuple[bytes, str]] = set()
        self.parts: dict[str, Part] = {}
        self.returned = self.reached = self.deciding = self.repeat = self.asked = self.placed = False
        self.ready = True
        self.attempts = self.since = 0
        self.also: list[tuple[str, bytes, Link]] = []
        self.sessions: list[Session] | None = None
        self.stale: set[str] = set()
        self.elsewhere: bool | None = None


class Item:
    """A message from when it is taken until it is settled.

    arrived   the frame it came in, and `via` the link
    stanza    the message as it goes on
    to        its recipient, prepared
    lane      where it stands
    target    where it is on its way to; None: it waits
    frame     as it was sent to a single session or name, and `link` the way
    tick      when it came
    """

    __slots__ = ('arrived', 'frame', 'lane', 'link', 'stanza', 'target', 'tick', 'to', 'trouble', 'via')

    def __init__(self, arrived: Route, via: Link, stanza: Stanza, to: Jid, lane: Lane, tick: int) -> None:
        self.arrived, self.via, self.stanza, self.to, self.lane, self.tick = arrived, via, stanza, to, lane, tick
        self.target: Target | None = None
        self.frame: Route | None = None
        self.link: Link | None = None
        self.trouble: Trouble | None = None

    @property
    def uid(self) -> bytes:
        """24 bytes."""
        return self.arrived.uid

    @property
    def sender(self) -> str:
        """The `from` as c2s has stamped it."""
        return self.stanza.attrs.get('from', '')

    @property
    def was_returned(self) -> bool:
        """A client was given it, and did not ack it."""
        return bool(self.arrived.flags & RETURNED) or (self.trouble is not None and self.trouble.returned)

    def troubled(self) -> Trouble:
        """Its Trouble, made now if it has none."""
        if self.trouble is None:
            self.trouble = Trouble()
        return self.trouble


class Lane:
    """See the module's text.

    owner    whose frames these are: chooses the link
    items    uid -> Item, in order, all that is not settled
    target   where the last one went
    node     the c2s of that session: a session that has moved is another way, though its stream is the same
    instance  that of an exclusive name that has what the lane is for, as another has told; '': whichever a router picks
    link     the way, chosen when paths.epoch was `epoch`
    held     items wait, or are on different ways: see to it in `Delivery`
    pause    until then nothing is sent: the other side is busy
    running, again  it is being seen to, and must be once more
    """

    __slots__ = (
        'again', 'epoch', 'held', 'instance', 'items', 'key', 'link', 'node', 'owner', 'pause', 'running', 'target',
    )  # fmt: skip

    def __init__(self, key: tuple[bytes, str], owner: str) -> None:
        self.key, self.owner, self.node, self.instance = key, owner, '', ''
        self.items: dict[bytes, Item] = {}
        self.target: Target | None = None
        self.link: Link | None = None
        self.epoch = -1
        self.held = self.running = self.again = False
        self.pause: IDelayedCall | None = None
