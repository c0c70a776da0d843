"""The policy `least-busy`: who has fewer frames to confirm gets the next one."""

from __future__ import annotations

from collections import Counter

import pytest
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from jabberd_tx.link.frames import RETURNED, Route, make_uid
from jabberd_tx.routing import watched
from jabberd_tx.routing.policies import POLICIES, IWatchingChooser, Settings, least_busy
from jabberd_tx.routing.policies.least_busy import FORGOTTEN
from jabberd_tx.routing.watched import WatchedFrames
from jabberd_tx.testing.network import Network, Recorder
from jabberd_tx.xmpp.stanza import Stanza


def frame(number: int, flags: int = 0) -> Route:
    return Route('bot.example', None, 'c2s-1', 0, make_uid(b's' * 16, number), 4, flags, Stanza('message', {}))


class Watch:
    """A chooser, and what it watches."""

    def __init__(self, **weights: float) -> None:
        self.clock, self.watched, self.number = Clock(), WatchedFrames(), 0
        self.chooser = POLICIES['least-busy'].chooser(
            Settings('bot.example', False, (), self.clock, self.watched.watch)
        )
        for node, weight in weights.items():
            self.chooser.join(node, weight)

    def pick(self, count: int = 1) -> Counter[str | None]:
        picked = [self.chooser.pick(frame(self.number + n)) for n in range(count)]
        self.number += count
        return Counter(picked)


def test_it_keeps_to_the_interface() -> None:
    verifyObject(IWatchingChooser, Watch().chooser)


def test_what_nobody_confirms_is_shared_out_evenly_and_by_weight() -> None:
    assert Watch(n1=1, n2=1, n3=1).pick(30) == {'n1': 10, 'n2': 10, 'n3': 10}
    assert Watch(n1=1, n2=2).pick(30) == {'n1': 10, 'n2': 20}


def test_a_chooser_alone_knows_what_is_settled_by_uid() -> None:
    watch = Watch(n1=1, n2=1)
    watch.pick(10)
    for n in range(10):
        watch.chooser.settled('n1', frame(n).uid)  # type: ignore[attr-defined]
    assert watch.pick(10) == {'n1': 5, 'n2': 5}


def test_who_leaves_gets_nothing_more_and_begins_anew_when_it_is_back() -> None:
    watch = Watch(n1=1, n2=1)
    watch.pick(20)
    watch.chooser.leave('n1')
    assert watch.pick(5) == {'n2': 5}
    watch.chooser.join('n1', 1.0)
    assert watch.pick(15) == {'n1': 15}, 'it has 15 less to do'


def test_frames_that_were_never_heard_of_again_are_forgotten_in_time() -> None:
    """Their confirmations have taken another router."""
    watch = Watch(n1=1, n2=1)
    watch.chooser.leave('n2')
    watch.pick(50)
    watch.chooser.join('n2', 1.0)
    watch.clock.advance(FORGOTTEN + 1)
    assert watch.pick(10) == {'n1': 5, 'n2': 5}


def test_no_more_is_remembered_than_the_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(least_busy, 'MOST', 10)
    monkeypatch.setattr(watched, 'MOST', 15)
    watch = Watch(n1=1, n2=1)
    watch.pick(100)
    assert len(watch.watched.frames) == 15
    assert [len(one.out) for one in watch.chooser._order] == [10, 10]  # type: ignore[attr-defined]


# ---- in a router


@pytest.fixture(params=[False, True], ids=['as they are', 'encoded'])
def network(request: pytest.FixtureRequest) -> Network:
    return Network(coded=request.param)


def instance(network: Network, node: str, confirms: bool, window: int = 1 << 24) -> Recorder:
    recorder = Recorder(network.links(node, window), confirms)
    recorder.links.bind('bot.example', 'least-busy')
    network.settle()
    return recorder


def test_a_slow_instance_gets_less_than_a_quick_one(network: Network) -> None:
    """All but as many as it holds go to the one that confirms at once; when it has confirmed too, it gets its share."""
    slow, quick = instance(network, 'slow', False), instance(network, 'quick', True)
    sender = Recorder(network.links('c2s-1'))
    for _ in range(40):
        sender.send('bot.example', None, Stanza('message', {}))
        network.settle()
    assert (len(slow.routes), len(quick.routes)) == (1, 39)
    slow.links.confirm('c2s-1', slow.routes[0].uid)
    slow.confirms = True
    network.settle()
    assert not network.router._watching
    for _ in range(20):
        sender.send('bot.example', None, Stanza('message', {}))
        network.settle()
    assert len(slow.routes) == 11


def test_a_frame_that_an_instance_sends_back_counts_no_more(network: Network) -> None:
    one, two = instance(network, 'n1', False), instance(network, 'n2', False)
    sender = Recorder(network.links('c2s-1'))
    for _ in range(4):
        sender.send('bot.example', None, Stanza('message', {}))
    network.settle()
    for route in one.routes:
        one.links.bounce(route, 'busy')
    network.settle()
    assert [len(one.routes), len(two.routes), len(network.router._watching)] == [2, 2, 2]
    for _ in range(2):
        sender.send('bot.example', None, Stanza('message', {}))
    network.settle()
    assert [len(one.routes), len(two.routes)] == [4, 2]


def test_what_the_router_could_not_hand_on_counts_no_more(network: Network) -> None:
    full = instance(network, 'n1', False, window=1024)
    full.full = True
    instance(network, 'n2', False, window=1024).full = True
    sender = Recorder(network.links('c2s-1'))
    for _ in range(30):
        sender.send('bot.example', None, Stanza('message', {}, b'x' * 1500))
    network.settle()
    assert len(sender.bounces) == 28
    assert len(network.router._watching) == 2


def test_one_that_was_given_back_is_known_by_what_confirms_it(network: Network) -> None:
    """A RETURNED frame has another uid in its CONFIRM."""
    for node in ('n1', 'n2'):
        instance(network, node, False)
    taker = instance(network, 'n3', False)
    sender = Recorder(network.links('c2s-1'))
    for _ in range(3):
        sender.send('bot.example', None, Stanza('message', {}), flags=RETURNED)
    network.settle()
    route = taker.routes[0]
    taker.links.confirm('c2s-1', route.uid)
    network.settle()
    assert len(network.router._watching) == 3
    taker.links.confirm('c2s-1', route.uid[:16] + bytes((route.uid[16] | 0x80,)) + route.uid[17:])
    network.settle()
    assert len(network.router._watching) == 2
