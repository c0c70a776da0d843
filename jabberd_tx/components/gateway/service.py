"""The gateway: external components, which speak XML over connections of their own (XEP-0114), serve names here.

It owns the listening ports, the connections, and the seats (seat.py) that components take.  How a connection gets its
name is in naming.py; its stream is in stream.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from zope.interface import implementer

from jabberd_tx.base.flush import listen_tcp
from jabberd_tx.base.metrics import Metrics
from jabberd_tx.base.tls import ServerContexts
from jabberd_tx.base.turn import Turn
from jabberd_tx.components.gateway.connection import ComponentConnection
from jabberd_tx.components.gateway.connector import Connector
from jabberd_tx.components.gateway.external import External, read_externals
from jabberd_tx.components.gateway.measures import Measures
from jabberd_tx.components.gateway.naming import Accepting
from jabberd_tx.components.gateway.refusals import Refusals
from jabberd_tx.components.gateway.seat import Seat
from jabberd_tx.components.gateway.stream import ComponentStream
from jabberd_tx.components.gateway.sweep import look_after
from jabberd_tx.link.security import connecting_tls
from jabberd_tx.xmpp.errors import stream_error
from jabberd_tx.xmpp.parser import Limits

# How often a stop looks whether all is confirmed, or closed.
LOOK_S = 0.02
# Gives the links of one seat, from what distinguishes it: 'irc.example.net-0'.
MakeLinks = Callable[[str], Any]


@implementer(IProtocolFactory)
class ComponentFactory:
    """Makes the connections of one port."""

    noisy = False

    def __init__(self, gateway: Gateway, tls: Any) -> None:
        self._gateway, self._tls = gateway, tls

    def doStart(self) -> None:
        """Part of IProtocolFactory."""

    def doStop(self) -> None:
        """Part of IProtocolFactory."""

    def buildProtocol(self, address: IAddress) -> ComponentConnection:
        """For a new connection."""
        conn = ComponentConnection(self._gateway, self._tls)
        conn.target = Accepting(conn)
        return conn


class Gateway:
    """See the module's text.

    domains      of the site's users, prepared
    externals    who may connect, or is connected to
    connections  all there are
    """

    log = Logger()

    def __init__(
        self,
        make_links: MakeLinks,
        domains: Sequence[str],
        options: SimpleNamespace,
        tables: Iterable[SimpleNamespace],
        reactor: Any,
        turn: Turn,
        metrics: Metrics,
        tls: ServerContexts | None,
        fixed_slots: Mapping[str, int] | None = None,
    ) -> None:
        """ConfigError for what must not be used.

        options, tables: the values of OPTIONS and EXTERNAL; fixed_slots: how many slots a name has by its [[route]]
        """
        self.make_links, self.domains, self.options = make_links, frozenset(domains), options
        self.reactor, self.turn, self.tls = reactor, turn, tls
        self.limits = Limits(stanza_bytes=options.max_stanza_bytes)
        self._tables, self._fixed_slots = tables, fixed_slots
        self.externals = read_externals(tables, domains, fixed_slots, options.process)
        self.connections: set[ComponentConnection] = set()
        self._seats: dict[tuple[str, int], Seat] = {}
        self._connectors: dict[tuple[External, int], Connector] = {}  # by component and slot
        self.ports: list[IListeningPort] = []
        self.stopping = False
        self.refusals = Refusals(metrics, reactor)
        self.measures = Measures(metrics, self)
        self._timer = LoopingCall(look_after, self)
        self._timer.clock = reactor

    # ---- life

    def start(self) -> None:
        """Listen, and connect.  CannotListenError, ConfigError."""
        self._begin()
        self._timer.start(1.0, now=False)

    def _begin(self) -> None:
        """What the tables ask for and is not there yet."""
        options = self.options
        if not self.ports and any(not external.connect for external in self.externals):
            if options.port:
                self.listen(options.port, options.interface)
            if options.tls_port and self.tls is not None:
                self.listen(options.tls_port, options.tls_interface, direct_tls=True)
        for external in self.externals:
            # What is wrong with links shows now, not when a component comes.
            self._seat(external, external.first)
        self._connect()

    def listen(self, port: int, interface: str, direct_tls: bool = False) -> IListeningPort:
        """Listen on one more port (0: any free one)."""
        tls = self.tls.options(direct=False) if direct_tls and self.tls is not None else None
        factory, shared = ComponentFactory(self, tls), self.options.reuse_port
        listening = listen_tcp(self.reactor, self.turn, port, factory, interface, reuse_port=shared)
        self.ports.append(listening)
        return listening

    def _connect(self) -> None:
        for external in self.externals if not self.options.process else ():
            for slot, address in enumerate(external.connect, external.first):
                if (external, slot) not in self._connectors:
                    tls = connecting_tls(self.options, address.host, 'gateway')
                    connector = self._connectors[external, slot] = Connector(self, external, address, slot, tls)
                    connector.start()

    def tables_changed(self) -> None:
        """[[external_component]] has changed: streams of what is not there any more, or not so, are ended, and
        may be begun anew.  ConfigError: nothing has changed.  CannotListenError."""
        externals = read_externals(self._tables, self.domains, self._fixed_slots, self.options.process)
        self.externals = externals
        for external, slot in [known for known in self._connectors if known[0] not in externals]:
            self._connectors.pop((external, slot)).stop()
        for conn in list(self.connections):
            stream = conn.target
            if isinstance(stream, ComponentStream) and stream.seat.external not in externals:
                conn.close(stream_error('reset', 'the configuration has changed'))
            elif not isinstance(stream, ComponentStream):
                conn.close(stream_error('reset', 'the configuration has changed'))
        self._begin()

    async def stop(self) -> None:
        """Take nothing more, and leave when what was taken is confirmed; the waits have bounds."""
        self.stopping = True
        for port in self.ports:
            port.stopListening()
        for connector in self._connectors.values():
            connector.stop()
        for seat in self._seats.values():
            seat.links.drain()
        for conn in list(self.connections):
            if isinstance(conn.target, ComponentStream):
                conn.target.leave()
            else:
                conn.close(stream_error('system-shutdown'))
        await self._until(lambda: not self.count_unconfirmed() and not self.count_waiting(), self.options.drain_timeout)
        for conn in list(self.connections):
            conn.close(stream_error('system-shutdown'))
        await self._until(lambda: not self.connections, self.options.close_timeout + 1)
        if self._timer.running:
            self._timer.stop()
        for seat in self._seats.values():
            seat.kept.stop()
            stopped = seat.links.stop()
            if stopped is not None:
                await stopped

    async def _until(self, true: Callable[[], bool], seconds: float) -> None:
        end = self.reactor.seconds() + seconds
        while not true() and self.reactor.seconds() < end:
            await deferLater(self.reactor, LOOK_S)

    # ---- for connections

    def enter(self, conn: ComponentConnection) -> bool:
        """Whether a new connection may be."""
        nameless = [other.peer for other in self.connections if not isinstance(other.target, ComponentStream)]
        most, peer = self.options.most_handshakes, conn.peer
        if self.stopping or len(nameless) >= most or 2 * nameless.count(peer) >= most:
            # The second half is for others.
            self.refusals.note(f'connection from {peer}', 'resource-constraint', 'too many have no name yet')
            return False
        self.connections.add(conn)
        return True

    def forget(self, conn: ComponentConnection) -> None:
        """It is gone."""
        self.connections.discard(conn)

    def slowed(self, conn: ComponentConnection) -> None:
        """It goes too fast."""
        if isinstance(conn.target, ComponentStream):
            self.refusals.note(conn.target.who, 'rate', 'it sends too fast, and is slowed down')

    def accepted(self, name: str) -> list[External]:
        """Those of this name who connect."""
        return [external for external in self.externals if external.name == name and not external.connect]

    def has_room(self, externals: Sequence[External]) -> bool:
        """Whether one of these may have one more connection."""
        return any(
            (seat := self._seats.get((external.name, slot))) is None or seat.is_free
            for external in externals
            for slot in range(external.first, external.first + external.most)
        )

    def free_seat(self, externals: Sequence[External]) -> Seat | None:
        """The first that nobody has of theirs."""
        for external in externals:
            for slot in range(external.first, external.first + external.most):
                seat = self.seat(external, slot)
                if seat is not None:
                    return seat
        return None

    def seat(self, external: External, slot: int) -> Seat | None:
        """That one, if nobody has it."""
        seat = self._seat(external, slot)
        if not seat.is_free:
            return None
        seat.external = external
        return seat

    def _seat(self, external: External, slot: int) -> Seat:
        seat = self._seats.get((external.name, slot))
        if seat is None:
            seat = self._seats[external.name, slot] = Seat(self, external, slot)
        return seat

    # ---- for an operator

    def streams(self) -> list[ComponentStream]:
        """Of all components that have their name."""
        return [seat.stream for seat in self._seats.values() if seat.stream is not None]

    def count(self) -> dict[str, float]:
        """Connections by name, 0 for those that nobody serves."""
        counts: dict[str, float] = dict.fromkeys([external.name for external in self.externals], 0)
        for stream in self.streams():
            counts[stream.name] = counts.get(stream.name, 0) + 1
        return counts

    def count_unconfirmed(self) -> int:
        """Stanzas from components that are not confirmed."""
        return sum([len(seat.kept) for seat in self._seats.values()])

    def count_waiting(self) -> int:
        """Bytes that wait for components that read slowly."""
        return sum([stream.waiting_bytes for stream in self.streams()])

    def status(self) -> dict[str, Any]:
        """For an operator: by name and slot who is there, and what waits."""
        components: dict[str, dict[str, Any]] = {external.name: {} for external in self.externals}
        for (name, slot), seat in sorted(self._seats.items()):
            stream = seat.stream
            components.setdefault(name, {})[str(slot)] = {
                'peer': stream.conn.peer if stream is not None else None,
                'node': seat.links.node,
                'unconfirmed': len(seat.kept),
                'waiting': stream.waiting if stream is not None else 0,
            }
        return {'connections': len(self.connections), 'components': components, 'draining': self.stopping}
