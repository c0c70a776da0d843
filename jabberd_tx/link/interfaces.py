"""What a component sees of its links, and what the links call in a component.

The same two interfaces hold in one process (link/local.py) and over TCP (link/pool.py).
"""

from __future__ import annotations

from typing import Protocol

from jabberd_tx.link.frames import (
    DEFAULT_ROUTE,
    EVERY_INSTANCE,
    Bounce,
    Confirm,
    Copy,
    Drain,
    Fanout,
    Present,
    Redirect,
    Route,
    Working,
)

Frame = Route | Fanout | Confirm | Working | Bounce | Present | Drain | Redirect | Copy


class Link(Protocol):
    """One path to one router.  `up` turns False for good when it is lost; a new one takes its place."""

    name: str
    up: bool

    def route(self, frame: Route) -> None:
        """Send; on the wire at the end of the turn, in order.  Does nothing when the link is down."""

    def fanout(self, frame: Fanout) -> None:
        """Likewise.  Splits at half the frame limit by targets, with the same uid."""


class Links(Protocol):
    """All of a component's links: a pool over the routers, or the one in-process link.

    node, incarnation: this component's own name, and 16 random bytes new at every start.
    """

    node: str
    incarnation: bytes

    def attach(self, component: Component) -> None:
        """Whom to call.  Once, before start."""

    def bind(self, name: str, policy: str | None = None, **options: object) -> None:
        """Serve `name` on every router, now and after each reconnect.  Options as in BIND.

        A router's refusal is logged, and told to the component if it has a method on_refused(name, outcome)."""

    def unbind(self, name: str) -> None: ...

    def pick(self, key: str, avoid: Link | None = None) -> Link | None:
        """The link for this session owner's bare JID: a slot table over those that are up; None: none is.

        `avoid`: over which a frame came back with no-link; another one, or None where there is no other.
        """

    generation: int
    """Changes whenever the set of links that are up does, so that a holder of a link knows when to pick anew."""

    def instances(self, name: str) -> dict[str, bytes]:
        """node -> incarnation of what serves a name, as all routers in sight say; {} for nothing."""

    def names(self) -> list[str]:
        """Every name that somebody serves, sorted: domains, aliases, nodes, and `*` while there is a default route."""

    def reachable(self, name: str) -> bool:
        """Whether somebody takes what is for a name: its instances, or the default route."""

    def redirect(self, address: str, node: str, seconds: int) -> None:
        """Ask that what is for a name or a bare JID goes straight to a node for so long; 0 takes it back.

        It is for those who have links now, and for as long as they find it worthwhile: no more than a hint."""

    def confirm(self, node: str, uid: bytes, via: Link | None = None) -> None:
        """Gathered over the turn.  `via`: the link that the frame came on; another is used if it is down."""

    def failed(self, node: str, uid: bytes, sessions: list[bytes], via: Link | None = None) -> None:
        """Confirms a fan-out but for these sessions, which are not here."""

    def working(self, node: str, uids: list[bytes]) -> None: ...

    def bounce(self, frame: Route, reason: str, detail: str = '', via: Link | None = None) -> None:
        """Send a frame back to its source."""

    def drain(self) -> None:
        """Say on all links that this node is about to leave: new work goes to others."""


def may_have_gone(links: Links, dest: str, name: str) -> bool:
    """Whether what was sent to `dest` may be with an instance of `name`."""
    if dest == name or dest == name + EVERY_INSTANCE:
        return True
    return name == DEFAULT_ROUTE and not links.instances(dest)


class Component(Protocol):
    """What links call.  Never re-entrant: never from within a call of Link or Links."""

    def on_route(self, frame: Route, link: Link) -> None: ...

    def on_fanout(self, frame: Fanout, link: Link) -> None: ...

    def on_confirm(self, frame: Confirm) -> None: ...

    def on_working(self, frame: Working) -> None: ...

    def on_bounce(self, frame: Bounce, link: Link) -> None: ...

    def on_up(self, name: str, node: str, incarnation: bytes) -> None:
        """An instance of a name is there, as seen through at least one router.  The incarnation may be new."""

    def on_down(self, name: str, node: str, incarnation: bytes) -> None:
        """Every router in sight says that it is gone.  Not called because a link of our own was lost."""

    def on_path_lost(self, name: str, node: str, link: Link) -> None:
        """The router of this link has lost sight of an instance that others see.

        What went to it over this link and is not confirmed may or may not have arrived.
        """

    def on_drain(self, node: str) -> None:
        """The node is about to leave."""

    def on_link_up(self, link: Link) -> None: ...

    def on_link_down(self, link: Link) -> None:
        """What went over it and is not confirmed may or may not have arrived."""

    def congested(self) -> bool:
        """True while it should get no more credit: the pool asks before it grants more."""


class LogSink(Component, Protocol):
    """A component that binds a name with `log`."""

    def on_copy(self, frame: Route | Fanout) -> None:
        """A router has handed on this frame.  Its payload may be bytes.  Nothing is to be confirmed."""


class Port(Protocol):
    """What a router sees of an attached node: a TCP link's far end (link/server.py) or a component in this
    process (link/local.py).  `local` ports take frames as they are, others take bytes where there are some."""

    node: str
    incarnation: bytes
    local: bool

    def send(self, frame: Frame, raw: bytes | None = None) -> None:
        """Hand a frame on, in order, by the end of the turn.  `raw`: its bytes with the length prefix, if known."""

    def end(self, condition: str, text: str) -> None:
        """Send ERROR and close."""


class Switch(Protocol):
    """What ports call in a router (routing/router.py)."""

    node: str

    def attach(self, port: Port) -> None:
        """The node has proved itself.  An older port of the same node (an earlier incarnation) is ended.

        Sends the port, before it returns, a PRESENT for each instance there is, and a DRAIN for each that drains.
        """

    def detach(self, port: Port) -> None: ...

    def bind(self, port: Port, name: str, options: dict[str, object]) -> str:
        """The outcome for BOUND: 'ok', or the condition that refuses it."""

    def unbind(self, port: Port, name: str) -> None: ...

    def route(self, port: Port, frame: Route, raw: bytes | None, size: int) -> None:
        """`size`: what it takes off the destination's credit: len(raw); without raw, an estimate (local.WEIGHT).

        A frame without raw that goes to a port that is not local is encoded here, and its length counts.
        """

    def fanout(self, port: Port, frame: Fanout, raw: bytes | None, size: int) -> None: ...

    def pass_on(self, port: Port, frame: Confirm | Working | Bounce, raw: bytes | None) -> None:
        """Frames to a node that cost no credit; dropped when the node is not here."""

    def credit(self, port: Port, size: int) -> None:
        """The port's node will take so many more bytes of ROUTE and FANOUT."""

    def drain(self, port: Port) -> None:
        """The port's node is about to leave: its other ports are told with a DRAIN that names it."""

    def redirect(self, port: Port, frame: Redirect) -> None:
        """The port's node asks that frames for a name or address go straight to a node, or (0 s) no more."""
