"""What the tests of c2s stand on: a c2s on a router and a clock, scripted sms at the other end, clients in memory."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, TypeVar

from jabberd_tx.components.c2s.service import C2S, OPTIONS, ClientFactory
from jabberd_tx.link import session as vocabulary
from jabberd_tx.link.frames import Bounce, Confirm, Fanout, Route, Working, confirmation, make_uid, uid_number
from jabberd_tx.link.interfaces import Link
from jabberd_tx.routing.options import OPTIONS as ROUTER_OPTIONS
from jabberd_tx.routing.router import Router
from jabberd_tx.storage import accounts
from jabberd_tx.testing import memory_transport
from jabberd_tx.testing.client import XmppClient, run
from jabberd_tx.testing.network import Network
from jabberd_tx.testing.storage import ImmediateStorage
from jabberd_tx.xmpp.sasl import derive
from jabberd_tx.xmpp.stanza import Stanza
from tests.components.several_routers import SeveralLinks

T = TypeVar('T')

DOMAIN = 'example.net'
PASSWORD = 'secret'
# One derivation for all accounts of all tests: hashing is slow by design.
CREDENTIALS = derive(PASSWORD, 4096)
TOKEN_KEY = bytes(range(32))


class Threads:
    """A thread pool whose work is done at once, on the clock's own thread."""

    def callInThreadWithCallback(self, on_result: Callable[[bool, Any], None], call: Any, *arguments: Any) -> None:
        on_result(True, call(*arguments))


class ScriptedSm:
    """An sm's side of the interface: takes sessions, keeps what comes, confirms unless told otherwise.

    starts     answer start and attach (True), leave them (False), or refuse with a condition (str)
    confirms   confirm stanzas as they come; `withheld` are those that are not confirmed yet
    caps       the hash of the domain's disco#info that is told with each session
    sessions   stream id -> (full JID, epoch), as this sm knows them
    frames     every ROUTE that is no session frame, in order; `said`: the session frames
    bounced, confirmed   what came back, and the uids that c2s has confirmed
    """

    def __init__(self, links: Any) -> None:
        self.links = links
        self.starts: bool | str = True
        self.confirms = True
        self.sessions: dict[bytes, tuple[str, int]] = {}
        self.nodes: dict[bytes, str] = {}
        self.frames: list[Route] = []
        self.said: list[Route] = []
        self.withheld: list[Route] = []
        self.bounced: list[Bounce] = []
        self.confirmed: list[bytes] = []
        self.failed: list[tuple[bytes, bytes]] = []
        self.drained: list[str] = []
        self.caps = ''
        self._count = 0
        links.attach(self)
        links.start()
        links.bind(DOMAIN, policy='to')

    # ---- what tests ask

    @property
    def stanzas(self) -> list[Stanza]:
        return [frame.payload for frame in self.frames]  # type: ignore[misc]

    @property
    def numbers(self) -> list[int]:
        """The numbers of what came from clients, in order."""
        return [uid_number(frame.uid) for frame in self.frames]

    def kinds(self) -> list[str]:
        """The types of the session frames."""
        return [frame.payload.attrs['type'] for frame in self.said]  # type: ignore[union-attr]

    def stream_of(self, jid: str) -> bytes:
        return next(stream for stream, (full, _) in self.sessions.items() if full == jid)

    def confirm(self, *frames: Route) -> None:
        """Confirm these (or all that are withheld)."""
        for frame in frames or list(self.withheld):
            self.withheld.remove(frame)
            self.links.confirm(frame.source, confirmation(frame))

    def send(
        self, node: str, stream: bytes, stanza: Stanza, epoch: int | None = None, uid: bytes = b'', flags: int = 0
    ) -> bytes:
        """A frame for a session of a c2s; the uid."""
        if not uid:
            self._count += 1
            uid = make_uid(self.links.incarnation, self._count)
        if epoch is None:
            epoch = self.sessions.get(stream, ('', 0))[1]
        link = self.links.pick('')
        assert link is not None
        link.route(Route(node, stream, self.links.node, epoch, uid, 8, flags, stanza))
        return uid

    # ---- Component

    def on_route(self, frame: Route, link: Link) -> None:
        payload = frame.payload
        assert isinstance(payload, Stanza)
        if payload.name != vocabulary.NAME:
            self.frames.append(frame)
            self._settle(frame)
            return
        kind, stream = payload.attrs['type'], frame.uid[:16]
        if kind in (vocabulary.END, vocabulary.RETURNED):
            self.said.append(frame)
            self.sessions.pop(stream, None)
            self._settle(frame)
            return
        self.links.confirm(frame.source, frame.uid, link)
        if kind == vocabulary.FIND:
            self.send(frame.source, stream, vocabulary.found(self.node_of(payload.attrs['id'])))
            return
        self.said.append(frame)
        if isinstance(self.starts, str):
            self.send(frame.source, stream, vocabulary.refused(self.starts), frame.epoch)
        elif self.starts:
            self.take(frame)

    def take(self, frame: Route) -> None:
        """Answer a start or attach."""
        payload, stream = frame.payload, frame.uid[:16]
        if payload.attrs['type'] == vocabulary.START:
            jid = f'{frame.key}/{payload.attrs["resource"]}'
            answer = vocabulary.started(jid, self.caps)
        else:
            jid = payload.attrs['jid']
            answer = vocabulary.attached(jid)
        self.sessions[stream], self.nodes[stream] = (jid, frame.epoch), frame.source
        self.send(frame.source, stream, answer, frame.epoch)

    def node_of(self, key: str) -> str:
        """Where the stream with that key is; as told to those who want to resume it."""
        return next((self.nodes[stream] for stream in self.sessions if vocabulary.key_of(stream).hex() == key), '')

    def _settle(self, frame: Route) -> None:
        self.withheld.append(frame)
        if self.confirms:
            self.confirm(frame)

    def on_fanout(self, frame: Fanout, link: Link) -> None:
        raise AssertionError('c2s sends no fan-outs')

    def on_confirm(self, frame: Confirm) -> None:
        self.confirmed += frame.uids
        self.failed += frame.failed

    def on_working(self, frame: Working) -> None:
        raise AssertionError('c2s has no slow work')

    def on_bounce(self, frame: Bounce, link: Link) -> None:
        self.bounced.append(frame)

    def on_up(self, name: str, node: str, incarnation: bytes) -> None:
        pass

    def on_down(self, name: str, node: str, incarnation: bytes) -> None:
        pass

    def on_drain(self, node: str) -> None:
        self.drained.append(node)

    def on_link_up(self, link: Link) -> None:
        pass

    def on_link_down(self, link: Link) -> None:
        pass

    def on_path_lost(self, name: str, node: str, link: Link) -> None:
        pass

    def congested(self) -> bool:
        return False


class Site:
    """A router (or two: r1 and r2), a c2s and sms on one clock.  `options` are those of c2s."""

    def __init__(
        self,
        sms: int = 1,
        coded: bool = False,
        domains: tuple[str, ...] = (DOMAIN,),
        routers: int = 1,
        **options: Any,
    ) -> None:
        self.network = Network(coded=coded)
        self.clock = self.network.clock
        self.routers: dict[str, Any] = {}
        if routers > 1:
            names = [f'r{n}' for n in range(1, routers + 1)]
            self.routers = {name: self._router(name) for name in names}
        self.clock.getThreadPool = Threads  # type: ignore[attr-defined]
        self.clock.callFromThread = lambda call, *arguments: self.clock.callLater(0, call, *arguments)  # type: ignore[attr-defined]
        self.storage = ImmediateStorage()
        for user in ('romeo', 'juliet'):
            self.storage.run(accounts.put, f'{user}@{DOMAIN}', CREDENTIALS)
        values = self.values(**options)
        self.sms = [self.add_sm(f'sm-{n}') for n in range(1, sms + 1)]
        self.links = self.new_links('c2s-1')
        self.c2s = C2S(
            self.links, self.storage, domains, values, self.clock, self.network.turn, self.network.metrics, None,
            token_key=TOKEN_KEY,
        )
        self.links.start()
        self.c2s.start()
        self.network.settle()

    def _router(self, name: str) -> Router:
        return Router(name, self.clock, self.network.turn, ROUTER_OPTIONS.defaults(), self.network.metrics)

    @staticmethod
    def values(**options: Any) -> SimpleNamespace:
        values = OPTIONS.defaults()
        given = {'port': 0, 'tls_port': 0, 'plaintext_on_loopback': True, 'plain_without_tls': True, **options}
        for name, value in given.items():
            assert hasattr(values, name), name
            setattr(values, name, value)
        return values

    @property
    def sm(self) -> ScriptedSm:
        return self.sms[0]

    def new_links(self, node: str) -> Any:
        """To all routers."""
        if self.routers:
            return SeveralLinks(node, self.routers, self.network.turn)
        return self.network.links(node)

    def add_sm(self, node: str) -> ScriptedSm:
        return ScriptedSm(self.new_links(node))

    def connect(self, user: str = 'romeo', host: str = '127.0.0.1', domain: str = DOMAIN) -> XmppClient:
        """A client that is connected and has said nothing yet."""
        client = XmppClient(f'{user}@{domain}', PASSWORD)
        server = ClientFactory(self.c2s, False).buildProtocol(None)  # type: ignore[arg-type]
        memory_transport.connect(self.clock, client, server, host)
        return client

    def login(self, user: str = 'romeo', resource: str = 'r', acks: bool = False) -> XmppClient:
        """A client that has bound a resource."""
        client = self.connect(user)
        self.run(client.login(resource, acks=acks))
        return client

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return run(self.network, coroutine)

    def settle(self) -> None:
        self.network.settle()

    def advance(self, seconds: float) -> None:
        self.network.advance(seconds)

    def session(self, client: XmppClient) -> Any:
        """The c2s's session of a client."""
        return next(session for session in self.c2s.sessions.values() if session.jid == client.jid)

    def deliver(self, client: XmppClient, stanza: Stanza, sm: ScriptedSm | None = None, **options: Any) -> bytes:
        """From an sm to a client; the uid."""
        sm = sm or self.sm
        uid = sm.send('c2s-1', self.session(client).stream, stanza, **options)
        self.settle()
        return uid


def message(n: int, sender: str = 'juliet@example.net/j', to: str = 'romeo@example.net/r') -> Stanza:
    """A chat message with a number in its body."""
    return Stanza.build(
        'message',
        {'from': sender, 'to': to, 'type': 'chat', 'id': f'm{n}'},
        ('jabber:client', 'body', b'<body>%d</body>' % n),
    )


def chat(n: int, to: str = 'juliet@example.net') -> str:
    """A chat message as a client sends it."""
    return f"<message to='{to}' type='chat' id='c{n}'><body>{n}</body></message>"


def pinned(site: Site, client: XmppClient) -> ScriptedSm:
    """The sm that has a client's session."""
    return next(sm for sm in site.sms if sm.links.node == site.session(client).pin.node)


def other(site: Site, sm: ScriptedSm) -> ScriptedSm:
    """The sm that is not this one."""
    return next(one for one in site.sms if one is not sm)


def route_of(site: Site, client: XmppClient) -> tuple[str, str]:
    """The router that a client's frames take, and the other one."""
    name = site.session(client).link.name
    return name, next(one for one in site.routers if one != name)
