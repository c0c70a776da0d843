"""The policies: whom each one picks."""

from __future__ import annotations

from collections import Counter

import pytest
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from jabberd_tx.base.slots import slot_of
from jabberd_tx.link.frames import Route, make_uid
from jabberd_tx.routing.policies import POLICIES, IChooser, IRoutingPolicy, Settings
from jabberd_tx.routing.policies.keys import key_of
from jabberd_tx.xmpp.stanza import Stanza

NODES = ['n1', 'n2', 'n3', 'n4']


def frame(key: str | bytes | None = None, **attrs: str) -> Route:
    if 'from_' in attrs:
        attrs['from'] = attrs.pop('from_')
    return Route('example.net', key, 'c2s-1', 0, make_uid(b's' * 16, 1), 4, 0, Stanza('message', attrs))


def packed(route: Route) -> Route:
    return route._replace(payload=route.payload.pack())  # type: ignore[union-attr]


def chooser(policy: str, nodes: list[str] = NODES, whole: bool = False, order: tuple[str, ...] = ()) -> IChooser:
    clock = Clock()
    made = POLICIES[policy].chooser(Settings('example.net', whole, order, clock))
    for node in nodes:
        made.join(node, 1.0)
    clock.advance(0)
    return made


@pytest.mark.parametrize('name', POLICIES)
def test_each_policy_keeps_to_the_interface(name: str) -> None:
    verifyObject(IRoutingPolicy, POLICIES[name])
    made = chooser(name)
    verifyObject(IChooser, made)
    assert POLICIES[name].name == name
    assert made.pick(frame('juliet@example.net')) in NODES
    for node in NODES[:-1]:
        made.leave(node)
    assert made.pick(frame('juliet@example.net')) == 'n4'
    made.close()


# ---- keys


def test_a_key_in_the_frame_goes_before_the_stanza() -> None:
    given = frame('juliet@example.net', to='romeo@example.net', from_='tybalt@example.net')
    assert key_of(given, 'to', False) == key_of(given, 'from', False) == 'juliet@example.net'


@pytest.mark.parametrize('attribute', ['to', 'from'])
@pytest.mark.parametrize('wrap', [lambda route: route, packed], ids=['stanza', 'bytes'])
def test_without_one_the_jid_in_the_stanza_is_taken_prepared(attribute: str, wrap) -> None:  # type: ignore[no-untyped-def]
    jids = {'to': 'Juliet@EXAMPLE.net/Balcony', 'from_': 'Romeo@Example.net/Orchard'}
    bare, full = {
        'to': ('juliet@example.net', 'juliet@example.net/Balcony'),
        'from': ('romeo@example.net', 'romeo@example.net/Orchard'),
    }[attribute]
    assert key_of(wrap(frame(None, **jids)), attribute, False) == bare
    assert key_of(wrap(frame(None, **jids)), attribute, True) == full
    assert key_of(wrap(frame(b's' * 16, **jids)), attribute, False) == bare, 'a session is no key to hash'


@pytest.mark.parametrize(
    'route',
    [
        frame(),
        frame(to=''),
        frame(to='example.net'),
        frame(to='example.net/no@local'),
        frame(to='@example.net'),
        frame(to='a@b@c'),
        frame('example.net'),
        frame('example.net/no@local'),
        frame('', to='juliet@example.net'),
        frame()._replace(payload=b'\xff'),
        frame()._replace(payload=b''),
        frame()._replace(payload=Stanza('message', {'to': 7}).pack()),  # type: ignore[dict-item]
        frame()._replace(payload=Stanza('message', {'to': [1]}).pack()),  # type: ignore[dict-item]
    ],
)
def test_what_is_no_address_of_somebody_is_no_key(route: Route) -> None:
    assert key_of(route, 'to', False) is None
    for policy in ('to', 'from'):
        assert chooser(policy).pick(route) is None


# ---- to, from


@pytest.mark.parametrize(('policy', 'attribute'), [('to', 'to'), ('from', 'from_')])
def test_one_jids_frames_meet_at_one_instance_and_many_jids_spread(policy: str, attribute: str) -> None:
    made = chooser(policy)
    picked = Counter(made.pick(frame(**{attribute: f'user{n}@example.net/r{n}'})) for n in range(4000))
    assert picked.keys() == set(NODES)
    assert max(picked.values()) < 1.2 * 1000
    for resource in 'abcdef':
        same = made.pick(frame(**{attribute: f'juliet@example.net/{resource}'}))
        assert same == made.pick(frame('juliet@example.net'))


def test_full_jids_spread_where_the_name_is_hashed_by_them() -> None:
    made = chooser('to', whole=True)
    assert {made.pick(frame(to=f'juliet@example.net/{n}')) for n in range(100)} == set(NODES)


def test_every_router_picks_the_same() -> None:
    """In whatever order the instances came."""
    one, other = chooser('from'), chooser('from', NODES[::-1])
    for n in range(200):
        assert one.pick(frame(from_=f'u{n}@example.net')) == other.pick(frame(from_=f'u{n}@example.net'))


def test_another_name_with_the_same_instances_is_shared_out_alike() -> None:
    """Slots depend on instances only, so that a user's slot is the same for all names that one node serves."""
    assert slot_of('juliet@example.net') == 14757
    assert chooser('to').pick(frame('juliet@example.net')) == chooser('from').pick(frame('juliet@example.net'))


# ---- random


def test_random_picks_anyone_by_weight() -> None:
    made = chooser('random', ['n1'])
    made.join('n2', 3.0)
    picked = Counter(made.pick(frame()) for _ in range(4000))
    assert 2.4 < picked['n2'] / picked['n1'] < 3.8
    made.leave('n2')
    assert {made.pick(frame()) for _ in range(20)} == {'n1'}


# ---- failover


def test_failover_picks_the_first_of_the_configured_order_that_is_up() -> None:
    made = chooser('failover', ['n3', 'n1', 'n2'], order=('n2', 'n1'))
    assert made.pick(frame()) == 'n2'
    made.leave('n2')
    assert made.pick(frame()) == 'n1'
    made.leave('n1')
    assert made.pick(frame()) == 'n3', 'one that is not listed comes last'
    made.join('n2', 1.0)
    assert made.pick(frame()) == 'n2'


def test_failover_without_an_order_picks_the_same_on_every_router() -> None:
    assert chooser('failover', ['n3', 'n1', 'n2']).pick(frame()) == 'n1'
    assert chooser('failover', ['n2', 'n1', 'n3']).pick(frame()) == 'n1'


# ---- round-robin


def test_round_robin_gives_each_its_turn() -> None:
    made = chooser('round-robin', ['n2', 'n1', 'n3'])
    assert [made.pick(frame()) for _ in range(6)] == ['n1', 'n2', 'n3'] * 2


def test_round_robin_by_weight_is_exact_and_even() -> None:
    """Of four frames in a row one of weight 3 gets three, wherever one begins to count."""
    made = chooser('round-robin', ['n1'])
    made.join('n2', 3.0)
    picked = [made.pick(frame()) for _ in range(400)]
    assert Counter(picked) == {'n1': 100, 'n2': 300}
    assert all(2 <= picked[at : at + 4].count('n2') <= 4 for at in range(397))


def test_one_that_joins_the_round_later_gets_its_share_and_not_what_it_has_missed() -> None:
    made = chooser('round-robin', ['n1', 'n2'])
    for _ in range(1000):
        made.pick(frame())
    made.join('n3', 1.0)
    assert Counter(made.pick(frame()) for _ in range(30)) == {'n1': 10, 'n2': 10, 'n3': 10}
    made.leave('n1')
    assert Counter(made.pick(frame()) for _ in range(20)) == {'n2': 10, 'n3': 10}
