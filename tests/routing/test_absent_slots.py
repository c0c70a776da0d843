"""Slots that are away, as a router treats them: wait, bounce, spill; and the order of what goes to them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.base.hashing import slot_among
from jabberd_tx.link.frames import ABSENT, BUSY, NO_LINK, Bounce, Confirm, Route
from jabberd_tx.link.interfaces import Link
from jabberd_tx.link.kept_frames import KeptFrames
from jabberd_tx.routing.options import BOUNCE, ROUTES, SPILL, WAIT
from jabberd_tx.routing.settling import MOMENT
from jabberd_tx.testing.checker import Checker
from jabberd_tx.testing.network import Network, Recorder
from jabberd_tx.xmpp.stanza import Stanza

GATEWAY = 'gw.example'
KEYS = [f'user{n}@example.net' for n in range(40)]
BY_SLOT = {slot: [key for key in KEYS if slot_among(key, 4) == slot] for slot in range(4)}


def network(absent: str, coded: bool = False, **values: object) -> Network:
    table = {**vars(ROUTES.defaults()), 'name': GATEWAY, 'policy': 'from', 'slots': 4, 'absent': absent, **values}
    return Network([SimpleNamespace(**table)], coded)


class Instance(Recorder):
    """One that says its slot."""

    def __init__(self, network: Network, slot: int, window: int = 1 << 24, confirms: bool = True) -> None:
        super().__init__(network.links(f'gw-{slot}', window), confirms)
        self.links.bind(GATEWAY, slot=slot)
        network.settle()

    @property
    def keys(self) -> list[str | bytes | None]:
        return [frame.key for frame in self.routes]

    @property
    def ids(self) -> list[int]:
        return [int(stanza.attrs['id']) for stanza in self.stanzas]


def say(sender: Recorder, *keys: str, start: int = 0) -> None:
    for n, key in enumerate(keys, start):
        sender.send(GATEWAY, key, Stanza('message', {'from': key, 'id': str(n)}))


@pytest.fixture(params=[False, True], ids=['as they are', 'encoded'])
def coded(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


# ---- wait


def test_what_is_for_an_absent_slot_waits_and_goes_first_when_it_is_back(coded: bool) -> None:
    net = network(WAIT, coded)
    others = [Instance(net, slot) for slot in (0, 2, 3)]
    sender = Recorder(net.links('c2s-1'))
    say(sender, *BY_SLOT[1], *BY_SLOT[2])
    net.advance(20)
    assert sum(len(other.keys) for other in others) == len(BY_SLOT[2])
    assert not sender.bounces
    assert net.router._names.held == len(BY_SLOT[1])
    one = Instance(net, 1)
    say(sender, *BY_SLOT[1], start=100)
    net.settle()
    assert one.keys == BY_SLOT[1] * 2
    assert one.ids == sorted(one.ids)
    assert net.router._names.held == 0


def test_a_slot_that_is_away_for_longer_than_its_grace_has_its_frames_bounced(coded: bool) -> None:
    net = network(WAIT, coded, grace=5.0)
    Instance(net, 0)
    one = Instance(net, 1)
    sender = Recorder(net.links('c2s-1'))
    one.links.stop()
    net.advance(3)
    say(sender, *BY_SLOT[1])
    net.advance(1.9)
    assert not sender.bounces
    net.advance(0.2)
    assert [bounce.uid for bounce in sender.bounces] == [
        sender.stream + n.to_bytes(8, 'big') for n in range(1, len(BY_SLOT[1]) + 1)
    ]
    assert {(bounce.reason, bounce.detail) for bounce in sender.bounces} == {(NO_LINK, ABSENT)}
    say(sender, BY_SLOT[1][0])
    net.settle()
    assert len(sender.bounces) == len(BY_SLOT[1]) + 1, 'at once, from then on'
    one = Instance(net, 1)
    say(sender, BY_SLOT[1][0])
    net.settle()
    assert len(one.keys) == 1, 'until it is back; and what was bounced for good holds nothing up'


def test_more_than_may_wait_is_busy_and_arrives_in_order_all_the_same(coded: bool) -> None:
    net = network(WAIT, coded, hold=3)
    Instance(net, 0)
    sender = Keeper(net)
    sender.say(BY_SLOT[1][0], 10)
    net.advance(1)
    assert net.router._names.held == 3
    assert {bounce.reason for bounce in sender.bounces} == {BUSY}
    one = Instance(net, 1)
    net.advance(10)
    assert distinct(one.ids) == list(range(10)) and not sender.kept


def test_while_nobody_serves_the_name_its_senders_know_that_it_will_be_served() -> None:
    net = network(WAIT)
    sender = Recorder(net.links('c2s-1'))
    net.settle()
    assert list(sender.links.instances(GATEWAY)) == ['router']
    say(sender, *KEYS)
    instances = [Instance(net, slot) for slot in range(4)]
    assert [one.keys for one in instances] == [BY_SLOT[slot] for slot in range(4)]
    for one in instances:
        one.links.stop()
    net.settle()
    assert list(sender.links.instances(GATEWAY)) == ['router']


@pytest.mark.parametrize('absent', [BOUNCE, SPILL])
def test_without_that_a_name_that_nobody_serves_is_not_there(absent: str) -> None:
    net = network(absent)
    sender = Recorder(net.links('c2s-1'))
    say(sender, KEYS[0])
    net.settle()
    assert sender.links.instances(GATEWAY) == {}
    assert [(bounce.reason, bounce.detail) for bounce in sender.bounces] == [(NO_LINK, '')]


def test_what_an_instance_asks_for_later_moves_what_waits_to_its_slots() -> None:
    """The configuration leaves the policy to the instances, and frames wait before there is one."""
    net = network(WAIT, policy='', key='')
    sender = Recorder(net.links('c2s-1'))
    for n, key in enumerate(KEYS):
        stanza = Stanza('message', {'from': key + '/r', 'to': 'legacy@gw.example', 'id': str(n)})
        sender.send(GATEWAY, None, stanza)
    net.settle()
    instances = []
    for slot in range(4):
        one = Recorder(net.links(f'gw-{slot}'))
        one.links.bind(GATEWAY, 'from', slot=slot)
        net.settle()
        instances.append(one)
    assert [[stanza.attrs['from'] for stanza in one.stanzas] for one in instances] == [
        [key + '/r' for key in BY_SLOT[slot]] for slot in range(4)
    ]


def test_a_frame_without_a_key_waits_for_anybody() -> None:
    net = network(WAIT)
    sender = Recorder(net.links('c2s-1'))
    sender.send(GATEWAY, None, Stanza('iq', {'from': 'example.net', 'id': '7'}))
    net.settle()
    assert not sender.bounces
    assert Instance(net, 2).ids == [7]


def test_what_a_sender_sends_before_it_has_heard_of_the_loss_does_not_overtake_what_it_repeats(coded: bool) -> None:
    net = network(WAIT, coded)
    one = Instance(net, 1, confirms=False)
    sender = Keeper(net)
    sender.say(BY_SLOT[1][0], 3)
    net.settle()
    one.links.stop()
    sender.say(BY_SLOT[1][0], 2)
    net.settle()
    assert net.router._names.held == 5
    successor = Instance(net, 1)
    net.advance(MOMENT)
    assert successor.ids == [0, 1, 2, 3, 4]


def test_a_successor_that_is_quicker_than_the_news_gets_nothing_before_what_is_repeated(coded: bool) -> None:
    net = network(WAIT, coded)
    one, sender = Instance(net, 1, confirms=False), Keeper(net)
    sender.say(BY_SLOT[1][0], 3)
    net.settle()
    one.links.stop()
    sender.say(BY_SLOT[1][0], 2)
    successor = Recorder(net.links('gw-new'))
    successor.links.bind(GATEWAY, slot=1)
    sender.say(BY_SLOT[1][0], 2)
    net.advance(MOMENT)
    assert distinct([int(stanza.attrs['id']) for stanza in successor.stanzas]) == [0, 1, 2, 3, 4, 5, 6]
    sender.say(BY_SLOT[1][0], 1)
    net.settle()
    assert int(successor.stanzas[-1].attrs['id']) == 7 and not sender.kept


def test_the_frames_of_a_sender_that_is_gone_are_not_handed_over() -> None:
    """It repeats them over another router."""
    net = network(WAIT)
    sender, other = Recorder(net.links('c2s-1')), Recorder(net.links('c2s-2'))
    say(sender, BY_SLOT[1][0])
    say(other, BY_SLOT[1][1])
    net.settle()
    sender.links.stop()
    assert Instance(net, 1).keys == [BY_SLOT[1][1]]


def test_one_that_drains_gets_nothing_new_and_its_successor_gets_it() -> None:
    net = network(WAIT)
    one = Instance(net, 1)
    sender = Recorder(net.links('c2s-1'))
    one.links.drain()
    say(sender, BY_SLOT[1][0])
    net.settle()
    assert one.keys == [] and net.router._names.held == 1
    one.links.stop()
    assert Instance(net, 1).keys == [BY_SLOT[1][0]]


def test_slots_that_only_the_instances_ask_for_wait_while_one_of_them_is_there() -> None:
    net = Network()
    instances = []
    for slot in (0, 1):
        one = Recorder(net.links(f'gw-{slot}'))
        one.links.bind(GATEWAY, 'from', slots=2, slot=slot)
        net.settle()
        instances.append(one)
    sender = Recorder(net.links('c2s-1'))
    instances[1].links.stop()
    say(sender, *KEYS)
    net.settle()
    lost = [key for key in KEYS if slot_among(key, 2) == 1]
    assert net.router._names.held == len(lost) and not sender.bounces
    instances[0].links.stop()
    net.settle()
    assert len(sender.bounces) == len(lost), 'nobody serves it any more'
    assert GATEWAY not in net.router._names


# ---- bounce


def test_bounced_frames_hold_up_nobody_and_nothing_when_the_slot_is_back(coded: bool) -> None:
    net = network(BOUNCE, coded)
    instances = [Instance(net, slot) for slot in range(4)]
    sender = Recorder(net.links('c2s-1'))
    instances[1].links.stop()
    say(sender, *KEYS)
    net.settle()
    assert [bounce.key for bounce in sender.bounces] == BY_SLOT[1]
    assert {(bounce.reason, bounce.detail) for bounce in sender.bounces} == {(NO_LINK, ABSENT)}
    one = Instance(net, 1)
    say(sender, *KEYS)
    net.settle()
    assert one.keys == BY_SLOT[1]
    assert [len(other.keys) for slot, other in enumerate(instances) if slot != 1] == [
        2 * len(BY_SLOT[slot]) for slot in (0, 2, 3)
    ]


def test_one_that_drains_gets_what_is_for_its_slot_since_nobody_else_will() -> None:
    net = network(BOUNCE)
    instances = [Instance(net, slot) for slot in range(2)]
    sender = Recorder(net.links('c2s-1'))
    instances[1].links.drain()
    say(sender, BY_SLOT[1][0])
    net.settle()
    assert instances[1].keys == [BY_SLOT[1][0]]


# ---- spill


def test_only_the_absent_slots_keys_spill_over_and_come_back(coded: bool) -> None:
    net = network(SPILL, coded)
    instances = [Instance(net, slot) for slot in range(4)]
    sender = Recorder(net.links('c2s-1'))
    instances[1].links.stop()
    net.advance(1)
    say(sender, *KEYS)
    net.settle()
    rest = [one for slot, one in enumerate(instances) if slot != 1]
    assert sum(len(one.keys) for one in rest) == len(KEYS)
    assert all(len({*one.keys} & {*BY_SLOT[1]}) > 0 for one in rest), 'shared out'
    back = Instance(net, 1)
    say(sender, *KEYS)
    net.settle()
    assert back.keys == BY_SLOT[1]


def test_a_spilled_key_waits_for_its_stand_in(coded: bool) -> None:
    """Confirmations come back through the router, which knows by them that the key may go home."""
    net = network(SPILL, coded)
    stand_in = Instance(net, 0, confirms=False)
    sender = Recorder(net.links('c2s-1'))
    key = BY_SLOT[1][0]
    say(sender, key)
    net.settle()
    home = Instance(net, 1)
    say(sender, key, start=1)
    net.settle()
    assert (stand_in.ids, home.ids) == ([0, 1], [])
    for frame in stand_in.routes:
        stand_in.links.confirm('c2s-1', frame.uid)
    net.settle()
    say(sender, key, start=2)
    net.settle()
    assert home.ids == [2]


# ---- order


def distinct(ids: list[int]) -> list[int]:
    """Each the first time it came: what came again is dropped by whoever takes it."""
    return list(dict.fromkeys(ids))


class Keeper(Recorder):
    """A sender that keeps what is not confirmed, as components do."""

    def __init__(self, network: Network, node: str = 'bot-1') -> None:
        links = network.links(node)
        self.kept = KeptFrames(links, network.clock, self.gave_up, patience=1000.0)
        self.counts: dict[str, int] = {}
        self.refused: list[tuple[str, int]] = []
        super().__init__(links)
        network.settle()

    def gave_up(self, stanza: Stanza, reason: str) -> None:
        self.refused.append((stanza.attrs['from'], int(stanza.attrs['id'])))

    def say(self, key: str, count: int) -> None:
        for _ in range(count):
            n = self.counts.get(key, 0)
            self.counts[key] = n + 1
            self.kept.send(GATEWAY, key, Stanza('message', {'from': key, 'id': str(n)}))

    def on_confirm(self, frame: Confirm) -> None:
        for uid in frame.uids:
            self.kept.confirmed(uid)

    def on_bounce(self, frame: Bounce, link: Link) -> None:
        super().on_bounce(frame, link)
        self.kept.bounced(frame, link)

    def on_up(self, name: str, node: str, incarnation: bytes) -> None:
        self.kept.name_came(name)

    def on_down(self, name: str, node: str, incarnation: bytes) -> None:
        self.kept.name_lost(name)


class Judged(Recorder):
    """An instance that drops what was passed on before, as whoever passes packets on does, and tells the checker."""

    def __init__(self, network: Network, slot: int, checker: Checker, delays: bool, seen: set[bytes]) -> None:
        self.checker, self.network, self.seen = checker, network, seen
        super().__init__(network.links(f'gw-{slot}', window=8 * 1024), confirms=False)
        self.delays = delays
        self.links.bind(GATEWAY, slot=slot)
        network.settle()

    def on_route(self, frame: Route, link: Link) -> None:
        if frame.uid not in self.seen:
            self.seen.add(frame.uid)
            assert isinstance(frame.payload, Stanza)
            sender, number = frame.payload.attrs['from'], int(frame.payload.attrs['id'])
            # The recipient is the world behind the gateway: the same for all instances.
            self.checker.received('the world', sender, number)
        if self.delays:
            self.network.clock.callLater(0.01, self.links.confirm, frame.source, frame.uid)
        else:
            self.links.confirm(frame.source, frame.uid)


steps = st.lists(
    st.tuples(st.just('say'), st.sampled_from(KEYS[:6]), st.integers(1, 10))
    | st.tuples(st.sampled_from(['come', 'come', 'go', 'crash', 'drain']), st.integers(0, 3))
    | st.tuples(st.sampled_from(['turn', 'settle', 'pass'])),
    max_size=40,
)


def test_what_was_sent_after_a_frame_that_found_no_room_goes_back_as_well(coded: bool) -> None:
    """It came in before its sender repeated what comes before it."""
    net = network(WAIT, coded, hold=8)
    passed: set[bytes] = set()
    checker, sender, key = Checker(), Keeper(net), BY_SLOT[3][0]
    sender.say(key, 5)
    first = Judged(net, 3, checker, True, passed)
    sender.say(key, 2)
    first.links.stop()
    sender.say(key, 2)
    for slot in range(4):
        Judged(net, slot, checker, True, passed)
    net.advance(30)
    for n in range(9):
        checker.accepted(key, n)
    report = checker.report()
    assert report.ok, report


@pytest.mark.parametrize('absent', [WAIT, BOUNCE, SPILL])
@given(st.booleans(), st.booleans(), steps)
def test_each_pair_stays_in_order_and_nothing_is_lost_whoever_comes_and_goes(
    absent: str,
    coded: bool,
    delays: bool,
    history: list,  # type: ignore[type-arg]
) -> None:
    """An instance that goes takes nothing with it that it has not passed on; its successor knows what it has."""
    net = network(absent, coded, hold=8)
    checker = Checker()
    there: dict[int, Judged] = {}
    passed: set[bytes] = set()
    sender = Keeper(net)
    for what, *arguments in history:
        if what == 'say':
            sender.say(*arguments)
        elif what == 'turn':
            net.turn_once()
        elif what == 'settle':
            net.settle()
        elif what == 'pass':
            net.advance(0.05)
        elif what == 'come' and arguments[0] not in there:
            there[arguments[0]] = Judged(net, arguments[0], checker, delays, passed)
        elif what == 'crash' and arguments[0] in there:
            # With what is under way to it; and somebody goes on who has not heard of it yet.
            key = BY_SLOT[arguments[0]][0]
            sender.say(key, 2)
            there.pop(arguments[0]).links.stop()
            sender.say(key, 2)
        elif what == 'go' and arguments[0] in there:
            there.pop(arguments[0]).links.stop()
        elif what == 'drain' and arguments[0] in there:
            there[arguments[0]].links.drain()
            there.pop(arguments[0]).links.stop()
    for slot in range(4):
        if slot not in there:
            Judged(net, slot, checker, delays, passed)
    net.advance(30)
    for key, count in sender.counts.items():
        for n in range(count):
            checker.accepted(key, n)
    for key, n in sender.refused:
        checker.answered(key, n)
    report = checker.report()
    assert report.ok, report
    assert absent == BOUNCE or not sender.refused
    assert len(sender.kept) == 0
