"""A stream that is resumed at another worker: who has it at each step, whatever goes wrong."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from jabberd_tx.components.c2s.moved_state import PART
from jabberd_tx.components.c2s.service import C2S, ClientFactory
from jabberd_tx.components.sm.finding import sections
from jabberd_tx.components.sm.service import OPTIONS as SM_OPTIONS
from jabberd_tx.components.sm.service import SessionManager
from jabberd_tx.link import session as vocabulary
from jabberd_tx.link.frames import Route
from jabberd_tx.storage import accounts
from jabberd_tx.storage.sessions.memory import MemorySessions
from jabberd_tx.testing import memory_transport
from jabberd_tx.testing.client import Refused, XmppClient, run
from jabberd_tx.testing.memory_copies import MemoryCopies
from jabberd_tx.testing.network import Network
from jabberd_tx.testing.storage import ImmediateStorage
from jabberd_tx.xmpp.stanza import Stanza
from tests.components.c2s.c2s_support import CREDENTIALS, DOMAIN, PASSWORD, Site, Threads
from tests.components.c2s.test_c2s_acks import said


class Workers:
    """Two c2s and a real sm; `drops` decides which frames between them are lost."""

    def __init__(self, coded: bool = False, copies: bool = False) -> None:
        self.network = Network(coded=coded)
        self.clock: Any = self.network.clock
        self.copies = MemoryCopies(self.clock) if copies else None
        self.clock.getThreadPool = Threads
        self.clock.callFromThread = lambda call, *arguments: self.clock.callLater(0, call, *arguments)
        self.storage, self.sessions = ImmediateStorage(), MemorySessions(self.clock)
        for user in ('romeo', 'juliet'):
            self.storage.run(accounts.put, f'{user}@{DOMAIN}', CREDENTIALS)
        links = self.network.links('sm-1')
        values = {section.name: section.defaults() for section in sections()}
        self.sm = SessionManager(
            links, self.storage, self.sessions, [DOMAIN], SM_OPTIONS.defaults(), self.clock, self.network.turn,
            self.network.metrics, values, (), self.copies,
        )  # fmt: skip
        links.start()
        self.sm.start()
        self.c2s = [self.add(f'c2s-{n}') for n in (1, 2)]
        self.settle()

    def add(self, node: str) -> C2S:
        links = self.network.links(node)
        c2s = C2S(
            links, self.storage, [DOMAIN], Site.values(), self.clock, self.network.turn, self.network.metrics, None,
            copy_store=self.copies,
        )  # fmt: skip
        links.start()
        c2s.start()
        return c2s

    def settle(self) -> None:
        self.network.settle()

    def advance(self, seconds: float) -> None:
        self.network.advance(seconds)

    def kill(self, which: int) -> None:
        """Without a word."""
        self.c2s[which].links.stop()  # type: ignore[attr-defined]
        self.c2s[which].stop_timers()

    def connect(self, which: int, user: str = 'romeo') -> XmppClient:
        client = XmppClient(f'{user}@{DOMAIN}', PASSWORD)
        server = ClientFactory(self.c2s[which], False).buildProtocol(None)  # type: ignore[arg-type]
        memory_transport.connect(self.clock, client, server)
        return client

    def login(self, which: int, user: str = 'romeo') -> XmppClient:
        """Available, with a stream that may be resumed."""
        client = self.connect(which, user)
        run(self.network, client.login('r', 'PLAIN'))
        run(self.network, client.enable_acks(resume=True))
        client.send('<presence/>')
        self.settle()
        client.inbox.clear()
        return client

    def begin(self, which: int, client: XmppClient, h: int | None = None) -> SimpleNamespace:
        """Ask to resume there; its `client`, and `failure` once there is one."""
        again = self.connect(which)
        wish = SimpleNamespace(client=again, failure=None)

        def note(failure: Failure) -> None:
            wish.failure = failure

        Deferred.fromCoroutine(again.login_to_resume(client, h=h)).addErrback(note)
        return wish

    def resume(self, which: int, client: XmppClient, h: int | None = None) -> XmppClient:
        wish = self.begin(which, client, h)
        self.settle()
        if wish.failure is not None:
            wish.failure.raiseException()
        assert wish.client.resumed is not None
        return wish.client  # type: ignore[no-any-return]

    def hold(self, which: int, kind: str) -> list[Route]:
        """From now on that worker sees no session frames of this type; they are kept in the list."""
        intake, kept = self.c2s[which].intake, []
        take = intake.on_route

        def on_route(frame: Route, link: Any) -> None:
            stanza = frame.payload if isinstance(frame.payload, Stanza) else Stanza.unpack(frame.payload)
            if stanza.name == vocabulary.NAME and stanza.attrs['type'] == kind:
                kept.append(frame)
            else:
                take(frame, link)

        intake.on_route = on_route  # type: ignore[method-assign]
        return kept


def chat(n: int, to: str) -> str:
    return f"<message to='{to}@{DOMAIN}' type='chat'><body>{n}</body></message>"


def meet(workers: Workers) -> tuple[XmppClient, XmppClient]:
    """Romeo at the first worker, juliet at the second."""
    return workers.login(0), workers.login(1, 'juliet')


@pytest.mark.parametrize('coded', [False, True])
def test_a_stream_goes_on_at_another_worker(coded: bool) -> None:
    workers = Workers(coded)
    romeo, juliet = meet(workers)
    romeo.answers = False
    romeo.send(chat(1, 'juliet'))
    juliet.send(chat(1, 'romeo'))
    workers.settle()
    handled = romeo.handled
    romeo.drop()
    workers.settle()
    juliet.send(chat(2, 'romeo') + chat(3, 'romeo'))
    workers.settle()
    again = workers.resume(1, romeo, handled)
    assert again.resumed is not None and again.resumed.attrs['h'] == '2'
    assert said(again) == ['2', '3']
    juliet.send(chat(4, 'romeo'))
    again.send(chat(2, 'juliet'))
    again.ask()
    workers.settle()
    assert said(again) == ['4'] and said(juliet) == ['1', '2'] and again.acked == 3
    assert not workers.c2s[0].sessions and not workers.c2s[0].moves.given and workers.c2s[0].streams == 0
    (session,) = workers.sessions.peek(f'romeo@{DOMAIN}')
    assert (session.node, session.presence is not None) == ('c2s-2', True)
    assert workers.c2s[1].measures.resumptions.moved == 1
    assert not juliet.take_stanzas('presence'), 'and nobody has seen him go'


def test_it_may_move_on_and_back_again_under_the_same_id() -> None:
    workers = Workers()
    romeo, juliet = meet(workers)
    for n, which in enumerate((1, 1, 0, 1, 0, 0)):
        romeo.drop()
        workers.settle()
        juliet.send(chat(n, 'romeo'))
        workers.settle()
        romeo = workers.resume(which, romeo)
        assert said(romeo) == [str(n)]
    assert len(workers.c2s[0].sessions) == 1 and len(workers.c2s[1].sessions) == 1


def test_a_live_connection_at_another_worker_is_taken_over() -> None:
    workers = Workers()
    romeo, juliet = meet(workers)
    again = workers.resume(1, romeo)
    assert romeo.error == 'conflict'
    juliet.send(chat(1, 'romeo'))
    workers.settle()
    assert said(again) == ['1']


def test_more_than_fits_into_a_frame_comes_in_parts() -> None:
    workers = Workers()
    romeo, juliet = meet(workers)
    romeo.drop()
    workers.settle()
    big = 'x' * (PART // 4)
    for _ in range(12):
        juliet.send(f"<message to='romeo@{DOMAIN}' type='chat'><body>{big}</body></message>")
    workers.settle()
    assert said(workers.resume(1, romeo)) == [big] * 12


def test_what_another_worker_refuses_is_refused() -> None:
    workers = Workers()
    romeo, juliet = meet(workers)
    juliet.send(chat(1, 'romeo'))
    workers.settle()
    romeo.ack()
    workers.settle()
    for h, condition in ((romeo.handled + 1, 'bad-request'), (romeo.handled - 1, 'bad-request')):
        with pytest.raises(Refused, match=condition):
            workers.resume(1, romeo, h)
    romeo.resume_id = romeo.resume_id[:-4] + 'AAAA'
    with pytest.raises(Refused, match='item-not-found'):
        workers.resume(1, romeo)
    juliet.send(chat(2, 'romeo'))
    workers.settle()
    assert said(romeo) == ['1', '2'], 'who goes on'


def test_what_comes_on_the_way_comes_afterwards_in_order() -> None:
    workers = Workers()
    romeo, juliet = meet(workers)
    romeo.drop()
    workers.settle()
    wish = workers.begin(1, romeo)
    n = 0
    while workers.network.turn_once():
        n += 1
        juliet.send(chat(n, 'romeo'))
        assert n < 200 or wish.client.resumed is not None
        if n == 200:
            break
    workers.advance(5)
    assert wish.client.resumed is not None
    assert said(wish.client) == [str(one) for one in range(1, n + 1)]


def test_the_old_worker_dies_before_it_has_given_all() -> None:
    workers = Workers()
    romeo, _ = meet(workers)
    romeo.drop()
    workers.settle()
    workers.hold(1, vocabulary.STATE)
    wish = workers.begin(1, romeo)
    workers.settle()
    assert workers.c2s[0].moves.given
    workers.kill(0)
    workers.advance(20)
    assert wish.client.refusal == 'item-not-found'
    assert run(workers.network, wish.client.bind('r')), 'and the client begins anew'


def test_the_old_worker_dies_when_it_has() -> None:
    """The new one has everything, and goes on."""
    workers = Workers()
    romeo, juliet = meet(workers)
    romeo.drop()
    workers.settle()
    juliet.send(chat(1, 'romeo'))
    workers.settle()
    held = workers.hold(1, vocabulary.ATTACHED)
    wish = workers.begin(1, romeo)
    workers.settle()
    assert held and wish.client.resumed is None
    workers.kill(0)
    workers.settle()
    del workers.c2s[1].intake.on_route
    workers.c2s[1].intake.on_route(held[0], None)  # type: ignore[arg-type]
    workers.settle()
    assert wish.client.resumed is not None and said(wish.client) == ['1']


@pytest.mark.parametrize('kind', [vocabulary.FOUND, vocabulary.STATE, vocabulary.ATTACHED])
def test_the_new_worker_dies_on_the_way(kind: str) -> None:
    """The old one takes the session back, with what it had and held; what the new one had confirmed is gone with it."""
    workers = Workers()
    romeo, juliet = meet(workers)
    third = workers.add('c2s-3')
    workers.c2s.append(third)
    workers.settle()
    romeo.drop()
    workers.settle()
    juliet.send(chat(1, 'romeo'))
    workers.settle()
    workers.hold(2, kind)
    elsewhere = workers.hold(0, vocabulary.ELSEWHERE)
    workers.begin(2, romeo)
    workers.settle()
    juliet.send(chat(2, 'romeo'))
    workers.settle()
    workers.kill(2)
    workers.settle()
    assert bool(elsewhere) == (kind == vocabulary.ATTACHED)
    workers.advance(15)
    assert not workers.c2s[0].moves.given
    again = workers.resume(0, romeo)
    assert said(again) == (['1'] if kind == vocabulary.ATTACHED else ['1', '2'])
    juliet.send(chat(3, 'romeo'))
    workers.settle()
    assert said(again) == ['3']


def test_a_client_that_leaves_the_new_worker_too_early_finds_its_session_at_the_old_one() -> None:
    workers = Workers()
    romeo, juliet = meet(workers)
    romeo.drop()
    workers.settle()
    workers.hold(1, vocabulary.STATE)
    wish = workers.begin(1, romeo)
    workers.settle()
    wish.client.drop()
    juliet.send(chat(1, 'romeo'))
    workers.settle()
    assert workers.c2s[0].moves.given
    again = workers.resume(0, romeo)
    assert said(again) == ['1'] and not workers.c2s[0].moves.given
    juliet.send(chat(2, 'romeo'))
    workers.settle()
    assert said(again) == ['2']


def test_nobody_comes_and_the_old_worker_takes_it_back() -> None:
    workers = Workers()
    romeo, juliet = meet(workers)
    romeo.drop()
    workers.settle()
    workers.hold(1, vocabulary.STATE)
    wish = workers.begin(1, romeo)
    workers.settle()
    juliet.send(chat(1, 'romeo'))
    juliet.send(f"<presence to='romeo@{DOMAIN}/r'/>")
    workers.advance(25)
    assert wish.client.refusal == 'remote-server-timeout'
    assert not workers.c2s[0].moves.given and workers.c2s[0].status()['away'] == 1
    del workers.c2s[1].intake.on_route
    again = workers.resume(1, romeo)
    assert said(again) == ['1'] and len(again.take_stanzas('presence')) == 1


def test_a_late_attach_of_the_new_worker_loses() -> None:
    """The old one has taken the session back; the new one's is dropped, and nothing comes twice."""
    workers = Workers()
    romeo, juliet = meet(workers)
    romeo.drop()
    workers.settle()
    juliet.send(chat(1, 'romeo'))
    workers.settle()
    take, held = workers.sm.lifecycle.take, []

    def late(frame: Route, stanza: Stanza) -> Any:
        if stanza.attrs['type'] == vocabulary.ATTACH and frame.source == 'c2s-2':
            held.append((frame, stanza))
            return None
        return take(frame, stanza)

    workers.sm.lifecycle.take = late  # type: ignore[method-assign]
    workers.begin(1, romeo)
    workers.advance(25)
    assert not workers.c2s[0].moves.given and held
    workers.sm.lifecycle.take = take  # type: ignore[method-assign]
    for frame, stanza in held:
        workers.sm.spawn(take(frame, stanza))  # type: ignore[arg-type]
    workers.settle()
    assert len(workers.c2s[1].sessions) == 1, 'that is juliet'
    again = workers.resume(0, romeo)
    assert said(again) == ['1']


def test_at_shutdown_what_another_worker_has_asked_for_and_not_taken_returns() -> None:
    workers = Workers()
    romeo, juliet = meet(workers)
    romeo.drop()
    workers.settle()
    juliet.send(chat(1, 'romeo'))
    workers.settle()
    workers.hold(1, vocabulary.STATE)
    workers.begin(1, romeo)
    workers.settle()
    done = Deferred.fromCoroutine(workers.c2s[0].stop())
    workers.advance(20)
    assert done.called and not workers.c2s[0].sessions
    del workers.c2s[1].intake.on_route
    again = workers.connect(1)
    run(workers.network, again.login('r', 'PLAIN'))
    again.send('<presence/>')
    workers.settle()
    (message,) = again.take_stanzas('message')
    assert b'<body>1</body>' in message.inner


def second_client(workers: Workers, resource: str = 's') -> XmppClient:
    """Another one of romeo's, at the first worker, which stays there."""
    client = workers.connect(0)
    run(workers.network, client.login(resource, 'PLAIN'))
    client.send('<presence/>')
    workers.settle()
    return client


@pytest.mark.parametrize('moves', [True, False])
def test_a_message_to_several_clients_reaches_the_one_that_is_about_to_move(moves: bool) -> None:
    """Whether it gets to the other worker or stays where it is; what it does not ack is not lost either."""
    workers = Workers()
    romeo, juliet = meet(workers)
    other = second_client(workers)
    romeo.drop()
    workers.settle()
    held = workers.hold(1, vocabulary.STATE)
    wish = workers.begin(1, romeo)
    workers.settle()
    assert workers.c2s[0].moves.given
    juliet.send(chat(1, 'romeo') + chat(2, 'romeo'))
    workers.settle()
    assert said(other) == ['1', '2'] and not juliet.take_stanzas('message')
    del workers.c2s[1].intake.on_route
    if moves:
        workers.advance(5)
        again = wish.client
        assert held and again.resumed is not None
        (session,) = [one for one in workers.sessions.peek(f'romeo@{DOMAIN}') if one.jid.endswith('/r')]
        assert session.node == 'c2s-2'
    else:
        wish.client.drop()
        again = workers.resume(0, romeo)
    assert said(again) == ['1', '2']
    juliet.send(chat(3, 'romeo'))
    workers.settle()
    assert said(again) == said(other) == ['3']


def test_what_a_client_got_so_and_never_acked_goes_back() -> None:
    workers = Workers()
    romeo, juliet = meet(workers)
    other = second_client(workers)
    romeo.drop()
    workers.settle()
    workers.hold(1, vocabulary.STATE)
    wish = workers.begin(1, romeo)
    workers.settle()
    juliet.send(chat(1, 'romeo'))
    workers.settle()
    wish.client.drop()
    other.drop()
    workers.settle()
    # Nobody comes for it: it is taken back, waits for its client, and ends.
    workers.advance(25)
    assert not workers.c2s[0].moves.given
    workers.advance(400)
    assert not workers.c2s[0].sessions
    (body,) = said(second_client(workers, 'new'))
    assert body.startswith('1<') and '<delay ' in body
