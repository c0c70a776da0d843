"""What the tests of the sm stand on: an sm on routers and a clock, scripted c2s nodes at the other end."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from secrets import token_bytes
from typing import Any

from jabberd_tx.base.replay import ReplayWindow
from jabberd_tx.components.sm.service import OPTIONS, SessionManager
from jabberd_tx.link import session as vocabulary
from jabberd_tx.link.frames import (
    CLIENT,
    NO_SESSION,
    REPEAT,
    RETURNED,
    Bounce,
    Confirm,
    Fanout,
    Route,
    Working,
    given_back,
    make_uid,
    mark_of,
    uid_number,
)
from jabberd_tx.link.interfaces import Component, Link
from jabberd_tx.link.local import LocalLinks
from jabberd_tx.routing.options import OPTIONS as ROUTER_OPTIONS
from jabberd_tx.routing.router import Router
from jabberd_tx.storage import accounts
from jabberd_tx.storage.sessions.memory import MemorySessions
from jabberd_tx.testing.network import Network
from jabberd_tx.testing.storage import ImmediateStorage
from jabberd_tx.xmpp.parser import StreamParser
from jabberd_tx.xmpp.sasl.verifiers import Verifier
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import stream_header, to_xml

DOMAIN = 'example.net'
CREDENTIALS = {'SCRAM-SHA-1': Verifier(b'salt', 4096, b'stored', b'server')}


def parse_stanza(xml: str) -> Stanza:
    """A stanza as c2s would have parsed it."""
    parser = StreamParser()
    events = parser.feed(stream_header('jabber:client', {'to': DOMAIN}) + xml.encode())
    (stanza,) = [event for event in events if isinstance(event, Stanza)]
    return stanza


class Client:
    """A client's session at a scripted c2s.

    stanzas    what it got, in order
    confirmed  numbers of its own stanzas that the sm has confirmed, in order
    answer     what came of `start`: the session stanza
    live       the c2s knows the session
    """

    def __init__(self, node: ScriptedC2s, owner: str, resource: str) -> None:
        self.node, self.owner, self.resource = node, owner, resource
        self.stream = token_bytes(16)
        self.jid = ''
        self.kept = b''
        self.number = 0
        self.epoch = 0
        self.pin = ''
        self.live = True
        self.stanzas: list[Stanza] = []
        self.uids: list[bytes] = []
        self.confirmed: list[int] = []
        self.answer: Stanza | None = None
        self.closed: Stanza | None = None
        self.window = ReplayWindow()
        self.sent: dict[int, Route] = {}

    # ---- what it does

    def say(self, payload: Stanza, number: int | None = None, flags: int = CLIENT, dest: str = '') -> int:
        """A frame of this session; its number."""
        if number is None:
            self.number += 1
            number = self.number
        uid = make_uid(self.stream, number)
        frame = Route(dest or self.pin or DOMAIN, self.owner, self.node.name, self.epoch, uid, 8, flags, payload)
        self.sent[number] = frame
        self.node.route(frame)
        return number

    def send(self, xml: str | Stanza) -> int:
        """A stanza as c2s passes it on: stamped with the full JID."""
        stanza = parse_stanza(xml) if isinstance(xml, str) else xml
        return self.say(stanza.with_attrs(from_=self.jid))

    def again(self, number: int) -> None:
        """The same frame once more, as a repeat."""
        frame = self.sent[number]
        self.node.route(frame._replace(flags=frame.flags | REPEAT, epoch=self.epoch, dest=self.pin))

    def come(self, priority: int | None = None) -> Client:
        """Initial presence, or another one."""
        self.send('<presence/>' if priority is None else f'<presence><priority>{priority}</priority></presence>')
        return self

    def chat(self, to: str, text: str, kind: str = 'chat') -> int:
        """A message with a body and its number as id."""
        kinds = f" type='{kind}'" if kind else ''
        return self.send(f"<message to='{to}'{kinds} id='{text}'><body>{text}</body></message>")

    def leave(self, returns: bool = False) -> None:
        """The stream is over: the session ends.  `returns`: what was not acked is on its way back."""
        self.live = False
        self.say(vocabulary.end(returns))

    def have_returned(self) -> None:
        """All of that has been taken back."""
        self.say(vocabulary.returned())

    def give_back(self, index: int) -> bytes:
        """A message that it got, and never acked, goes back to an sm; the uid."""
        uid, stanza = self.uids[index], self.stanzas[index]
        frame = Route(DOMAIN, self.owner, self.node.name, mark_of(self.stream), uid, 8, RETURNED | REPEAT, stanza)
        self.node.giving_back.setdefault(uid, []).append(frame)
        self.node.route(frame)
        return uid

    # ---- what it has got

    def take(self) -> list[Stanza]:
        """What came since the last time."""
        found, self.stanzas = self.stanzas, []
        self.uids = []
        return found

    def bodies(self) -> list[str]:
        """The ids of the messages that it got, in order, errors as 'error:id'."""
        return [
            ('error:' if stanza.attrs.get('type') == 'error' else '') + stanza.attrs.get('id', '')
            for stanza in self.stanzas
            if stanza.name == 'message'
        ]

    def xml(self) -> list[str]:
        """All of it as XML."""
        return [to_xml(stanza).decode() for stanza in self.stanzas]

    def __repr__(self) -> str:
        return f'<{self.jid} at {self.node.name}>'


class ScriptedC2s:
    """A c2s's side of the interface.

    holding   keep what comes, undelivered and unconfirmed, until `release`
    bouncing  bounce every ROUTE with this reason
    giving_back  what clients never acked, until an sm has confirmed it; `returned` are the uids of those
    """

    def __init__(self, site: Site, name: str) -> None:
        self.site, self.name = site, name
        self.links = site.links(name, self)
        self.clients: dict[bytes, Client] = {}
        self.holding = False
        self.bouncing = ''
        self.held: deque[tuple[Route | Fanout, Link]] = deque()
        self.bounced: list[Bounce] = []
        self.working: list[bytes] = []
        self.frames: list[Route | Fanout] = []
        self.returned: list[bytes] = []
        self.giving_back: dict[bytes, list[Route]] = {}
        self._repeating = False

    def route(self, frame: Route) -> None:
        """By a router that knows the destination."""
        for links in self.links.all:
            if links._link is not None and links.instances(frame.dest):
                links._link.route(frame)
                return

    def client(self, user: str, resource: str = 'r', come: bool = True, priority: int | None = None) -> Client:
        """A session that is started, with initial presence unless told otherwise."""
        client = self.start(user, resource)
        assert client.jid, client.answer
        if come:
            client.come(priority)
            self.site.settle()
            client.take()
        return client

    def start(self, user: str, resource: str) -> Client:
        """Ask for a session, and see what comes of it."""
        owner = user if '@' in user else f'{user}@{DOMAIN}'
        client = Client(self, owner, resource)
        self.clients[client.stream] = client
        client.say(vocabulary.start(resource), number=0, dest=DOMAIN)
        self.site.settle()
        return client

    def attach_again(self, client: Client, presence: str | None) -> None:
        """Tell an sm that the session lives here."""
        client.epoch += 1
        stanza = parse_stanza(presence).with_attrs(from_=client.jid) if presence else None
        said = vocabulary.attach(client.jid, stanza.pack() if stanza else b'', client.kept)
        client.say(said, number=0, dest=DOMAIN)

    # ---- what comes

    def on_route(self, frame: Route, link: Link) -> None:
        self.frames.append(frame)
        if self.holding:
            self.held.append((frame, link))
        else:
            self._deliver(frame, link)

    def on_fanout(self, frame: Fanout, link: Link) -> None:
        self.frames.append(frame)
        if self.holding:
            self.held.append((frame, link))
        else:
            self._deliver_shared(frame, link)

    def release(self, count: int | None = None) -> None:
        """Deliver what was held (the oldest so many), and no longer hold if it was all."""
        if count is None:
            self.holding = False
            count = len(self.held)
        for _ in range(min(count, len(self.held))):
            frame, link = self.held.popleft()
            if isinstance(frame, Route):
                self._deliver(frame, link)
            else:
                self._deliver_shared(frame, link)

    def _deliver(self, frame: Route, link: Link) -> None:
        assert isinstance(frame.key, bytes) and isinstance(frame.payload, Stanza)
        client = self.clients.get(frame.key)
        if self.bouncing:
            self.links.bounce(frame, self.bouncing, via=link)
        elif client is None or not client.live:
            self.links.bounce(frame, NO_SESSION, via=link)
        else:
            self._give(client, frame.uid, frame.payload, bool(frame.flags & REPEAT))
            self.links.confirm(frame.source, frame.uid, link)
            if frame.payload.name == vocabulary.NAME:
                self._take_answer(client, frame)

    def _deliver_shared(self, frame: Fanout, link: Link) -> None:
        assert isinstance(frame.payload, Stanza) and 'to' not in frame.payload.attrs
        failed = []
        for stream, to in frame.targets:
            client = self.clients.get(stream)
            if client is None or not client.live:
                failed.append(stream)
            else:
                self._give(client, frame.uid, frame.payload.with_attrs(to=to or None), True)
        self.links.failed(frame.source, frame.uid, failed, link)

    def _give(self, client: Client, uid: bytes, stanza: Stanza, may_be_repeat: bool) -> None:
        if may_be_repeat and client.window.seen(uid):
            return
        client.window.mark(uid)
        if stanza.name != vocabulary.NAME:
            client.stanzas.append(stanza)
            client.uids.append(uid)
            self.site.delivered(client, uid, stanza)

    def _take_answer(self, client: Client, frame: Route) -> None:
        stanza = frame.payload
        assert isinstance(stanza, Stanza)
        kind = stanza.attrs['type']
        if kind == vocabulary.KEEP:
            client.kept = stanza.inner
            return
        if kind == vocabulary.CLOSE:
            client.closed = stanza
            if client.live:
                client.leave()
            return
        client.answer = stanza
        if kind in (vocabulary.STARTED, vocabulary.ATTACHED):
            client.jid, client.pin = stanza.attrs['jid'], frame.source

    def on_confirm(self, frame: Confirm) -> None:
        for uid in frame.uids:
            back = given_back(uid)
            if back is not None:
                self.returned.append(back)
                copies = self.giving_back.get(back, [])
                if len(copies) > 1:
                    del copies[0]
                else:
                    self.giving_back.pop(back, None)
                continue
            client = self.clients.get(uid[:16])
            if client is None:
                continue
            number = uid_number(uid)
            if client.sent.pop(number, None) is not None:
                client.confirmed.append(number)

    def on_working(self, frame: Working) -> None:
        self.working += frame.uids

    def on_bounce(self, frame: Bounce, link: Link) -> None:
        """What comes back goes again a little later, with all that came after it."""
        self.bounced.append(frame)
        if not self._repeating:
            self._repeating = True
            self.site.clock.callLater(0.1, self.repeat_all)

    def on_up(self, name: str, node: str, incarnation: bytes) -> None:
        """An sm has come, perhaps back."""
        self.repeat_all()

    def on_down(self, name: str, node: str, incarnation: bytes) -> None: ...

    def on_drain(self, node: str) -> None: ...

    def on_link_up(self, link: Link) -> None: ...

    def on_link_down(self, link: Link) -> None:
        self.repeat_all()

    def on_path_lost(self, name: str, node: str, link: Link) -> None:
        self.repeat_all()

    def repeat_all(self) -> None:
        """A path is gone: what is not confirmed goes again, in order."""
        self._repeating = False
        for client in self.clients.values():
            for number in sorted(client.sent):
                client.again(number)
        for frames in list(self.giving_back.values()):
            for frame in frames:
                self.route(frame)

    def congested(self) -> bool:
        return False


class SeveralLinks:
    """Links to several routers, each of them the real in-process kind; one incarnation for all."""

    def __init__(self, node: str, routers: list[Router], network: Network) -> None:
        self.node, self.incarnation, self.generation = node, token_bytes(16), 0
        self.all = [LocalLinks(node, router, network.turn) for router in routers]
        for links in self.all:
            links.incarnation = self.incarnation
        self.component: Component

    def attach(self, component: Component) -> None:
        self.component = component
        for links in self.all:
            links.attach(_Ear(self, links, component))

    def start(self) -> None:
        for links in self.all:
            links.start()

    def lose(self, index: int) -> None:
        """The link to one router is lost: nothing is said to the other side of what waits."""
        links = self.all[index]
        links._switch.detach(links)
        links._leave()

    def regain(self, index: int) -> None:
        self.all[index].start()

    def _of(self, via: Link | None) -> LocalLinks | None:
        up = [links for links in self.all if links._link is not None]
        for links in up:
            if links._link is via:
                return links
        return up[0] if up else None

    def bind(self, name: str, policy: str | None = None, **options: object) -> None:
        for links in self.all:
            links.bind(name, policy, **options)

    def unbind(self, name: str) -> None:
        for links in self.all:
            links.unbind(name)

    def pick(self, key: str, avoid: Link | None = None) -> Link | None:
        up = [links._link for links in self.all if links._link is not None and links._link is not avoid]
        return up[sum(key.encode()) % len(up)] if up else None

    def reachable(self, name: str) -> bool:
        return bool(self.instances(name) or self.instances('*'))

    def instances(self, name: str) -> dict[str, bytes]:
        return {node: inc for links in self.all for node, inc in links.instances(name).items()}

    def confirm(self, node: str, uid: bytes, via: Link | None = None) -> None:
        links = self._of(via)
        if links is not None:
            links.confirm(node, uid)

    def failed(self, node: str, uid: bytes, sessions: list[bytes], via: Link | None = None) -> None:
        links = self._of(via)
        if links is not None:
            links.failed(node, uid, sessions)

    def working(self, node: str, uids: list[bytes]) -> None:
        links = self._of(None)
        if links is not None:
            links.working(node, uids)

    def bounce(self, frame: Route, reason: str, detail: str = '', via: Link | None = None) -> None:
        links = self._of(via)
        if links is not None:
            links.bounce(frame, reason, detail)

    def drain(self) -> None:
        for links in self.all:
            links.drain()


class _Ear:
    """Passes on what one of several links says; who is there is what all of them say together."""

    def __init__(self, several: SeveralLinks, links: LocalLinks, component: Component) -> None:
        self._several, self._links, self._component = several, links, component
        self.on_route, self.on_fanout = component.on_route, component.on_fanout
        self.on_confirm, self.on_working = component.on_confirm, component.on_working
        self.on_bounce, self.on_drain, self.congested = component.on_bounce, component.on_drain, component.congested

    def on_up(self, name: str, node: str, incarnation: bytes) -> None:
        self._component.on_up(name, node, incarnation)

    def on_down(self, name: str, node: str, incarnation: bytes) -> None:
        if node not in self._several.instances(name):
            self._component.on_down(name, node, incarnation)
        else:
            self._component.on_path_lost(name, node, self._links._last_link)

    def on_link_up(self, link: Link) -> None:
        self._several.generation += 1
        self._component.on_link_up(link)

    def on_link_down(self, link: Link) -> None:
        self._several.generation += 1
        self._component.on_link_down(link)


class Site:
    """One sm, storage in memory, and as many c2s nodes as a test wants; users 'romeo', 'juliet', … have accounts."""

    USERS = ('romeo', 'juliet', 'nurse', 'mercutio', 'tybalt')

    def __init__(
        self,
        routers: int = 1,
        domains: Iterable[str] = (DOMAIN,),
        modules: dict[str, Any] | None = None,
        storage: Any = None,
        users: Iterable[str] = USERS,
        routes: Sequence[Any] = (),
        **options: object,
    ) -> None:
        self.network = Network(routes)
        self.clock = self.network.clock
        self.routers = [self.network.router]
        for number in range(1, routers):
            router = Router(
                f'router-{number}', self.clock, self.network.turn, ROUTER_OPTIONS.defaults(), self.network.metrics
            )
            self.routers.append(router)
        self.storage = storage if storage is not None else ImmediateStorage()
        for user in users:
            self.storage.run(accounts.put, f'{user}@{DOMAIN}', CREDENTIALS)
        self.sessions = MemorySessions(self.clock)
        values = OPTIONS.defaults()
        for name, value in options.items():
            assert hasattr(values, name)
            setattr(values, name, value)
        self.sm_links = SeveralLinks('sm-1', self.routers, self.network)
        self.sm = SessionManager(
            self.sm_links, self.storage, self.sessions, list(domains), values, self.clock,
            self.network.turn, self.network.metrics, modules or {},
        )  # fmt: skip
        self.sm_links.start()
        self.sm.start()
        self.deliveries: list[tuple[Client, bytes, Stanza]] = []
        self.settle()

    def links(self, node: str, component: Component) -> SeveralLinks:
        """Links for another component, attached and started."""
        links = SeveralLinks(node, self.routers, self.network)
        links.attach(component)
        links.start()
        return links

    def c2s(self, name: str = 'c2s-1') -> ScriptedC2s:
        c2s = ScriptedC2s(self, name)
        self.settle()
        return c2s

    def delivered(self, client: Client, uid: bytes, stanza: Stanza) -> None:
        self.deliveries.append((client, uid, stanza))

    def settle(self) -> None:
        self.network.settle()

    def advance(self, seconds: float) -> None:
        self.network.advance(seconds)

    def quiet(self) -> None:
        """Everything is settled and confirmed; fails if something is left."""
        self.settle()
        assert self.sm.pending() == 0, self.sm.status()
