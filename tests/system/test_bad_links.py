"""What no good component sends, to a real router: the right word for it, few lines in the log, nobody else harmed."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from processes import Site, wait_for
from raw_link import RawLink

from jabberd_tx.link.decoding import FrameSplitter
from jabberd_tx.link.frames import (
    BUSY,
    Bind,
    Bounce,
    Bound,
    Confirm,
    Credit,
    Drain,
    Error,
    Fanout,
    Hello,
    Redirect,
    Route,
    encode,
    make_uid,
)
from jabberd_tx.xmpp.stanza import Stanza

BRIDGE = 'only the bridges know this'
CHAT = Stanza('message', {'from': 'romeo@example.net/a', 'to': 'juliet@example.net'})
SETTINGS = f"""handshake_timeout = 1.0
heartbeat = 0.2
heartbeat_timeout = 2.0
outbound_limit = 2097152

[[access]]
nodes = ["bridge-*"]
secret = "{BRIDGE}"
names = ["bridge.example.net"]

[[access]]
nodes = ["c2s-*", "sm-*"]
names = ["example.net"]
"""


class Router:
    """A router alone, and two nodes that have nothing to do with what others do."""

    def __init__(self, site: Site) -> None:
        self.site, self.port = site, site.router_ports[0]
        self.secret = next(
            line.partition('"')[2].rstrip('"')
            for line in (site.folder / 'jabberd.toml').read_text().splitlines()
            if line.startswith('secret')
        )
        self.log = site.processes['router-a']
        self.c2s, self.sm = self.link('c2s-by'), self.link('sm-by')
        self.sm.say(Bind('example.net', {}))
        assert self.sm.until(Bound).outcome == 'ok'

    def link(self, node: str, secret: str = '', prove: bool = True, credit: int = 8 << 20) -> RawLink:
        return RawLink(self.port, node, secret or self.secret, prove, credit)

    def still_works(self, seconds: float = 5.0) -> None:
        """A frame of the bystanders arrives and is confirmed."""
        self.sm.say(Credit(4096))
        uid = self.c2s.route('example.net', CHAT, 'juliet@example.net')
        frame = self.sm.until(Route, seconds)
        self.sm.confirm(frame)
        assert frame.uid == uid and uid in self.c2s.until(Confirm, seconds).uids

    def logged(self, text: str) -> int:
        """How often it stands in the log."""
        return self.log.text().count(text)


@pytest.fixture(scope='module')
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    with Site(tmp_path_factory.mktemp('router'), 'apart', SETTINGS) as site:
        process = site.run(
            'router-a', 'jabberd-router', '--node', 'a', '--set', f'router.listen=127.0.0.1:{site.router_ports[0]}'
        )
        wait_for('the router is ready', process.ready)
        yield Router(site)


def test_a_name_that_it_may_not_bind_is_refused_and_the_link_goes_on(router: Router) -> None:
    """However often it asks, the log has few lines."""
    with router.link('c2s-greedy') as greedy:
        greedy.say(Bind('other.example.net', {}), Bind('example.net', {'default': True}))
        greedy.say(Bind('example.net', {'log': True}))
        assert [greedy.until(Bound) for _ in range(3)] == [
            Bound('other.example.net', 'not-allowed'), Bound('example.net', 'not-allowed'),
            Bound('example.net', 'not-allowed'),
        ]  # fmt: skip
        greedy.say(*[Bind(f'n{number}.example.net', {}) for number in range(1000)])
        assert {greedy.until(Bound).outcome for _ in range(1000)} == {'not-allowed'}
        greedy.say(Bind('example.net', {}))
        assert greedy.until(Bound).outcome == 'ok'
    assert router.logged('c2s-greedy may not serve') == 10
    wait_for('it is gone', lambda: router.logged('link of c2s-greedy closed') == 1)
    router.still_works()


def test_who_has_one_secret_is_nobody_else(router: Router) -> None:
    """Neither with the bridges' secret another node, nor with the others' secret a bridge."""
    with router.link('bridge-1', BRIDGE) as bridge:
        bridge.say(Bind('bridge.example.net', {}), Bind('example.net', {}))
        assert [bridge.until(Bound).outcome for _ in range(2)] == ['ok', 'not-allowed']
    for node, secret in (('c2s-9', BRIDGE), ('bridge-2', router.secret)):
        with pytest.raises(Exception, match='ERROR is not expected|not expected now') as refused:
            router.link(node, secret)
        assert 'ERROR' in str(refused.value)
    assert router.logged('the secret is not the same on both sides') == 1
    router.still_works()


@pytest.mark.parametrize(
    'frame',
    [
        Route('example.net', None, 'c2s-by', 0, make_uid(b's' * 16, 1), 4, 0, CHAT),
        Fanout('sm-by', 'c2s-by', make_uid(b's' * 16, 1), [(b't' * 16, '')], CHAT),
        Confirm('sm-by', 'c2s-by', [make_uid(b's' * 16, 1)], []),
        Bounce('sm-by', '', BUSY, 'example.net', None, 0, make_uid(b's' * 16, 1), ''),
        Drain('c2s-by'),
    ],
    ids=lambda frame: type(frame).__name__,
)
def test_a_source_that_is_not_its_own_ends_the_link(router: Router, frame: object) -> None:
    node = f'c2s-liar-{type(frame).__name__}'.lower()
    with router.link(node) as liar:
        liar.say(frame)
        assert liar.ended().condition == 'invalid-from'
    wait_for('it is logged', lambda: router.logged(f'{node} may not speak for') == 1)
    router.still_works()


def test_a_redirect_of_what_is_another_s_is_ignored(router: Router) -> None:
    with router.link('c2s-thief') as thief:
        thief.say(*[Redirect(name, 'c2s-thief', 60) for name in ('example.net', 'juliet@example.net') * 8])
        router.still_works()
    wait_for('it is logged', lambda: router.logged('c2s-thief may not redirect') == 5)
    assert not [frame for frame in router.c2s.came if isinstance(frame, Redirect)]


def test_a_frame_of_4_gib_is_refused_when_its_length_is_read(router: Router) -> None:
    """After authentication and before."""
    with router.link('c2s-huge') as huge:
        huge.write(b'\xff\xff\xff\xff\x89\x05')
        error = huge.ended()
        assert isinstance(error, Error) and error.condition == 'frame-size' and '4294967295' in error.text
    with router.link('c2s-huge', prove=False) as huge:
        huge.write(b'\xff\xff\xff\xff')
        assert huge.ended().condition == 'frame-size'
    wait_for('it is logged', lambda: router.logged('a frame of 4294967295 bytes') == 2)
    router.still_works()


def test_half_a_frame_and_then_nothing_ends_the_link_in_time(router: Router) -> None:
    """By the heartbeat, or by the time that a handshake may take."""
    with router.link('c2s-half') as half, router.link('c2s-half-hello', prove=False) as before:
        began = time.monotonic()
        half.write(encode(Route('example.net', None, 'c2s-half', 0, make_uid(b's' * 16, 1), 4, 0, CHAT))[:40])
        before.write(encode(Hello(1, 'c2s-half-hello', b'i' * 16, b'n' * 32, []))[:20])
        assert before.ended().condition == 'timeout'
        half.socket.settimeout(0.1)
        assert _last_word(half, router).condition == 'heartbeat-timeout' and time.monotonic() - began < 8
    wait_for('it is logged', lambda: router.logged('link of c2s-half closed: nothing came for') == 1)
    router.still_works()


def _last_word(link: RawLink, router: Router) -> Any:
    """The last frame of the router to a node that answers no PING, while the others go on."""
    splitter, found = FrameSplitter(1 << 20), []
    splitter.authenticated()
    while True:
        try:
            data = link.socket.recv(65536)
        except TimeoutError:
            router.still_works()
            continue
        if not data:
            return found[-1]
        found += [frame for _, frame in splitter.feed(data)]


def test_a_flood_for_a_node_that_takes_nothing_is_sent_back_and_then_cut_off(router: Router) -> None:
    """Who does not read what comes back is cut off at link.outbound_limit; all the while others are served."""
    with router.link('sm-full', credit=0), router.link('c2s-flood') as flood:
        flood.route('sm-full', CHAT)
        assert flood.until(Bounce).reason == BUSY
        flood.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        flood.socket.settimeout(20)
        frames = [
            encode(Route('sm-full', 'k' * 200, 'c2s-flood', 0, make_uid(b's' * 16, n), 4, 0, CHAT)) for n in range(500)
        ]
        lump, worst = b''.join(frames), 0.0
        with pytest.raises(OSError):
            for number in range(2000):
                flood.write(lump)
                if number % 5 == 0:
                    began = time.monotonic()
                    router.still_works()
                    worst = max(worst, time.monotonic() - began)
        assert worst < 3, 'others were served'
    wait_for('it is logged', lambda: router.logged('link of c2s-flood closed') == 1)
    assert 'bytes waited to be sent' in router.log.text()
    router.still_works()


def test_garbage_ends_the_link(router: Router) -> None:
    with router.link('c2s-noise') as noise:
        noise.write(b'\x00\x00\x00\x05' + b'\xff' * 5)
        assert noise.ended().condition == 'bad-frame'
    router.still_works()
