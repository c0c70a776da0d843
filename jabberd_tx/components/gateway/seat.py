"""One slot of a name: an instance among others, for one connection of a component at a time.

A seat is a node of its own, `gateway-a7-irc.example.net-0`, with links of its own: so the routers' policies choose
among the connections of a name whatever process they are in, each has its credit, and a component that comes back
takes the share that it had.  The node stays when its component leaves; only the name is unbound.  What the component
has sent and is not confirmed is kept here, also when its connection is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from jabberd_tx.base.replay import ReplayWindow
from jabberd_tx.link.frames import BUSY, NO_LINK, REPEAT, Bounce, Confirm, Fanout, Route, Working
from jabberd_tx.link.kept_frames import KeptFrames
from jabberd_tx.xmpp.errors import CONDITIONS, error_reply, may_reply
from jabberd_tx.xmpp.jid import Jid
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.gateway.external import External
    from jabberd_tx.components.gateway.naming import Naming
    from jabberd_tx.components.gateway.service import Gateway
    from jabberd_tx.components.gateway.stream import ComponentStream
    from jabberd_tx.link.interfaces import Link

# Streams of senders whose last stanzas are remembered.
MOST_STREAMS = 16384
STANZAS = frozenset(('message', 'presence', 'iq'))
# What a component is told of a stanza that nobody took, by the reason of the last bounce; what a router's rules do not
# let pass has a condition for its reason.
GIVEN_UP = {NO_LINK: 'remote-server-not-found', BUSY: 'resource-constraint'}
# Why a router does not let somebody serve a name, as a stream error: what may be otherwise the next time is a conflict.
REFUSED = {'conflict': 'conflict', 'no-slot': 'conflict', 'not-allowed': 'not-authorized'}


class Seat:
    """A link.interfaces.Component.

    external  the configuration of whom it is for
    stream    of the component that has it; None: nobody has
    passed_on  what was written to the one that has it, or had it
    """

    log = Logger()

    def __init__(self, gateway: Gateway, external: External, slot: int) -> None:
        self.gateway, self.external, self.slot, self.name = gateway, external, slot, external.name
        self.label = f'{self.name}-{slot}'
        self.links: Any = gateway.make_links(self.label)
        self.stream: ComponentStream | None = None
        self.passed_on = ReplayWindow(MOST_STREAMS)
        self._naming: Naming | None = None  # who waits for a link
        options = gateway.options
        self._most, self._most_bytes = options.window_stanzas, options.window_bytes
        self.kept = KeptFrames(self.links, gateway.reactor, self._gave_up, most=2 * self._most)
        self.links.attach(self)
        self.links.start()

    @property
    def is_free(self) -> bool:
        """Whether a component may have it."""
        return self.stream is None and self._naming is None

    # ---- who has it

    def take(self, naming: Naming) -> None:
        """Whoever has proved its name: it is told when a router can be reached."""
        self._naming = naming
        if self.links.pick(self.name) is not None:
            self.gateway.turn.later(self._link_is_there)

    def leave(self, naming: Naming) -> None:
        """It has gone before that."""
        if self._naming is naming:
            self._naming = None

    def _link_is_there(self) -> None:
        naming, self._naming = self._naming, None
        if naming is not None:
            naming.seated(self)

    def serve(self, stream: ComponentStream) -> None:
        """Its stream has begun."""
        self.stream = stream
        self.links.bind(self.name, self.external.policy or None, **self.external.bind_options(self.slot))
        self.log.info('{who} is there', who=stream.who)

    def vacate(self, stream: ComponentStream) -> None:
        """Its stream is over."""
        if self.stream is stream:
            self.stream = None
            self.links.unbind(self.name)
            self.log.info('component {label} is gone', label=self.label)

    # ---- what its component sends

    def send(self, to: Jid, stanza: Stanza) -> bool:
        """Send it on; False: nobody serves that domain."""
        domain = to.domain
        if not self.links.reachable(domain):
            return False
        # Whoever serves users has them by the recipient; for other names their own policy decides.
        self.kept.send(domain, to.bare, stanza, domain not in self.gateway.domains)
        return True

    @property
    def is_full(self) -> bool:
        """So much is not confirmed that nothing more should be read."""
        return len(self.kept) >= self._most or self.kept.size >= self._most_bytes

    @property
    def has_room(self) -> bool:
        """Enough is confirmed to read on."""
        return 2 * len(self.kept) <= self._most and 2 * self.kept.size <= self._most_bytes

    def _gave_up(self, stanza: Stanza, reason: str) -> None:
        """Nobody has taken what the component sent."""
        condition = GIVEN_UP.get(reason) or (reason if reason in CONDITIONS else 'remote-server-timeout')
        if self.stream is not None and may_reply(stanza):
            self.stream.answer(error_reply(stanza, condition))

    # ---- what links bring

    def on_route(self, frame: Route, link: Link) -> None:
        """A stanza for the component."""
        stream = self.stream
        if stream is None:
            self.links.bounce(frame, NO_LINK, via=link)
            return
        if frame.flags & REPEAT and stream.knows(frame, link):
            return
        stanza = frame.payload
        if type(stanza) is not Stanza:
            stanza = Stanza.unpack(stanza)  # type: ignore[arg-type]
        if stanza.name not in STANZAS:
            self.log.warn('{source} sent a {name}, which is no stanza', source=frame.source, name=stanza.name)
            self.links.confirm(frame.source, frame.uid, link)
            return
        self.gateway.measures.sent(stanza.name)
        stream.deliver(frame, stanza, link)

    def on_refused(self, name: str, outcome: str) -> None:
        """A router does not let it serve the name: better it knows than that it waits for what never comes."""
        if self.stream is not None:
            text = f'a router does not let it serve {name}: {outcome}'
            self.stream.fail(REFUSED.get(outcome, 'undefined-condition'), text)

    def on_fanout(self, frame: Fanout, link: Link) -> None:
        """Those are for sessions, and there are none here."""
        self.links.failed(frame.source, frame.uid, [stream for stream, _ in frame.targets], link)

    def on_confirm(self, frame: Confirm) -> None:
        """What the component has sent has arrived."""
        for uid in frame.uids:
            self.kept.confirmed(uid)
        if self.stream is not None:
            self.stream.look()

    def on_working(self, frame: Working) -> None:
        """Nothing is repeated for being slow."""

    def on_bounce(self, frame: Bounce, link: Link) -> None:
        self.kept.bounced(frame, link)
        if self.stream is not None:
            self.stream.look()

    def on_up(self, name: str, node: str, incarnation: bytes) -> None:
        self.kept.name_came(name)

    def on_down(self, name: str, node: str, incarnation: bytes) -> None:
        self.kept.name_lost(name)

    def on_path_lost(self, name: str, node: str, link: Link) -> None:
        self.kept.path_lost(link, name)

    def on_drain(self, node: str) -> None:
        """The router picks others."""

    def on_link_up(self, link: Link) -> None:
        self.kept.link_came()
        # Who is served is known at the end of the turn.
        self.gateway.turn.later(self._link_is_there)

    def on_link_down(self, link: Link) -> None:
        self.kept.link_lost(link)

    def congested(self) -> bool:
        """While the component has too much to read."""
        return self.stream is not None and self.stream.waiting_bytes > self.gateway.options.outgoing_bytes
