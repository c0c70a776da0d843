"""The in-process link: what a component sees, with frames as they are and through real encoding alike."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cbor2 import dumps
from twisted.logger import LogPublisher, globalLogPublisher

from jabberd_tx.link import local
from jabberd_tx.link.frames import BUSY, NO_SESSION, Bounce, Confirm, Fanout, Route, Working, make_uid
from jabberd_tx.link.interfaces import Link
from jabberd_tx.testing.network import Network, Recorder
from jabberd_tx.xmpp.stanza import Stanza

CHAT = Stanza.build('message', {'to': 'juliet@example.net'}, ('jabber:client', 'body', b'<body>hi</body>'))


@pytest.fixture(params=[False, True], ids=['as they are', 'encoded'])
def network(request: pytest.FixtureRequest) -> Network:
    return Network(coded=request.param)


@pytest.fixture
def logged() -> object:
    """The events that are logged during a test."""
    events: list[dict] = []  # type: ignore[type-arg]
    publisher: LogPublisher = globalLogPublisher
    publisher.addObserver(events.append)
    yield events
    publisher.removeObserver(events.append)


def pair(network: Network, confirms: bool = True) -> tuple[Recorder, Recorder]:
    one, other = Recorder(network.links('c2s-1')), Recorder(network.links('sm-1'), confirms)
    network.settle()
    return one, other


def numbered(n: int) -> Stanza:
    return Stanza('message', {'id': str(n)})


def test_a_stanza_arrives_whole_and_its_confirmation_comes_back(network: Network) -> None:
    c2s, sm = pair(network)
    uid = c2s.send('sm-1', None, CHAT)
    network.settle()
    (frame,) = sm.routes
    assert frame == Route('sm-1', None, 'c2s-1', 0, uid, 4, 0, CHAT)
    assert frame.payload.children == CHAT.children
    assert c2s.frames == [Confirm('c2s-1', 'sm-1', [uid], [])]


def test_without_encoding_the_very_same_stanza_arrives() -> None:
    network = Network()
    c2s, sm = pair(network)
    c2s.send('sm-1', None, CHAT)
    network.settle()
    assert sm.stanzas[0] is CHAT


def test_nothing_is_delivered_before_the_end_of_the_turn(network: Network) -> None:
    c2s, sm = pair(network)
    c2s.send('sm-1', None, CHAT)
    assert sm.frames == []
    network.turn_once()
    assert sm.stanzas == [CHAT]


def test_a_component_is_never_called_from_within_its_own_call(network: Network) -> None:
    """It answers itself, and is called again only after it has returned."""
    depth, deepest, calls = 0, 0, 0

    class Talker(Recorder):
        def on_route(self, frame: Route, link: Link) -> None:
            nonlocal depth, deepest, calls
            depth, calls = depth + 1, calls + 1
            deepest = max(depth, deepest)
            if calls < 50:
                self.send('talker', None, CHAT)
                self.send('nobody', None, CHAT)
            depth -= 1

        def on_bounce(self, frame: Bounce, link: Link) -> None:
            assert depth == 0

    talker = Talker(network.links('talker'))
    talker.send('talker', None, CHAT)
    network.settle()
    assert (calls, deepest) == (50, 1)


def test_frames_arrive_in_the_order_in_which_they_were_sent(network: Network) -> None:
    """Whatever they are, and over several turns: an inbox gives out only so many a turn."""
    c2s, sm = pair(network, confirms=False)
    count = local.MOST_FRAMES * 2 + 10
    for n in range(count):
        if n % 100 == 99:
            sm_frame = Working('sm-1', 'c2s-1', [make_uid(c2s.stream, n)])
            network.switch.pass_on(c2s.links, sm_frame, None)
        else:
            c2s.send('sm-1', None, numbered(n))
    assert network.turn_once()
    assert len(sm.frames) == local.MOST_FRAMES
    c2s.send('sm-1', None, numbered(count))
    network.settle()
    numbers = [
        int(frame.payload.attrs['id']) if type(frame) is Route else int.from_bytes(frame.uids[0][16:], 'big')
        for frame in sm.frames
    ]
    assert numbers == list(range(count + 1))


def test_confirms_are_gathered_over_the_turn(network: Network) -> None:
    c2s, sm = pair(network)
    uids = [c2s.send('sm-1', None, numbered(n)) for n in range(20)]
    network.settle()
    assert [frame.uids for frame in c2s.frames] == [uids]


def test_a_very_long_confirm_is_split_and_what_failed_comes_before_its_uid(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, 'MOST_CONFIRMS', 10)
    c2s, sm = pair(network)
    uids = [make_uid(c2s.stream, n) for n in range(25)]
    sessions = [bytes([n]) * 16 for n in range(12)]
    for uid in uids[:-1]:
        sm.links.confirm('c2s-1', uid)
    sm.links.failed('c2s-1', uids[-1], sessions)
    network.settle()
    confirms = [frame for frame in c2s.frames if type(frame) is Confirm]
    assert max(len(frame.uids) + len(frame.failed) for frame in confirms) == 10
    assert c2s.confirmed == uids
    failed = [tuple(pair) for frame in confirms for pair in frame.failed]
    assert failed == [(uids[-1], session) for session in sessions]
    last = max(n for n, frame in enumerate(confirms) if frame.failed)
    assert all(uids[-1] not in frame.uids for frame in confirms[: last + 1])


def test_a_fan_out_arrives_once_with_all_its_targets_and_failures_come_back(network: Network) -> None:
    sm, c2s = Recorder(network.links('sm-1')), Recorder(network.links('c2s-1'), confirms=False)
    network.settle()
    targets = [(bytes([n]) * 16, f'user{n}@example.net/x') for n in range(3)]
    fanout = Fanout('c2s-1', 'sm-1', make_uid(sm.stream, 1), targets, CHAT)
    link = sm.links.pick('romeo@example.net')
    assert link is not None
    link.fanout(fanout)
    network.settle()
    (frame,) = c2s.frames
    assert type(frame) is Fanout
    assert [tuple(target) for target in frame.targets] == targets
    assert frame.payload == CHAT
    c2s.links.failed('sm-1', frame.uid, [targets[1][0]], link)
    network.settle()
    (confirm,) = sm.frames
    assert type(confirm) is Confirm
    assert confirm.uids == [fanout.uid]
    assert [tuple(failed) for failed in confirm.failed] == [(fanout.uid, targets[1][0])]


def test_a_component_bounces_a_frame_to_its_source(network: Network) -> None:
    c2s, sm = pair(network, confirms=False)
    uid = c2s.send('sm-1', b's' * 16, CHAT)
    network.settle()
    sm.links.bounce(sm.routes[0], NO_SESSION, 'why')
    network.settle()
    assert c2s.frames == [Bounce('c2s-1', 'sm-1', NO_SESSION, 'sm-1', b's' * 16, 0, uid, 'why')]


def test_working_reaches_the_node(network: Network) -> None:
    c2s, sm = pair(network)
    sm.links.working('c2s-1', [make_uid(c2s.stream, 1)])
    network.settle()
    assert c2s.frames == [Working('c2s-1', 'sm-1', [make_uid(c2s.stream, 1)])]


def test_an_inbox_that_is_full_bounces_busy_and_takes_more_once_it_was_emptied(network: Network) -> None:
    sm = Recorder(network.links('sm-1', window=3_584))
    c2s = Recorder(network.links('c2s-1'))
    network.settle()
    big = Stanza('message', {}, b'x' * 900)
    uids = [c2s.send('sm-1', None, big) for _ in range(6)]
    network.settle()
    assert len(sm.routes) == 4, 'up to the first that crosses the bound'
    assert [(bounce.reason, bounce.uid) for bounce in c2s.bounces] == [(BUSY, uid) for uid in uids[4:]]
    c2s.send('sm-1', None, Stanza('iq', {}))
    network.settle()
    assert len(sm.routes) == 4, 'nothing overtakes what was bounced'
    network.advance(3)
    for _ in range(3):
        c2s.send('sm-1', None, big)
    network.settle()
    assert len(sm.routes) == 7


def test_a_congested_component_gets_no_more_credit_until_it_is_not(network: Network) -> None:
    c2s, sm = Recorder(network.links('c2s-1')), Recorder(network.links('sm-1', window=2_500))
    network.settle()
    sm.full = True
    for _ in range(3):
        c2s.send('sm-1', None, Stanza('message', {}, b'x' * 900))
    network.settle()
    assert len(sm.routes) == 3
    network.advance(1)
    c2s.send('sm-1', None, Stanza('message', {}))
    sm.send('c2s-1', None, CHAT)
    network.settle()
    assert len(network.clock.getDelayedCalls()) == 1, 'it is asked again from time to time, by one clock'
    assert [bounce.reason for bounce in c2s.bounces] == [BUSY]
    sm.full = False
    network.advance(3)
    c2s.send('sm-1', None, Stanza('message', {}))
    network.settle()
    assert len(sm.routes) == 4
    sm.links.stop()
    network.settle()
    assert not network.clock.getDelayedCalls()


def test_confirms_get_through_to_a_component_that_has_no_credit_left(network: Network) -> None:
    c2s, sm = Recorder(network.links('c2s-1', window=1)), Recorder(network.links('sm-1'))
    c2s.full = True
    network.settle()
    sm.send('c2s-1', None, CHAT)
    sm.send('c2s-1', None, CHAT)
    uid = c2s.send('sm-1', None, CHAT)
    network.settle()
    assert len(sm.bounces) == 1
    assert c2s.confirmed == [uid]


def test_credit_does_not_drift_over_many_frames(network: Network) -> None:
    """What a frame takes is what is granted again, so that a window lasts for ever."""
    c2s, sm = Recorder(network.links('c2s-1')), Recorder(network.links('sm-1', window=20_000))
    network.settle()
    before = network.router._nodes['sm-1'].credit
    for n in range(200):
        c2s.send('sm-1', None, Stanza('message', {'id': str(n)}, b'x' * (n * 7 % 900)))
        c2s.links.pick('').fanout(Fanout('sm-1', 'c2s-1', make_uid(c2s.stream, n), [(b's' * 16, 'a@b')] * 9, CHAT))
        network.settle()
    assert len(sm.frames) == 400
    assert before - network.router._nodes['sm-1'].credit < 20_000 / 4, 'less than is granted at once'


@pytest.mark.parametrize(
    'rubbish',
    [b'', b'\xff', dumps('text'), dumps(['message', {}]), dumps(['message', [], b'', []]), dumps([1, {}, b'', []])],
)
def test_bytes_that_are_no_stanza_are_dropped_counted_and_confirmed(network: Network, rubbish: bytes) -> None:
    c2s, sm = pair(network)
    bad = c2s.send('sm-1', None, rubbish)
    link = c2s.links.pick('')
    assert link is not None
    worse = make_uid(c2s.stream, 2)
    link.fanout(Fanout('sm-1', 'c2s-1', worse, [(b's' * 16, '')], rubbish))
    good = c2s.send('sm-1', None, CHAT)
    network.settle()
    assert sm.stanzas == [CHAT]
    assert sm.links.dropped == 2
    assert c2s.confirmed == [bad, worse, good]


def test_a_call_that_fails_is_logged_and_harms_no_other(network: Network, logged: list[dict]) -> None:  # type: ignore[type-arg]
    class Clumsy(Recorder):
        def on_route(self, frame: Route, link: Link) -> None:
            super().on_route(frame, link)
            if len(self.frames) == 2:
                raise RuntimeError('clumsy')

        def on_link_up(self, link: Link) -> None:
            raise RuntimeError('clumsy')

    sm, c2s = Clumsy(network.links('sm-1')), Recorder(network.links('c2s-1'))
    network.settle()
    for n in range(4):
        c2s.send('sm-1', None, numbered(n))
        c2s.send('c2s-1', None, numbered(n))
    network.settle()
    assert len(sm.frames) == 4
    assert len(c2s.stanzas) == 4
    failures = [event for event in logged if 'log_failure' in event]
    assert [str(event['log_failure'].value) for event in failures] == ['clumsy'] * 2


def test_components_hear_who_is_there_and_who_comes_and_goes(network: Network) -> None:
    sm = Recorder(network.links('sm-1'))
    sm.links.bind('example.net', 'to')
    c2s = Recorder(network.links('c2s-1'))
    network.settle()
    assert c2s.news == [
        ('link up', 'router'),
        ('up', 'sm-1', 'sm-1'),
        ('up', 'example.net', 'sm-1'),
        ('up', 'c2s-1', 'c2s-1'),
    ]
    assert c2s.links.instances('example.net') == {'sm-1': sm.links.incarnation}
    assert sm.news[-1] == ('up', 'c2s-1', 'c2s-1')
    sm.links.drain()
    sm.links.unbind('example.net')
    network.settle()
    assert c2s.links.instances('example.net') == {}
    sm.links.stop()
    network.settle()
    assert c2s.news[4:] == [('drain', 'sm-1'), ('down', 'example.net', 'sm-1'), ('down', 'sm-1', 'sm-1')]
    assert c2s.links.instances('sm-1') == {}


def test_names_that_were_bound_before_the_start_are_bound_then(network: Network) -> None:
    links = network.links('sm-1')
    links.bind('example.net')
    links.bind('example.org')
    links.unbind('example.org')
    sm = Recorder(links)
    network.settle()
    assert sm.links.instances('example.net') == {'sm-1': links.incarnation}
    assert sm.links.instances('example.org') == {}


def test_a_bind_that_is_refused_is_logged(network: Network, logged: list[dict]) -> None:  # type: ignore[type-arg]
    sm = Recorder(network.links('sm-1'))
    sm.links.bind('example.net', 'no-such-policy')
    assert [event['outcome'] for event in logged if 'outcome' in event] == ['not-supported']


def stops(links: local.LocalLinks) -> None:
    links.stop()


def is_ended(links: local.LocalLinks) -> None:
    links.end('conflict', 'another has come')


@pytest.mark.parametrize('leave', [stops, is_ended])
def test_a_link_that_is_gone_is_down_for_good(network: Network, leave: Callable[[local.LocalLinks], None]) -> None:
    c2s, sm = pair(network)
    link, generation = sm.links.pick('x'), sm.links.generation
    assert link is not None and link.up
    c2s.send('sm-1', None, CHAT)
    leave(sm.links)
    assert not link.up
    assert sm.links.pick('x') is None
    assert sm.links.instances('c2s-1') == {}
    assert sm.links.generation != generation
    assert ('link down', 'router') not in sm.news, 'not from within'
    link.route(Route('c2s-1', None, 'sm-1', 0, make_uid(sm.stream, 1), 4, 0, CHAT))
    link.fanout(Fanout('c2s-1', 'sm-1', make_uid(sm.stream, 2), [(b's' * 16, '')], CHAT))
    sm.links.working('c2s-1', [])
    sm.links.bounce(Route('sm-1', None, 'c2s-1', 0, make_uid(sm.stream, 1), 4, 0, CHAT), NO_SESSION)
    sm.links.confirm('c2s-1', make_uid(sm.stream, 1))
    sm.links.drain()
    sm.links.stop()
    network.settle()
    assert sm.news[-1] == ('link down', 'router')
    assert sm.frames == [], "what waited is its sender's to repeat"
    assert c2s.frames == []


def test_what_was_confirmed_before_a_stop_gets_out(network: Network) -> None:
    c2s, sm = pair(network)
    uid = c2s.send('sm-1', None, CHAT)
    sm.links.confirm('c2s-1', uid)
    sm.links.stop()
    network.settle()
    assert c2s.confirmed == [uid]


def test_a_component_that_stops_in_a_call_is_not_called_for_the_rest(network: Network) -> None:
    class Quitter(Recorder):
        def on_route(self, frame: Route, link: Link) -> None:
            super().on_route(frame, link)
            self.links.stop()

    sm, c2s = Quitter(network.links('sm-1')), Recorder(network.links('c2s-1'))
    network.settle()
    for n in range(3):
        c2s.send('sm-1', None, numbered(n))
    network.settle()
    assert len(sm.frames) == 1


def test_where_the_one_link_is_to_be_avoided_there_is_none(network: Network) -> None:
    c2s, _ = pair(network)
    link = c2s.links.pick('juliet@example.net')
    assert link is not None
    assert c2s.links.pick('juliet@example.net', avoid=link) is None


def test_links_can_be_started_again(network: Network) -> None:
    c2s, sm = pair(network)
    sm.links.bind('example.net')
    sm.links.stop()
    network.settle()
    sm.links.start()
    network.settle()
    c2s.send('example.net', 'juliet@example.net', CHAT)
    network.settle()
    assert sm.stanzas == [CHAT]
