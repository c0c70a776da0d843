"""What docs/routing.md promises of every router, as properties of the table of names.

Balance over 100,000 keys is in tests/base/test_slots.py and test_fixed_slots.py; order in test_order.py and
test_absent_slots.py.
"""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from jabberd_tx.link.frames import REPEAT, Route, make_uid
from jabberd_tx.routing.asked import Asked
from jabberd_tx.routing.options import ROUTES, SPILL
from jabberd_tx.routing.table import NameTable
from jabberd_tx.xmpp.stanza import Stanza

NAME = 'example.net'
NODES = [f'sm-{n}' for n in range(5)]
KEYS = [f'user{n}@example.net' for n in range(150)]
FRAMES = [
    Route(NAME, key, 'c2s-1', 0, make_uid(b's' * 16, n), 4, REPEAT, Stanza('iq', {})) for n, key in enumerate(KEYS)
]

members = st.dictionaries(st.sampled_from(NODES), st.sampled_from([0.5, 1.0, 1.0, 2.0]), min_size=1)
# What a router has seen before: a node comes with a weight, or (0) leaves; None: time passes.
histories = st.lists(st.tuples(st.sampled_from(NODES), st.sampled_from([0, 1.0, 3.0])) | st.none(), max_size=8)


class Table:
    """As one router has it."""

    def __init__(self, policy: str, slots: int = 0) -> None:
        self.clock = Clock()
        values = {**vars(ROUTES.defaults()), 'name': NAME, 'policy': policy, 'slots': slots, 'absent': SPILL}
        self.names = NameTable(self.clock, 'to', [SimpleNamespace(**values)])
        self.slots, self.there = slots, set[str]()

    def come(self, node: str, weight: float) -> None:
        slot = NODES.index(node) if self.slots else None
        self.names.bind(NAME, node, Asked('', '', weight, 0, slot))
        self.there.add(node)

    def leave(self, node: str) -> None:
        self.names.unbind(NAME, node)
        self.names.forget(node)
        self.there.discard(node)

    def live(self, history: list[tuple[str, float] | None], end: dict[str, float]) -> Table:
        """Through all of it, and in the end with these members."""
        for step in history:
            if step is None:
                self.clock.advance(0)
            elif step[1]:
                self.come(*step)
            else:
                self.leave(step[0])
        for node in sorted(self.there - end.keys()):
            self.leave(node)
        for node, weight in end.items():
            self.come(node, weight)
        self.clock.advance(0)
        return self

    def picked(self) -> dict[str | bytes | None, str | None]:
        """By key."""
        return {frame.key: self.names.pick(frame) for frame in FRAMES}


@given(
    st.sampled_from(['to', 'from', 'failover']), st.sampled_from([0, 8]), members, histories, histories, st.randoms()
)
def test_every_router_chooses_the_same_whatever_it_has_seen_before(policy, slots, end, one, other, random) -> None:  # type: ignore[no-untyped-def]
    """And in whatever order the instances came to it."""
    slots = 0 if policy == 'failover' else slots
    mixed = [*end.items()]
    random.shuffle(mixed)
    first, second = Table(policy, slots).live(one, end), Table(policy, slots).live(other, dict(mixed))
    assert first.picked() == second.picked()
    assert set(first.picked().values()) <= end.keys()


@given(st.sampled_from(['to', 'from']), st.sampled_from([0, 8]), members, st.sampled_from(NODES))
def test_who_leaves_moves_its_own_keys_only_and_who_comes_takes_some_and_moves_no_others(  # type: ignore[no-untyped-def]
    policy, slots, end, node
) -> None:
    """With and without slots of a fixed number, and whatever the weights."""
    others = {one: weight for one, weight in end.items() if one != node}
    table = Table(policy, slots).live([], {**others, node: 1.0})
    before = table.picked()
    table.leave(node)
    table.clock.advance(0)
    after = table.picked()
    for key in KEYS:
        if before[key] != node:
            assert after[key] == before[key]
        else:
            assert after[key] in others or (not others and not after[key])
    # What stand-ins were lent they have confirmed.
    for frame in FRAMES:
        table.names.watched.returned(frame)
    table.come(node, 1.0)
    table.clock.advance(0)
    assert table.picked() == before
