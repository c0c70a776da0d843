"""The hash: what docs/routing.md says, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from jabberd_tx.base.hashing import hash64, rendezvous
from jabberd_tx.base.slots import SlotTable, scores, slot_of

PAGE = Path(__file__).parents[2] / 'docs' / 'routing.md'


def table(first_column: str) -> list[list[str]]:
    """The rows of the page's table whose header starts so, code marks removed."""
    after = PAGE.read_text('utf-8').split(f'\n| {first_column} |', 1)[1]
    rows = after.split('\n\n', 1)[0].splitlines()[2:]
    assert rows
    return [[cell.strip().strip('`') for cell in row.strip('|').split('|')] for row in rows]


@pytest.mark.parametrize(('key', 'hashed', 'slot'), table('key'))
def test_keys_hash_to_the_published_slots(key: str, hashed: str, slot: str) -> None:
    key = '' if key == '(empty)' else key
    assert f'{hash64(key):016x}' == hashed
    assert slot_of(key) == int(slot)


@pytest.mark.parametrize(('name', 'weight', 'slot', 'score'), table('instance'))
def test_scores_are_the_published_ones(name: str, weight: str, slot: str, score: str) -> None:
    block, word = divmod(int(slot), 8)
    assert scores(name, float(weight), block * 8, 8)[word] == pytest.approx(float(score), rel=1e-14)


@pytest.mark.parametrize(('instances', 'slot', 'owner'), table('instances, with weights'))
def test_slots_belong_to_the_published_owners(instances: str, slot: str, owner: str) -> None:
    clock = Clock()
    slots = SlotTable(clock)
    for name, weight in re.findall(r'`?([^`, ]+)` ([\d.]+)', instances):
        slots.join(name, float(weight))
    clock.advance(0)
    assert slots.owner(int(slot)) == owner


@pytest.mark.parametrize(('names', 'key', 'chosen'), table('names'))
def test_rendezvous_chooses_the_published_name(names: str, key: str, chosen: str) -> None:
    assert rendezvous(key, re.findall(r'[\w-]+', names)) == chosen


@given(st.lists(st.text(min_size=1), min_size=1, max_size=8, unique=True), st.text(), st.randoms())
def test_rendezvous_does_not_depend_on_the_order_of_names(names: list[str], key: str, random) -> None:  # type: ignore[no-untyped-def]
    mixed = list(names)
    random.shuffle(mixed)
    assert rendezvous(key, names) == rendezvous(key, mixed)


def test_rendezvous_moves_only_the_keys_of_the_name_that_left() -> None:
    names = [f'router-{n}' for n in range(5)]
    for n in range(2000):
        before = rendezvous(f'user{n}@example.net', names)
        after = rendezvous(f'user{n}@example.net', [name for name in names if name != 'router-3'])
        assert after == before or before == 'router-3'


def test_rendezvous_over_nobody_is_an_error() -> None:
    with pytest.raises(ValueError, match='empty'):
        rendezvous('juliet@example.net', [])
