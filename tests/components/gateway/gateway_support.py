"""A gateway between a router and components, all in memory."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

from twisted.internet.protocol import Protocol

from jabberd_tx.components.gateway.external import digest
from jabberd_tx.components.gateway.options import EXTERNAL, OPTIONS
from jabberd_tx.components.gateway.service import ComponentFactory, Gateway
from jabberd_tx.testing.memory_transport import MemoryTransport, connect
from jabberd_tx.testing.network import Network, Recorder
from jabberd_tx.xmpp.parser import Limits, StreamOpen, StreamParser
from jabberd_tx.xmpp.stanza import Stanza

NAME, SECRET, DOMAIN = 'irc.example.net', 'a secret of irc', 'example.net'
JULIET = 'juliet@example.net/balcony'


def header(to: str | None = NAME, content: str = 'jabber:component:accept') -> bytes:
    """A component's stream header."""
    to_attr = '' if to is None else f" to='{to}'"
    return f"<stream:stream xmlns='{content}' xmlns:stream='http://etherx.jabber.org/streams'{to_attr}>".encode()


def table(**values: object) -> SimpleNamespace:
    """An [[external_component]]."""
    found = EXTERNAL.defaults()
    vars(found).update({'name': NAME, 'secret': SECRET, **values})
    return found


class Peer(Protocol):
    """The component's end; `seen`: what has come."""

    transport: MemoryTransport

    def __init__(self) -> None:
        self.seen = b''
        self.closed = False

    def dataReceived(self, data: bytes) -> None:
        self.seen += data

    def connectionLost(self, reason: Any = None) -> None:
        self.closed = True

    @property
    def error(self) -> str | None:
        """The condition of the stream error that has come."""
        match = re.search(rb"<stream:error><([a-z-]+) xmlns='urn:ietf:params:xml:ns:xmpp-streams'", self.seen)
        return match[1].decode() if match else None

    @property
    def stanzas(self) -> list[Stanza]:
        """All that have come."""
        return [event for event in StreamParser(Limits()).feed(self.seen) if isinstance(event, Stanza)]

    @property
    def stream(self) -> str:
        """The stream's id."""
        event = StreamParser(Limits()).feed(self.seen)[0]
        assert isinstance(event, StreamOpen)
        return event.attrs['id']


class World:
    """network, gateway, and `sm`, which serves example.net and notes what comes."""

    def __init__(self, *tables: SimpleNamespace, coded: bool = False, **options: object) -> None:
        self.network = Network(coded=coded)
        self.clock, self.metrics = self.network.clock, self.network.metrics
        self.sm = Recorder(self.network.links('sm-1'))
        self.sm.links.bind(DOMAIN)
        self.network.settle()
        self.options = OPTIONS.defaults()
        vars(self.options).update({'port': 0, **options})
        self.tables = list(tables) or [table()]
        self.gateway = Gateway(
            lambda label: self.network.links(f'gateway-{label}'), [DOMAIN], self.options, self.tables, self.clock,
            self.network.turn, self.metrics, None,
        )  # fmt: skip
        self.gateway.start()
        self.settle()

    def settle(self) -> None:
        self.network.settle()

    def after(self, seconds: float) -> None:
        """So much later, second by second."""
        for _ in range(int(seconds)):
            self.clock.advance(1)
            self.settle()

    def connect(self, data: bytes = b'', host: str = '127.0.0.1') -> Peer:
        """A connection, on which that is said."""
        peer = Peer()
        server = ComponentFactory(self.gateway, None).buildProtocol(None)  # type: ignore[arg-type]
        connect(self.clock, peer, server, host)
        self.settle()
        return self.say(peer, data)

    def say(self, peer: Peer, data: bytes | str) -> Peer:
        peer.transport.write(data.encode() if isinstance(data, str) else data)
        self.settle()
        return peer

    def component(self, name: str = NAME, secret: str = SECRET) -> Peer:
        """One that has its name."""
        peer = self.connect(header(name))
        self.say(peer, f'<handshake>{digest(peer.stream, secret)}</handshake>')
        assert b'<handshake/>' in peer.seen, peer.seen
        return peer

    def nodes(self, name: str = NAME) -> list[str]:
        """Who serves a name."""
        return sorted(self.sm.links.instances(name))

    def metric(self, name: str, label: str = '') -> float:
        return self.metrics.value(name, label)


def message(body: str, to: str = JULIET, sender: str = f'nick@{NAME}') -> str:
    return f"<message from='{sender}' to='{to}'><body>{body}</body></message>"
