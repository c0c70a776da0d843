"""A pool over real routers on loopback: who is there, what is lost when one is killed, and how it comes back."""

from __future__ import annotations

import socket
from collections.abc import Callable
from secrets import token_bytes
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, ensureDeferred, inlineCallbacks, maybeDeferred
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import TestCase

from jabberd_tx.base.hashing import rendezvous
from jabberd_tx.base.metrics import Metrics
from jabberd_tx.base.options import ConfigError
from jabberd_tx.base.turn import Turn
from jabberd_tx.link import connection
from jabberd_tx.link.frames import BUSY, NO_LINK, NO_SESSION, Bounce, Confirm, Fanout, Route, Working, make_uid
from jabberd_tx.link.options import OPTIONS
from jabberd_tx.link.pool import Pool
from jabberd_tx.link.server import LinkServer, listen
from jabberd_tx.routing.options import OPTIONS as ROUTER_OPTIONS
from jabberd_tx.routing.router import Router
from jabberd_tx.testing.network import Recorder
from jabberd_tx.xmpp.stanza import Stanza

SECRET = 'a secret of the whole site'
CHAT = Stanza.build('message', {'to': 'juliet@example.net'}, ('jabber:client', 'body', b'<body>hi</body>'))
DOMAIN = 'example.net'


class Watcher(Recorder):
    """A component at the end of a pool, whose callbacks can be waited for."""

    def __init__(self, pool: Pool, confirms: bool = True) -> None:
        self._waiting: list[tuple[Callable[[], Any], Deferred[None]]] = []
        self.calls: list[str] = []
        super().__init__(pool, confirms)  # type: ignore[arg-type]

    def until(self, condition: Callable[[], Any]) -> Deferred[None]:
        """Fires when the condition holds after something has come."""
        done: Deferred[None] = Deferred()
        if condition():
            done.callback(None)
        else:
            self._waiting.append((condition, done))
        return done

    def heard(self, *news: str) -> Deferred[None]:
        return self.until(lambda: news in self.news)

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if not name.startswith('on_'):
            return found

        def called(*arguments: Any) -> None:
            found(*arguments)
            self.calls.append(name)
            ready = [item for item in self._waiting if item[0]()]
            self._waiting = [item for item in self._waiting if item not in ready]
            for _, done in ready:
                reactor.callLater(0, done.callback, None)

        return called


class Site(TestCase):
    """Routers and pools, cleaned up whatever happens."""

    def setUp(self) -> None:
        self.turn = Turn(reactor)
        self.options = OPTIONS.defaults()
        self.options.secret = SECRET
        self.options.backoff_initial, self.options.backoff_maximum = 0.02, 0.1
        self.options.heartbeat, self.options.heartbeat_timeout = 0.2, 5.0
        self.options.absence_grace = 0.4
        self.options.routers = []
        self.metrics = Metrics()
        self.servers: dict[str, LinkServer] = {}
        self.pools: list[Pool] = []
        self.addCleanup(self.close)

    @inlineCallbacks
    def close(self) -> Any:
        yield DeferredList([ensureDeferred(pool.stop()) for pool in self.pools])
        for server in list(self.servers.values()):
            yield ensureDeferred(server.stop())

    def router(self, name: str, port: int = 0) -> LinkServer:
        """Start one; new pools know it."""
        options = ROUTER_OPTIONS.defaults()
        router = Router(name, reactor, self.turn, options, Metrics())
        server = listen('127.0.0.1', port, router, name, token_bytes(16), self.options, reactor, self.turn)
        self.servers[name] = server
        address = f'127.0.0.1:{server.listener.getHost().port}'
        if address not in self.options.routers:
            self.options.routers.append(address)
        return server

    @inlineCallbacks
    def kill(self, name: str) -> Any:
        """As kill -9 does it: sockets close, nothing is said.  Gives the port, for its successor."""
        server = self.servers.pop(name)
        port = server.listener.getHost().port
        yield maybeDeferred(server.listener.stopListening)
        for link in list(server.ports):
            link.connection.transport.abortConnection()
        return port

    def pool(self, node: str, confirms: bool = True, **options: Any) -> Watcher:
        values = OPTIONS.defaults()
        vars(values).update(vars(self.options))
        values.routers = list(self.options.routers)
        vars(values).update(options)
        pool = Pool(node, values, reactor, self.turn, self.metrics)
        self.pools.append(pool)
        return Watcher(pool, confirms)

    def frame(self, watcher: Watcher, number: int, dest: str = DOMAIN, key: Any = 'juliet@example.net') -> Route:
        return Route(dest, key, watcher.links.node, 0, make_uid(watcher.stream, number), 4, 0, CHAT)

    def spin(self, condition: Callable[[], Any]) -> Deferred[None]:
        """Turn after turn until the condition holds; trial's timeout is the bound."""
        done: Deferred[None] = Deferred()

        def look() -> None:
            if condition():
                done.callback(None)
            else:
                reactor.callLater(0.005, look)

        look()
        return done

    @inlineCallbacks
    def pair(self) -> Any:
        """A c2s and an sm that serves the domain, each linked to all routers and seen by the other."""
        sm, c2s = self.pool('sm-1'), self.pool('c2s-1')
        sm.links.bind(DOMAIN)
        for router in self.servers:
            yield sm.heard('link up', router)
            yield c2s.heard('link up', router)
        yield c2s.heard('up', DOMAIN, 'sm-1')
        yield sm.heard('up', 'c2s-1', 'c2s-1')
        return c2s, sm


class TestPool(Site):
    @inlineCallbacks
    def test_frames_of_every_kind_reach_the_other_component(self):
        self.router('r1')
        c2s, sm = yield self.pair()
        uid = c2s.send(DOMAIN, 'juliet@example.net', CHAT)
        yield c2s.until(lambda: c2s.confirmed)
        self.assertEqual(c2s.confirmed, [uid])
        self.assertEqual(sm.stanzas, [CHAT])
        self.assertEqual(sm.stanzas[0].children, CHAT.children)
        link = sm.links.pick('x')
        link.fanout(Fanout('c2s-1', 'sm-1', make_uid(sm.stream, 9), [(b's' * 16, 'a'), (b't' * 16, '')], CHAT))
        sm.links.working('c2s-1', [uid])
        sm.links.bounce(sm.routes[0], NO_SESSION, 'why')
        sm.links.failed('c2s-1', uid, [b's' * 16])
        yield c2s.until(lambda: len(c2s.confirmed) == 2 and c2s.bounces)
        self.assertIn(
            Fanout('c2s-1', 'sm-1', make_uid(sm.stream, 9), [(b's' * 16, 'a'), (b't' * 16, '')], CHAT), c2s.frames
        )
        self.assertIn(Working('c2s-1', 'sm-1', [uid]), c2s.frames)
        self.assertIn(Confirm('c2s-1', 'sm-1', [uid], [(uid, b's' * 16)]), c2s.frames)
        self.assertEqual(
            c2s.bounces, [Bounce('c2s-1', 'sm-1', NO_SESSION, DOMAIN, 'juliet@example.net', 0, uid, 'why')]
        )

    @inlineCallbacks
    def test_what_a_component_redirects_goes_straight_to_the_node_until_it_takes_that_back(self):
        self.router('r1')
        c2s, sm = yield self.pair()
        other = self.pool('sm-2')
        yield c2s.heard('up', 'sm-2', 'sm-2')
        self.assertEqual(c2s.links.names(), ['c2s-1', DOMAIN, 'sm-1', 'sm-2'])
        sm.links.redirect('juliet@example.net', 'sm-2', 60)
        yield self.spin(lambda: c2s.links.redirects.active)
        redirected = c2s.send(DOMAIN, 'juliet@example.net', CHAT)
        yield other.until(lambda: other.routes)
        yield c2s.until(lambda: c2s.confirmed)
        sm.links.redirect('juliet@example.net', 'sm-2', 0)
        yield self.spin(lambda: not c2s.links.redirects.active)
        again = c2s.send(DOMAIN, 'juliet@example.net', CHAT)
        yield sm.until(lambda: sm.routes)
        self.assertEqual([route.uid for route in other.routes], [redirected])
        self.assertEqual([route.uid for route in sm.routes], [again])

    @inlineCallbacks
    def test_many_frames_arrive_in_order_and_all_are_confirmed(self):
        self.router('r1')
        c2s, sm = yield self.pair()
        link = c2s.links.pick('juliet@example.net')
        frames = [self.frame(c2s, number) for number in range(1, 3001)]
        for at in range(0, 3000, 100):
            for frame in frames[at : at + 100]:
                link.route(frame)
            yield sm.until(lambda at=at: len(sm.routes) > at)
        yield c2s.until(lambda: len(c2s.confirmed) == 3000)
        self.assertEqual([frame.uid for frame in sm.routes], [frame.uid for frame in frames])
        self.assertEqual(sorted(c2s.confirmed), sorted(frame.uid for frame in frames))
        confirms = [frame for frame in c2s.frames if type(frame) is Confirm]
        self.assertLess(len(confirms), 1000, 'they are gathered')

    @inlineCallbacks
    def test_news_is_told_once_whatever_the_number_of_routers(self):
        for name in ('r1', 'r2', 'r3'):
            self.router(name)
        c2s, sm = yield self.pair()
        other = self.pool('sm-2')
        other.links.bind(DOMAIN)
        yield c2s.heard('up', DOMAIN, 'sm-2')
        for router in self.servers:
            yield other.heard('link up', router)
        self.assertEqual(
            c2s.links.instances(DOMAIN), {'sm-1': sm.links.incarnation, 'sm-2': other.links.incarnation}
        )
        yield ensureDeferred(other.links.stop())
        yield c2s.heard('down', 'sm-2', 'sm-2')
        self.assertEqual(c2s.links.instances(DOMAIN), {'sm-1': sm.links.incarnation})
        for news in (('up', DOMAIN, 'sm-2'), ('down', DOMAIN, 'sm-2'), ('up', 'sm-2', 'sm-2')):
            self.assertEqual(c2s.news.count(news), 1)

    @inlineCallbacks
    def test_a_killed_router_is_nobodys_death_and_its_work_goes_over_the_other(self):
        self.router('r1')
        self.router('r2')
        c2s, sm = yield self.pair()
        generation = c2s.links.generation
        lost = c2s.links.pick('juliet@example.net')
        yield self.kill(lost.name)
        yield c2s.heard('link down', lost.name)
        yield sm.heard('link down', lost.name)
        self.assertFalse(lost.up)
        self.assertNotEqual(c2s.links.generation, generation)
        link = c2s.links.pick('juliet@example.net')
        self.assertNotEqual(link.name, lost.name)
        lost.route(self.frame(c2s, 1))
        link.route(self.frame(c2s, 2))
        yield c2s.until(lambda: c2s.confirmed)
        self.assertEqual(c2s.confirmed, [make_uid(c2s.stream, 2)])
        self.assertNotIn(('down', 'sm-1', 'sm-1'), c2s.news)
        self.assertNotIn(('down', 'c2s-1', 'c2s-1'), sm.news)

    @inlineCallbacks
    def test_a_router_that_is_back_is_linked_and_told_what_is_served(self):
        self.router('r1')
        c2s, sm = yield self.pair()
        port = yield self.kill('r1')
        yield c2s.heard('link down', 'r1')
        self.assertIsNone(c2s.links.pick('juliet@example.net'))
        self.assertEqual(c2s.links.instances(DOMAIN), {'sm-1': sm.links.incarnation})
        c2s.news.clear()
        sm.news.clear()
        self.router('r1', port)
        yield c2s.heard('link up', 'r1')
        yield sm.heard('link up', 'r1')

        @inlineCallbacks
        def until_confirmed():
            for number in range(1, 100):
                c2s.links.pick('x').route(self.frame(c2s, number))
                yield c2s.until(lambda number=number: len(c2s.bounces) + len(c2s.confirmed) >= number)
                if c2s.confirmed:
                    return
                yield sm.until(lambda: True)

        yield until_confirmed()
        self.assertTrue(c2s.confirmed)
        self.assertEqual([news for news in c2s.news + sm.news if news[0] in ('up', 'down')], [], 'nobody was away')

    @inlineCallbacks
    def test_who_does_not_come_back_to_a_restarted_router_is_gone_after_the_grace(self):
        self.router('r1')
        c2s, sm = yield self.pair()
        port = yield self.kill('r1')
        yield c2s.heard('link down', 'r1')
        yield ensureDeferred(sm.links.stop())
        self.router('r1', port)
        yield c2s.heard('link up', 'r1')
        self.assertNotIn(('down', 'sm-1', 'sm-1'), c2s.news)
        yield c2s.heard('down', 'sm-1', 'sm-1')
        yield c2s.heard('down', DOMAIN, 'sm-1')
        self.assertEqual(c2s.links.instances('sm-1'), {})

    @inlineCallbacks
    def test_a_new_start_of_a_node_is_down_for_the_old_and_up_for_the_new(self):
        self.router('r1')
        c2s, sm = yield self.pair()
        c2s.news.clear()
        again = self.pool('sm-1')
        yield c2s.until(lambda: c2s.links.instances('sm-1') == {'sm-1': again.links.incarnation})
        mine = [news for news in c2s.news if news[1:] == ('sm-1', 'sm-1')]
        self.assertEqual(mine[:2], [('down', 'sm-1', 'sm-1'), ('up', 'sm-1', 'sm-1')])
        yield sm.heard('link down', 'r1')
        yield ensureDeferred(sm.links.stop())

    @inlineCallbacks
    def test_all_pools_pick_the_same_link_for_a_key_and_spread_keys_over_links(self):
        for name in ('r1', 'r2', 'r3'):
            self.router(name)
        c2s, sm = yield self.pair()
        keys = [f'user{number}@example.net' for number in range(300)]
        picks = [c2s.links.pick(key).name for key in keys]
        self.assertEqual(picks, [sm.links.pick(key).name for key in keys])
        self.assertEqual(picks, [rendezvous(key, ['r1', 'r2', 'r3']) for key in keys])
        self.assertTrue(all(60 < picks.count(name) < 140 for name in self.servers))
        avoided = [c2s.links.pick(key, c2s.links.pick(key)).name for key in keys]
        self.assertTrue(all(one != other for one, other in zip(picks, avoided, strict=True)))

    @inlineCallbacks
    def test_addresses_can_be_replaced_while_running(self):
        self.router('r1')
        c2s, sm = yield self.pair()
        self.router('r2')
        old, new = self.options.routers
        c2s.links.set_addresses([old, new])
        yield c2s.heard('link up', 'r2')
        self.assertNotIn(('link down', 'r1'), c2s.news, 'a link that stays is left alone')
        self.assertRaises(ConfigError, c2s.links.set_addresses, ['nonsense'])
        self.assertRaises(ConfigError, c2s.links.set_addresses, ['192.0.2.1:5347'])
        self.assertEqual(len(c2s.links.links), 2)
        c2s.links.set_addresses([new])
        yield c2s.heard('link down', 'r1')
        self.assertEqual([link.name for link in c2s.links.links], ['r2'])

    @inlineCallbacks
    def test_one_router_by_two_addresses_gets_one_link(self):
        server = self.router('r1')
        self.options.routers.append(f'localhost:{server.listener.getHost().port}')
        c2s = self.pool('c2s-1')
        yield c2s.heard('link up', 'r1')
        yield self.spin(lambda: self.metrics.value('jabberd_link_events', 'refused'))
        self.assertEqual([link.name for link in c2s.links.links], ['r1'])
        self.assertNotIn(('link down', 'r1'), c2s.news)

    @inlineCallbacks
    def test_drain_reaches_the_others_once_and_a_draining_router_gets_no_new_work(self):
        self.router('r1')
        self.router('r2')
        c2s, sm = yield self.pair()
        sm.links.drain()
        yield c2s.heard('drain', 'sm-1')
        late = self.pool('c2s-2')
        yield late.heard('drain', 'sm-1')
        self.assertEqual(c2s.news.count(('drain', 'sm-1')), 1)
        generation = c2s.links.generation
        self.servers['r1'].switch.leave()
        yield self.spin(lambda: c2s.links.generation != generation)
        self.assertEqual({c2s.links.pick(f'u{number}').name for number in range(50)}, {'r2'})
        self.assertEqual(len(c2s.links.links), 2)
        yield self.kill('r2')
        yield c2s.heard('link down', 'r2')
        self.assertEqual(c2s.links.pick('u').name, 'r1', 'better than none')

    @inlineCallbacks
    def test_a_wrong_secret_is_logged_once_and_links_nothing(self):
        self.router('r1')
        events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        c2s = self.pool('c2s-1', secret='another secret altogether')
        yield self.spin(lambda: c2s.links.counts.refused >= 3)
        told = [event for event in events if event.get('condition') == 'not-authorized']
        self.assertEqual(len(told), 1)
        self.assertEqual(c2s.news, [])
        self.assertNotIn('another secret', repr(events))

    @inlineCallbacks
    def test_a_router_that_is_down_is_told_of_once_and_once_when_it_is_back(self):
        """However often it was tried meanwhile, and without a traceback."""
        self.router('r1')
        c2s = self.pool('c2s-1')
        yield c2s.heard('link up', 'r1')
        events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        port = yield self.kill('r1')
        yield self.spin(lambda: c2s.links.counts.refused >= 4)
        self.router('r1', port)
        yield self.spin(lambda: c2s.links.links)
        told = [
            str(event['log_format']).format(**event)
            for event in events
            if event.get('log_namespace', '').startswith(
                ('jabberd_tx.link.pool', 'jabberd_tx.link.known_router', 'twisted.application')
            )
        ]
        down, up = told
        self.assertIn(f'link of c2s-1 to 127.0.0.1:{port}: closed: ', down)
        self.assertEqual(up, 'link of c2s-1 to r1 is up')
        self.assertEqual([event for event in events if 'log_failure' in event], [])

    @inlineCallbacks
    def test_a_payload_that_is_no_stanza_harms_nobody_and_is_not_repeated(self):
        self.router('r1')
        c2s, sm = yield self.pair()
        link = c2s.links.pick('juliet@example.net')
        link.route(self.frame(c2s, 1)._replace(payload=b'\xffno stanza'))
        link.fanout(Fanout('sm-1', 'c2s-1', make_uid(c2s.stream, 2), [(b's' * 16, '')], b''))
        link.route(self.frame(c2s, 3))
        yield c2s.until(lambda: len(c2s.confirmed) == 3)
        self.assertEqual([frame.uid for frame in sm.frames], [make_uid(c2s.stream, 3)])
        self.assertEqual(sm.links.links[0].dropped, 2)
        self.assertTrue(link.up)

    @inlineCallbacks
    def test_a_component_that_fails_keeps_its_links(self):
        self.router('r1')
        c2s, sm = yield self.pair()

        def fail(frame: Any, link: Any) -> None:
            raise ValueError('a mistake')

        sm.confirms = False
        original = type(sm).on_route
        type(sm).on_route = lambda self, frame, link: fail(frame, link) if self is sm else original(self, frame, link)
        self.addCleanup(setattr, type(sm), 'on_route', original)
        c2s.links.pick('x').route(self.frame(c2s, 1))
        c2s.links.pick('x').fanout(Fanout('sm-1', 'c2s-1', make_uid(c2s.stream, 2), [(b's' * 16, '')], CHAT))
        yield sm.until(lambda: sm.frames)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(len(sm.links.links), 1)

    @inlineCallbacks
    def test_a_congested_component_is_spared_and_served_again(self):
        self.router('r1')
        self.options.credit = 65536
        c2s, sm = yield self.pair()
        sm.full = True
        big = Stanza('message', {'to': 'juliet@example.net'}, b'x' * 10_000)
        link = c2s.links.pick('x')
        for number in range(1, 21):
            link.route(self.frame(c2s, number)._replace(payload=big))
        yield c2s.until(lambda: len(c2s.bounces) + len(c2s.confirmed) == 20)
        self.assertEqual({bounce.reason for bounce in c2s.bounces}, {BUSY})
        self.assertLess(len(sm.routes), 8)
        sm.full = False
        refused = [bounce.uid for bounce in c2s.bounces]
        seen = len(sm.routes)

        @inlineCallbacks
        def again():
            for _ in range(1000):
                c2s.frames.clear()
                number = int.from_bytes(refused[0][16:], 'big')
                link.route(self.frame(c2s, number)._replace(payload=big))
                yield c2s.until(lambda: c2s.frames)
                if c2s.confirmed:
                    return

        yield again()
        self.assertGreater(len(sm.routes), seen)

    @inlineCallbacks
    def test_a_fanout_is_split_below_half_the_frame_limit(self):
        self.router('r1')
        self.options.frame_limit = 65536
        c2s, sm = yield self.pair()
        targets = [(number.to_bytes(16, 'big'), f'user{number}@example.net/ä') for number in range(2000)]
        uid = make_uid(sm.stream, 1)
        sm.links.pick('x').fanout(Fanout('c2s-1', 'sm-1', uid, targets, CHAT))
        yield c2s.until(lambda: sum(len(frame.targets) for frame in c2s.frames) == 2000)
        self.assertGreater(len(c2s.frames), 2)
        self.assertEqual([target for frame in c2s.frames for target in frame.targets], targets)
        self.assertEqual({frame.uid for frame in c2s.frames}, {uid})
        self.assertTrue(sm.links.links)

    @inlineCallbacks
    def test_what_no_link_may_carry_is_refused_to_the_caller(self):
        self.router('r1')
        self.options.frame_limit = 65536
        c2s, _ = yield self.pair()
        huge = Stanza('message', {}, b'x' * 70_000)
        link = c2s.links.pick('x')
        self.assertRaises(ValueError, link.route, self.frame(c2s, 1)._replace(payload=huge))
        self.assertRaises(ValueError, link.fanout, Fanout('sm-1', 'c2s-1', bytes(24), [(b's' * 16, '')], huge))
        link.route(self.frame(c2s, 2))
        yield c2s.until(lambda: c2s.confirmed)

    @inlineCallbacks
    def test_stop_sends_what_was_written_and_calls_nobody(self):
        self.router('r1')
        c2s, sm = yield self.pair()
        for number in range(1, 101):
            c2s.links.pick('x').route(self.frame(c2s, number))
        c2s.links.confirm('sm-1', make_uid(sm.stream, 5))
        c2s.calls.clear()
        yield ensureDeferred(c2s.links.stop())
        yield sm.until(lambda: len(sm.routes) == 100 and sm.confirmed)
        self.assertEqual(sm.confirmed, [make_uid(sm.stream, 5)])
        self.assertEqual(c2s.calls, [])
        self.assertEqual(c2s.links.links, [])

    @inlineCallbacks
    def test_an_unbound_name_is_served_no_more(self):
        self.router('r1')
        c2s, sm = yield self.pair()
        sm.links.unbind(DOMAIN)
        yield c2s.heard('down', DOMAIN, 'sm-1')
        c2s.send(DOMAIN, 'juliet@example.net', CHAT)
        yield c2s.until(lambda: c2s.bounces)
        self.assertEqual(c2s.bounces[0].reason, NO_LINK)

    @inlineCallbacks
    def test_what_is_confirmed_is_known_before_the_name_is_seen_to_go(self):
        """Or it would be repeated to the next instance."""
        self.router('r1')
        c2s, sm = yield self.pair()
        uid = c2s.send(DOMAIN, 'juliet@example.net', CHAT)
        yield sm.until(lambda: sm.routes)
        sm.links.unbind(DOMAIN)
        yield c2s.heard('down', DOMAIN, 'sm-1')
        self.assertEqual(c2s.confirmed, [uid])

    @inlineCallbacks
    def test_a_refused_name_is_logged(self):
        self.router('r1')
        events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        c2s, sm = yield self.pair()
        c2s.links.bind('sm-1')
        yield self.spin(lambda: [event for event in events if event.get('outcome') == 'conflict'])

    @inlineCallbacks
    def test_a_router_that_takes_connections_and_says_nothing_holds_up_nobody(self):
        silent = socket.socket()
        silent.bind(('127.0.0.1', 0))
        silent.listen(5)
        self.addCleanup(silent.close)
        self.patch(connection, 'CLOSE_TIMEOUT', 0.05)
        self.options.routers.append(f'127.0.0.1:{silent.getsockname()[1]}')
        self.options.handshake_timeout = 0.1
        self.router('r1')
        c2s = self.pool('c2s-1')
        yield c2s.heard('link up', 'r1')
        yield self.spin(lambda: c2s.links.counts.refused >= 2)
        self.assertEqual([link.name for link in c2s.links.links], ['r1'])

    @inlineCallbacks
    def test_stopping_twice_is_stopping_once(self):
        self.router('r1')
        c2s, _ = yield self.pair()
        first = ensureDeferred(c2s.links.stop())
        first.addCallback(lambda _: ensureDeferred(c2s.links.stop()))
        yield DeferredList([first, ensureDeferred(c2s.links.stop())], fireOnOneErrback=True)

    def test_a_pool_does_not_start_without_a_secret_or_with_a_bad_address(self):
        options = OPTIONS.defaults()
        self.assertRaisesRegex(ConfigError, r'^link\.secret: ', Pool, 'sm-1', options, reactor, self.turn)
        options.secret = SECRET
        options.routers = ['nonsense']
        self.assertRaisesRegex(ConfigError, r'^link\.routers: ', Pool, 'sm-1', options, reactor, self.turn)
