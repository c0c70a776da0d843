"""When an instance goes, its heirs get what it has not confirmed before anything newer, and nobody else is held up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.task import Clock

from jabberd_tx.link.frames import BUSY, CLIENT, REPEAT, RETURNED, Bounce, Confirm, Route, make_uid
from jabberd_tx.link.interfaces import Link
from jabberd_tx.link.kept_frames import KeptFrames
from jabberd_tx.routing.options import ROUTES, SPILL
from jabberd_tx.routing.settling import MOMENT, Settling
from jabberd_tx.testing.network import Network, Recorder
from jabberd_tx.xmpp.stanza import Stanza

NAME = 'gw.example'
KEYS = [f'user{n}@example.net' for n in range(60)]


def frame(flags: int = 0, key: str = 'juliet@example.net') -> Route:
    return Route(NAME, key, 'c2s-1', 0, make_uid(b's' * 16, 1), 4, flags, Stanza('message', {}))


def test_what_is_new_waits_for_a_moment_and_repeats_do_not() -> None:
    clock = Clock()
    settling = Settling(clock.seconds)
    settling.gone(lambda one: one.key == 'juliet@example.net')
    assert settling.holds_up(frame())
    assert not settling.holds_up(frame(key='romeo@example.net')), 'of somebody else'
    assert [settling.holds_up(frame(flags)) for flags in (REPEAT, CLIENT, RETURNED)] == [False] * 3
    clock.advance(MOMENT)
    assert not settling.holds_up(frame())
    assert settling.lost == []


def test_each_that_goes_has_its_own_moment() -> None:
    clock = Clock()
    settling = Settling(clock.seconds)
    settling.gone(lambda one: one.key == 'juliet@example.net')
    clock.advance(MOMENT / 2)
    settling.gone(lambda one: one.key == 'romeo@example.net')
    clock.advance(MOMENT / 2)
    assert [settling.holds_up(frame(key=f'{user}@example.net')) for user in ('juliet', 'romeo')] == [False, True]


# ---- in a router


class Sender(Recorder):
    """Keeps what is not confirmed, as components do."""

    def __init__(self, network: Network) -> None:
        links = network.links('bot-1')
        self.kept = KeptFrames(links, network.clock, self.gave_up)
        self.counts: dict[str, int] = {}
        super().__init__(links)
        network.settle()

    def gave_up(self, stanza: Stanza, reason: str) -> None:
        raise AssertionError(f'{stanza} was given up: {reason}')

    def say(self, key: str, count: int = 1) -> None:
        for _ in range(count):
            n = self.counts.get(key, 0)
            self.counts[key] = n + 1
            self.kept.send(NAME, key, Stanza('message', {'from': key, 'id': f'{key} {n}'}))

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


class Instance(Recorder):
    def __init__(self, network: Network, number: int, policy: str, **options: object) -> None:
        super().__init__(network.links(f'n{number}'))
        self.links.bind(NAME, policy, **options)
        network.settle()

    def of(self, key: str) -> list[int]:
        """The numbers of the key's messages, each the first time it came."""
        ids = [stanza.attrs['id'].split() for stanza in self.stanzas]
        return list(dict.fromkeys(int(number) for one, number in ids if one == key))


def site(kind: str, count: int, coded: bool = False) -> tuple[Network, list[Instance], Sender]:
    """kind: a policy, or `spill`."""
    table = {**vars(ROUTES.defaults()), 'name': NAME, 'policy': 'to', 'slots': count, 'absent': SPILL}
    routes: list[Any] = [SimpleNamespace(**table)] if kind == 'spill' else []
    network = Network(routes, coded)
    instances = []
    for number in range(count):
        options: dict[str, object] = {'slot': number} if kind == 'spill' else {}
        instances.append(Instance(network, number, 'to' if kind == 'spill' else kind, **options))
    return network, instances, Sender(network)


@pytest.mark.parametrize('coded', [False, True], ids=['as they are', 'encoded'])
@pytest.mark.parametrize('count', [2, 3])
@pytest.mark.parametrize('kind', ['to', 'from', 'failover', 'spill'])
def test_what_was_sent_before_the_loss_was_known_does_not_overtake_what_is_repeated(
    kind: str, count: int, coded: bool
) -> None:
    network, instances, sender = site(kind, count, coded)
    for one in instances:
        one.confirms = False
    for key in KEYS:
        sender.say(key, 3)
    network.settle()
    dead = instances.pop(0)
    lost = [key for key in KEYS if dead.of(key)]
    assert lost
    dead.links.stop()
    for key in KEYS:
        sender.say(key, 2)
    for one in instances:
        one.confirms = True
        for route in one.routes:
            one.links.confirm(route.source, route.uid)
    network.advance(5)
    for key in KEYS:
        heirs = [one.of(key) for one in instances if one.of(key)]
        assert heirs == [[0, 1, 2, 3, 4]], key
    assert {bounce.key for bounce in sender.bounces} <= {*lost}, 'nobody else was held up'
    assert {bounce.reason for bounce in sender.bounces} == {BUSY}
    assert not sender.kept


def test_who_had_nothing_with_the_dead_one_is_late_by_a_moment_at_most() -> None:
    network, instances, sender = site('to', 3)
    instances.pop(0).links.stop()
    for key in KEYS:
        sender.say(key)
    network.advance(MOMENT + 0.2)
    assert all(any(one.of(key) == [0] for one in instances) for key in KEYS)
    assert not sender.kept


def test_one_that_has_drained_leaves_nothing_to_wait_for() -> None:
    network, instances, sender = site('to', 3)
    gone = instances.pop(0)
    gone.links.drain()
    network.settle()
    gone.links.stop()
    for key in KEYS:
        sender.say(key)
    network.settle()
    assert not sender.bounces and not sender.kept


def test_when_nobody_is_left_that_is_told_at_once() -> None:
    network, instances, sender = site('to', 2)
    for one in instances:
        one.links.stop()
    network.settle()
    sender.say(KEYS[0])
    network.settle()
    assert [bounce.reason for bounce in sender.bounces] == ['no-link']


def test_where_no_key_has_an_owner_nobody_waits() -> None:
    network, instances, sender = site('round-robin', 3)
    instances.pop(0).links.stop()
    for key in KEYS:
        sender.say(key)
    network.settle()
    assert not sender.bounces and not sender.kept
