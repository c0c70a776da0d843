"""Exclusive names: whatever routers choose, a slot's stanzas are taken by one instance at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail

from jabberd_tx.base.hashing import slot_among
from jabberd_tx.base.slots import slot_of
from jabberd_tx.components import slot_gate
from jabberd_tx.components.slot_leases import SECONDS
from jabberd_tx.components.stanza_component import Answer, StanzaComponent
from jabberd_tx.link.frames import BUSY, NOT_MINE, Bounce, Confirm
from jabberd_tx.link.interfaces import Link
from jabberd_tx.link.kept_frames import KeptFrames
from jabberd_tx.storage.leases.interface import Holder, Lease
from jabberd_tx.storage.leases.memory import MemoryLeases
from jabberd_tx.testing.checker import Checker
from jabberd_tx.testing.network import Network, Recorder
from jabberd_tx.xmpp.stanza import Stanza

ROOMS = 'rooms.example.net'
KEYS = [f'room{n}@{ROOMS}' for n in range(12)]


class Store(MemoryLeases):
    """One that may be out of reach, or slow: then `answer` lets it go on."""

    def __init__(self, network: Network) -> None:
        super().__init__(network.clock)
        self.away = self.slow = False
        self._held: list[tuple[Deferred[Any], tuple[Any, ...]]] = []

    def take(self, name: str, slots: Iterable[int], holder: Holder, seconds: float) -> Deferred[dict[int, Lease]]:
        if self.away:
            return fail(OSError('no store'))
        if self.slow:
            waiting: Deferred[Any] = Deferred()
            self._held.append((waiting, (name, [*slots], holder, seconds)))
            return waiting
        return super().take(name, slots, holder, seconds)

    def answer(self) -> None:
        self.slow = False
        held, self._held = self._held, []
        for waiting, arguments in held:
            super().take(*arguments).chainDeferred(waiting)


class Rooms(StanzaComponent):
    """Takes messages to rooms, and remembers which it has taken here."""

    def __init__(self, network: Network, store: MemoryLeases, node: str, checker: Checker, **options: object) -> None:
        self.taken: list[str] = []
        self.mine: set[int] = set()
        self.checker = checker
        links = network.links(node)
        super().__init__(links, ROOMS, network.clock, leases=store, **options)
        links.start()
        self.start()
        network.settle()

    def slot_gained(self, slot: int) -> None:
        self.mine.add(slot)

    def slot_lost(self, slot: int) -> None:
        self.mine.remove(slot)

    def message(self, stanza: Stanza) -> Answer:
        room = stanza.attrs['to'].partition('/')[0]
        assert slot_of(room) in self.mine or self._options.get('slots')
        self.taken.append(room + ' ' + stanza.attrs['id'])
        self.checker.received('the room', room, int(stanza.attrs['id']))
        return None


class Sender(Recorder):
    """Keeps what is not confirmed, as components do."""

    def __init__(self, network: Network) -> None:
        links = network.links('bot-1')
        self.kept = KeptFrames(links, network.clock, self.gave_up, patience=1000.0)
        self.counts: dict[str, int] = defaultdict(int)
        super().__init__(links)
        network.settle()

    def gave_up(self, stanza: Stanza, reason: str) -> None:
        raise AssertionError(f'{stanza} was given up: {reason}')

    def say(self, room: str, count: int = 1) -> None:
        for _ in range(count):
            self.counts[room] += 1
            attrs = {'from': 'romeo@example.net/r', 'to': room, 'id': str(self.counts[room])}
            self.kept.send(ROOMS, room, Stanza('message', attrs))

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


class Site:
    def __init__(self, coded: bool = False) -> None:
        self.network = Network(coded=coded)
        self.store = Store(self.network)
        self.checker = Checker()
        self.sender = Sender(self.network)

    def rooms(self, node: str, **options: object) -> Rooms:
        return Rooms(self.network, self.store, node, self.checker, **options)

    def kill(self, rooms: Rooms) -> None:
        """As by kill -9: nothing is given up."""
        rooms.links.stop()  # type: ignore[attr-defined]
        rooms._leases._stopped = True
        if rooms._leases._timer is not None:
            rooms._leases._timer.cancel()
            rooms._leases._timer = None
        rooms._kept.stop()

    def settled(self) -> None:
        for room, count in self.sender.counts.items():
            for number in range(1, count + 1):
                self.checker.accepted(room, number)
        report = self.checker.report()
        assert report.ok, report
        assert not self.sender.kept


@pytest.fixture(params=[False, True], ids=['as they are', 'encoded'])
def site(request: pytest.FixtureRequest) -> Site:
    return Site(request.param)


def test_an_instance_leases_what_comes_to_it(site: Site) -> None:
    one = site.rooms('muc-1')
    for room in KEYS:
        site.sender.say(room, 3)
    site.network.advance(20)
    assert len(one.taken) == 36 and one.mine == {slot_of(room) for room in KEYS}
    assert not site.sender.bounces
    site.settled()


def test_a_newcomer_sends_what_is_anothers_to_that_and_no_room_lives_twice(site: Site) -> None:
    """The routers choose the newcomer for its share of the keys, which the other one has leased."""
    one = site.rooms('muc-1')
    for room in KEYS:
        site.sender.say(room)
    site.network.settle()
    two = site.rooms('muc-2')
    site.network.advance(1)
    for room in KEYS:
        site.sender.say(room, 5)
    site.network.advance(5)
    assert {bounce.reason for bounce in site.sender.bounces} == {NOT_MINE}
    assert {bounce.detail for bounce in site.sender.bounces} == {'muc-1'}
    assert two.taken == [] and len(one.taken) == 72
    new = [f'new{n}@{ROOMS}' for n in range(20)]
    before = len(site.sender.bounces)
    for room in new:
        site.sender.say(room)
    site.network.advance(5)
    assert two.taken, 'what nobody has is leased where it comes'
    assert len(site.sender.bounces) == before
    for room in KEYS:
        site.sender.say(room)
    site.network.advance(1)
    assert len(site.sender.bounces) == before, 'senders remember'
    site.settled()


def test_when_the_owner_dies_its_slots_are_another_ones_once_its_leases_are_over(site: Site) -> None:
    one, two = site.rooms('muc-1'), site.rooms('muc-2')
    site.network.advance(1)
    for room in KEYS:
        site.sender.say(room)
    site.network.settle()
    lost = {*one.mine}
    assert lost and two.mine
    site.kill(one)
    for room in KEYS:
        site.sender.say(room)
    site.network.advance(SECONDS - 2)
    assert not lost & two.mine
    assert {bounce.reason for bounce in site.sender.bounces} == {BUSY}
    site.network.advance(10)
    assert lost <= two.mine
    site.settled()


def test_an_owner_that_leaves_gives_its_slots_up_at_once(site: Site) -> None:
    one, two = site.rooms('muc-1'), site.rooms('muc-2')
    site.network.advance(1)
    for room in KEYS:
        site.sender.say(room)
    site.network.settle()
    lost = {*one.mine}
    Deferred.fromCoroutine(one.stop())
    site.network.advance(0.2)
    one.links.stop()  # type: ignore[attr-defined]
    for room in KEYS:
        site.sender.say(room)
    site.network.advance(1.0)
    assert lost <= two.mine and not one.mine
    site.settled()


def test_while_the_store_is_asked_what_comes_waits_in_order(site: Site) -> None:
    one = site.rooms('muc-1')
    site.store.slow = True
    site.sender.say(KEYS[0], 10)
    site.network.advance(1)
    assert one.taken == [] and len(one._gate) == 10  # type: ignore[arg-type]
    site.store.answer()
    site.network.settle()
    assert [int(taken.split()[1]) for taken in one.taken] == list(range(1, 11))
    assert len(one._gate) == 0  # type: ignore[arg-type]
    site.settled()


def test_no_more_waits_than_the_bound(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_gate, 'MOST_WAITING', 4)
    one = site.rooms('muc-1')
    site.store.slow = True
    site.sender.say(KEYS[0], 10)
    site.network.settle()
    assert len(one._gate) == 4  # type: ignore[arg-type]
    assert {bounce.reason for bounce in site.sender.bounces} == {BUSY}
    site.store.answer()
    site.network.advance(5)
    site.settled()


def test_a_store_out_of_reach_makes_senders_wait_and_loses_nothing(site: Site) -> None:
    one = site.rooms('muc-1')
    site.store.away = True
    site.sender.say(KEYS[0], 5)
    site.network.advance(5)
    assert one.taken == []
    site.store.away = False
    site.network.advance(5)
    site.settled()


def test_what_has_no_key_is_anybodys(site: Site) -> None:
    one = site.rooms('muc-1')
    site.store.away = True
    site.sender.kept.send(ROOMS, ROOMS, Stanza('iq', {'from': 'a@b', 'to': ROOMS, 'type': 'result', 'id': '1'}))
    site.network.settle()
    assert not site.sender.kept and one.mine == set()


def test_with_slots_of_a_fixed_number_those_are_leased(site: Site) -> None:
    instances = [site.rooms(f'muc-{slot}', slots=2, slot=slot) for slot in range(2)]
    for room in KEYS:
        site.sender.say(room)
    site.network.advance(1)
    assert [one.mine for one in instances] == [{0}, {1}]
    for slot, one in enumerate(instances):
        assert {slot_among(taken.split()[0], 2) for taken in one.taken} == {slot}
    site.settled()


def test_one_whose_slot_is_taken_has_it_when_the_other_is_gone(site: Site) -> None:
    """It asks again, with pauses, and no more once it was stopped."""
    before = site.rooms('muc-before', slots=1, slot=0)
    after, never = site.rooms('muc-after', slots=1, slot=0), site.rooms('muc-never', slots=1, slot=0)
    site.network.advance(20)
    assert list(site.sender.links.instances(ROOMS)) == ['muc-before']
    Deferred.fromCoroutine(never.stop())
    Deferred.fromCoroutine(before.stop())
    site.network.advance(40)
    assert list(site.sender.links.instances(ROOMS)) == ['muc-after']
    site.sender.say(KEYS[0])
    site.network.advance(1)
    assert len(after.taken) == 1
    site.settled()


def test_instances_of_one_name_all_are_exclusive_or_none_is(site: Site) -> None:
    site.rooms('muc-1')
    other = Recorder(site.network.links('muc-2'))
    other.links.bind(ROOMS, 'to')
    site.network.settle()
    assert list(site.sender.links.instances(ROOMS)) == ['muc-1']


def test_a_policy_without_slots_can_not_be_exclusive(site: Site) -> None:
    with pytest.raises(ValueError, match="'to' or 'from', not 'random'"):
        StanzaComponent(site.network.links('muc-1'), ROOMS, site.network.clock, 'random', site.store)


steps = st.lists(
    st.tuples(st.just('say'), st.sampled_from(KEYS[:5]), st.integers(1, 6))
    | st.tuples(st.sampled_from(['come', 'come', 'kill', 'stop']), st.integers(0, 2))
    | st.tuples(st.sampled_from(['turn', 'settle', 'pass', 'long', 'slow', 'answer', 'away'])),
    max_size=40,
)


@given(st.booleans(), steps)
def test_no_slot_is_two_instances_and_each_room_gets_all_in_order(coded: bool, history: list) -> None:  # type: ignore[type-arg]
    """Whoever is killed, leaves, or can not reach the store."""
    site = Site(coded)
    there: dict[int, Rooms] = {}
    for what, *arguments in history:
        if what == 'say':
            site.sender.say(*arguments)
        elif what == 'come' and arguments[0] not in there:
            there[arguments[0]] = site.rooms(f'muc-{arguments[0]}')
        elif what == 'kill' and arguments[0] in there:
            site.network.settle()  # what it has taken it has confirmed: a killed process may leave both
            site.kill(there.pop(arguments[0]))
        elif what == 'stop' and arguments[0] in there:
            leaving = there.pop(arguments[0])
            Deferred.fromCoroutine(leaving.stop())
            site.network.advance(6)
            site.kill(leaving)
        elif what == 'turn':
            site.network.turn_once()
        elif what == 'settle':
            site.network.settle()
        elif what in ('pass', 'long'):
            site.network.advance(0.2 if what == 'pass' else SECONDS)
        elif what == 'slow':
            site.store.slow = True
        elif what == 'answer':
            site.store.answer()
        elif what == 'away':
            site.store.away = not site.store.away
        owned = [slot for one in there.values() for slot in one._leases.slots]
        assert len(owned) == len({*owned})
    site.store.away = False
    site.store.answer()
    if not there:
        site.rooms('muc-9')
    site.network.advance(60)
    site.settled()
