"""The links of a component that lives in the same process as the router.

Same interface as a pool of TCP links, without the bytes: frames are handed over as they are, stanzas
not encoded.  What is for the component waits in an inbox until the end of the turn, so that a component is
never called from inside one of its own calls; the router sees the inbox's bound as credit.
"""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_bytes
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from jabberd_tx.base.turn import Turn
from jabberd_tx.link.decoding import decode
from jabberd_tx.link.frames import (
    DEFAULT_ROUTE,
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
from jabberd_tx.link.interfaces import Component, Frame, Link, Switch
from jabberd_tx.link.redirects import Redirects
from jabberd_tx.xmpp.stanza import Stanza

# What an inbox takes before the router answers 'busy'.  Its stanzas are held by their senders anyway.
WINDOW = 16 * 1024 * 1024
# Frames that one component takes in one turn; the rest waits until the reactor has polled.
MOST_FRAMES = 1000
# How often a congested component is asked whether it is still so.
LOOK_AGAIN = 0.05
# uids in one CONFIRM: far below the limit of a frame.
MOST_CONFIRMS = 8192


# What a frame takes off the credit where nobody knows its bytes.  The inbox holds no more than a reference to it: the
# stanza itself is in its sender's hands, whose own bounds are in bytes.
WEIGHT = 1024


class LocalLink:
    """The one link: straight into the router."""

    __slots__ = ('_fanout', '_port', '_redirects', '_route', 'name', 'up')

    def __init__(self, switch: Switch, port: LocalLinks) -> None:
        self.name, self.up = switch.node, True
        self._port, self._route, self._fanout = port, switch.route, switch.fanout
        self._redirects = port.redirects

    def route(self, frame: Route) -> None:
        if self.up:
            if self._redirects.active:
                frame = self._redirects.applied(frame, self)
            self._route(self._port, frame, None, WEIGHT)

    def fanout(self, frame: Fanout) -> None:
        if self.up:
            self._fanout(self._port, frame, None, WEIGHT)


class LocalLinks:
    """A component's links (link.interfaces.Links) and the router's port to it (Port) in one."""

    log = Logger()
    local = True

    def __init__(self, node: str, switch: Switch, turn: Turn, window: int = WINDOW) -> None:
        """`window`: bytes of frames that may wait in the inbox."""
        self.node, self.incarnation = node, token_bytes(16)
        self.generation = 0
        self.dropped = 0  # frames whose payload was no stanza
        self.redirects = Redirects(node, turn.reactor.seconds)
        self._switch, self._turn, self._window = switch, turn, window
        self._component: Component
        self._calls: dict[type, Callable[[Any], None]] = {}
        self._bound: dict[str, dict[str, object]] = {}
        self._instances: dict[str, dict[str, bytes]] = {}
        self._link: LocalLink | None = None  # while it is up
        self._last_link: LocalLink
        self._inbox: list[Frame] = []
        self._batch: list[Frame] = []  # taken out of the inbox, being delivered
        self._due = False  # a delivery is on its way
        self._delivering = False
        self._owed = 0  # bytes that came and were not yet granted anew, which is done when they are enough
        self._enough = max(window // 4, 1)
        self._look: IDelayedCall | None = None
        self._confirms: dict[str, Confirm] = {}

    @property
    def waiting(self) -> int:
        """Frames that the component has not taken yet."""
        return len(self._inbox)

    # ---- the component's side

    def attach(self, component: Component) -> None:
        """Whom to call.  Once, before start."""
        self._component = component
        self._calls = {
            Fanout: self._on_fanout,
            Confirm: self._on_confirm,
            Working: component.on_working,
            Bounce: self._on_bounce,
            Redirect: self.redirects.put,
            Copy: self._on_copy,
            Present: self._on_present,
            Drain: lambda frame: component.on_drain(frame.node),
        }

    def start(self) -> None:
        """Attach to the router and bind what was asked for.  The component hears of it at the end of the turn."""
        link = self._link = self._last_link = LocalLink(self._switch, self)
        self.generation += 1
        self._turn.later(self._call, self._component.on_link_up, link)
        self._switch.attach(self)
        if link.up:
            self._switch.credit(self, self._window)
        for name, options in self._bound.items():
            self._bind(name, options)

    def stop(self) -> None:
        """Say what is left to say, and leave the router.  What waits in the inbox is its senders' to repeat."""
        if self._link is not None:
            self._send_confirms()
            self._switch.detach(self)
            self._leave()

    def bind(self, name: str, policy: str | None = None, **options: object) -> None:
        """Serve a name.  Options as in BIND; a refusal is logged."""
        self._bound[name] = {'policy': policy, **options}
        self._bind(name, self._bound[name])

    def unbind(self, name: str) -> None:
        """Serve it no more."""
        if self._bound.pop(name, None) is not None and self._link is not None:
            # What is confirmed must not be repeated to the next instance.
            self._send_confirms()
            self._switch.unbind(self, name)

    def pick(self, key: str, avoid: Link | None = None) -> Link | None:
        """The one link while it is up, unless it is to be avoided."""
        return None if avoid is self._link else self._link

    def instances(self, name: str) -> dict[str, bytes]:
        """node -> incarnation of what serves a name.  Not to be changed."""
        return self._instances.get(name, {})

    def names(self) -> list[str]:
        """Every name that somebody serves."""
        return sorted(self._instances)

    def reachable(self, name: str) -> bool:
        """Whether somebody takes what is for a name: its instances, or the default route."""
        return name in self._instances or DEFAULT_ROUTE in self._instances

    def redirect(self, address: str, node: str, seconds: int) -> None:
        """Ask that what is for a name or a bare JID goes straight to a node for so long; 0 takes it back."""
        if self._link is not None:
            self._switch.redirect(self, Redirect(address, node, seconds))

    def confirm(self, node: str, uid: bytes, via: Link | None = None) -> None:
        """Gathered over a delivery, or else over the turn."""
        gathered = self._confirms.get(node)
        (gathered or self._gather(node)).uids.append(uid)

    def failed(self, node: str, uid: bytes, sessions: list[bytes], via: Link | None = None) -> None:
        """Confirms a fan-out but for these sessions, which are not here."""
        gathered = self._confirms.get(node) or self._gather(node)
        gathered.uids.append(uid)
        gathered.failed.extend([(uid, session) for session in sessions])

    def working(self, node: str, uids: list[bytes]) -> None:
        """Say that these are not forgotten."""
        if self._link is not None:
            self._switch.pass_on(self, Working(node, self.node, uids), None)

    def bounce(self, frame: Route, reason: str, detail: str = '', via: Link | None = None) -> None:
        """Send a frame back to its source."""
        if self._link is not None:
            back = Bounce(frame.source, self.node, reason, frame.dest, frame.key, frame.epoch, frame.uid, detail)
            self._switch.pass_on(self, back, None)

    def drain(self) -> None:
        """Say that this node is about to leave: new work goes to others."""
        if self._link is not None:
            self._switch.drain(self)

    # ---- the router's side

    def send(self, frame: Frame, raw: bytes | None = None) -> None:
        """Put a frame in the inbox."""
        kind = type(frame)
        if kind is Route or kind is Fanout or kind is Copy:
            self._owed += WEIGHT if raw is None else len(raw)
        self._inbox.append(frame)
        if not self._due:
            self._due = True
            self._turn.later(self._deliver)

    def end(self, condition: str, text: str) -> None:
        """The router has no place for this component, or no more."""
        self.log.error(
            'the router ended the link of {node}: {condition}: {text}', node=self.node, condition=condition, text=text
        )
        self._leave()

    # ---- inside

    def _bind(self, name: str, options: dict[str, object]) -> None:
        if self._link is None:
            return
        outcome = self._switch.bind(self, name, options)
        if outcome != 'ok':
            self.log.error('{node} may not serve {name}: {outcome}', node=self.node, name=name, outcome=outcome)
            tell = getattr(self._component, 'on_refused', None)
            if tell is not None:
                self._turn.later(self._call, tell, name, outcome)

    def _leave(self) -> None:
        link, self._link = self._link, None
        if link is None:
            return
        link.up = False
        self.generation += 1
        self._inbox.clear()
        self._batch.clear()
        self._owed = 0
        self._confirms.clear()
        self._instances.clear()
        if self._look is not None:
            self._look.cancel()
            self._look = None
        self._turn.later(self._call, self._component.on_link_down, link)

    def _deliver(self) -> None:
        frames, calls = self._inbox, self._calls
        self._inbox = frames[MOST_FRAMES:]
        if self._inbox:
            del frames[MOST_FRAMES:]
            self._turn.reactor.callLater(0, self._deliver)
        else:
            self._due = False
        self._batch, self._delivering = frames, True
        on_route, link = self._component.on_route, self._last_link
        for frame in frames:
            try:
                if type(frame) is not Route:
                    calls[type(frame)](frame)
                elif type(frame.payload) is Stanza:
                    on_route(frame, link)
                elif (stanza := self._unpack(frame)) is not None:
                    on_route(Route(*frame[:-1], stanza), link)
            except Exception:
                self.log.failure('{node} failed at a {kind}', node=self.node, kind=type(frame).__name__)
        self._delivering = False
        if self._confirms:
            self._send_confirms()
        if self._owed >= self._enough and self._look is None:
            self._grant()

    def _grant(self) -> None:
        """Let as much come again as came, unless the component has too much to do."""
        self._look = None
        if self._component.congested():
            self._look = self._turn.reactor.callLater(LOOK_AGAIN, self._grant)
            return
        size, self._owed = self._owed, 0
        self._switch.credit(self, size)

    def _on_fanout(self, frame: Fanout) -> None:
        if type(frame.payload) is not Stanza:
            stanza = self._unpack(frame)
            if stanza is None:
                return
            frame = Fanout(*frame[:-1], stanza)
        self._component.on_fanout(frame, self._last_link)

    def _on_confirm(self, frame: Confirm) -> None:
        if self.redirects.active:
            self.redirects.confirmed(frame.uids)
        self._component.on_confirm(frame)

    def _on_bounce(self, frame: Bounce) -> None:
        if self.redirects.active:
            frame = self.redirects.translated(frame)
        self._component.on_bounce(frame, self._last_link)

    def _on_copy(self, frame: Copy) -> None:
        on_copy = getattr(self._component, 'on_copy', None)
        if on_copy is not None:
            on_copy(decode(frame.frame) if isinstance(frame.frame, bytes) else frame.frame)

    def _on_present(self, frame: Present) -> None:
        name, node, incarnation, up = frame
        there = self._instances.setdefault(name, {})
        if up:
            there[node] = incarnation
            self._component.on_up(name, node, incarnation)
            return
        there.pop(node, None)
        if not there:
            del self._instances[name]
        self._component.on_down(name, node, incarnation)
        if name == node and self.redirects.active:
            for bounce, link in self.redirects.node_lost(node):
                self._component.on_bounce(bounce, link)

    def _unpack(self, frame: Route | Fanout) -> Stanza | None:
        """The stanza in bytes from elsewhere.  None for anything else: counted, and confirmed, as a repeat
        would be no better."""
        try:
            return Stanza.unpack(frame.payload)  # type: ignore[arg-type]
        except ValueError as error:
            self.dropped += 1
            if self.dropped & (self.dropped - 1) == 0:  # the 1st, 2nd, 4th, … of them
                self.log.warn(
                    '{node} dropped a frame from {source}: {error} ({dropped} so far)',
                    node=self.node, source=frame.source, error=str(error), dropped=self.dropped,
                )  # fmt: skip
            self.confirm(frame.source, frame.uid)
            return None

    def _gather(self, node: str) -> Confirm:
        if not self._confirms and not self._delivering:
            self._turn.later(self._send_confirms)
        gathered = self._confirms[node] = Confirm(node, self.node, [], [])
        return gathered

    def _send_confirms(self) -> None:
        gathered, self._confirms = self._confirms, {}
        if self._link is None:
            return
        for node, (_, source, uids, failed) in gathered.items():
            if len(uids) <= MOST_CONFIRMS and len(failed) <= MOST_CONFIRMS:
                self._switch.pass_on(self, gathered[node], None)
                continue
            # What failed goes first: a uid says that no more of it comes.
            for at in range(0, len(failed), MOST_CONFIRMS):
                self._switch.pass_on(self, Confirm(node, source, [], failed[at : at + MOST_CONFIRMS]), None)
            for at in range(0, len(uids), MOST_CONFIRMS):
                self._switch.pass_on(self, Confirm(node, source, uids[at : at + MOST_CONFIRMS], []), None)

    def _call(self, call: Callable[..., None], *arguments: object) -> None:
        try:
            call(*arguments)
        except Exception:
            self.log.failure('{node} failed at news of its link', node=self.node)
