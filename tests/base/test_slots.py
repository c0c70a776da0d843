"""The slot table: same for everybody, even, and calm when instances come and go."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from jabberd_tx.base.slots import SLOTS, SlotTable, scores

NAMES = [f'sm-{n}' for n in range(8)]
SAMPLE = range(0, SLOTS, 61)

members = st.dictionaries(
    st.sampled_from(['sm-1', 'sm-2', 'sm-3', 'größe', 'x']), st.sampled_from([0.5, 1.0, 1.0, 3.0]), min_size=1
)
# what happens to a table: a name with its weight comes, or (0) leaves; None: so many slices are computed
steps = st.lists(
    st.tuples(st.sampled_from(['sm-1', 'sm-2', 'sm-3', 'größe']), st.sampled_from([0, 0, 1.0, 1.0, 3.0]))
    | st.integers(1, 40),
    max_size=12,
)


@cache
def all_scores(name: str, weight: float) -> Sequence[float]:
    return scores(name, weight, 0, SLOTS)


def filled(weights: dict[str, float], clock: Clock | None = None) -> SlotTable:
    clock = clock or Clock()
    table = SlotTable(clock)
    for name, weight in weights.items():
        table.join(name, weight)
    clock.advance(0)
    assert not table.busy
    return table


def owners(table: SlotTable) -> list[str | None]:
    return [table.owner(slot) for slot in range(SLOTS)]


def one_slice(clock: Clock) -> None:
    """Run what is due now, and not what that asks for."""
    for call in [call for call in clock.getDelayedCalls() if call.getTime() <= clock.seconds()]:
        clock.calls.remove(call)
        call.called = 1
        call.func(*call.args, **call.kw)


@settings(deadline=None)
@given(members, steps)
def test_every_history_ends_in_the_same_table(weights: dict[str, float], history: list) -> None:  # type: ignore[type-arg]
    """Whoever knows the same instances has the same table, whatever came before and in which order."""
    clock = Clock()
    table = SlotTable(clock)
    there: dict[str, float] = {}
    for step in history:
        if isinstance(step, int):
            for _ in range(step):
                one_slice(clock)
        elif step[1]:
            table.join(*step)
            there[step[0]] = step[1]
        else:
            table.leave(step[0])
            there.pop(step[0], None)
        assert table.names == there.keys()
        chosen = {table.owner(slot) for slot in SAMPLE}
        assert chosen <= (there.keys() or {None}), 'only what is there is chosen'
    for name in there.keys() - weights.keys():
        table.leave(name)
    for name, weight in weights.items():
        table.join(name, weight)
    clock.advance(0)
    assert not table.busy
    assert not clock.getDelayedCalls()
    every = {name: all_scores(name, weight) for name, weight in weights.items()}
    assert [table.owner(slot) for slot in SAMPLE] == [
        max(every, key=lambda name: (every[name][slot], name)) for slot in SAMPLE
    ]


def test_keys_spread_evenly() -> None:
    table = filled(dict.fromkeys(NAMES, 1.0))
    counts = Counter(table.pick(f'user{n}@example.net') for n in range(100_000))
    assert len(counts) == 8
    assert max(counts.values()) / (100_000 / 8) <= 1.1


def test_slots_are_shared_out_by_weight() -> None:
    counts = Counter(owners(filled({'small': 1.0, 'big': 3.0})))
    assert counts['big'] / counts['small'] == pytest.approx(3, rel=0.1)


def test_one_that_leaves_moves_its_own_slots_only_and_gets_the_same_ones_back() -> None:
    clock = Clock()
    table = filled(dict.fromkeys(NAMES, 1.0), clock)
    before = owners(table)
    table.leave('sm-3')
    after = owners(table)
    assert all(new == old for old, new in zip(before, after, strict=True) if old != 'sm-3')
    spread = Counter(new for old, new in zip(before, after, strict=True) if old == 'sm-3')
    assert len(spread) == 7, 'its slots go to all the others'
    table.join('sm-3')
    assert owners(table) == after, 'nothing moves before its scores are there'
    clock.advance(0)
    assert owners(table) == before


def test_a_new_one_is_chosen_only_when_all_its_scores_are_there() -> None:
    clock = Clock()
    switches: list[int] = []
    table = SlotTable(clock, lambda: switches.append(1))
    table.join('sm-1')
    assert (table.owner(0), len(switches)) == ('sm-1', 1), 'the first one has all at once'
    table.join('sm-2')
    seen = []
    while table.busy:
        seen.append(set(owners(table)))
        one_slice(clock)
    assert len(seen) > 8, 'over several turns'
    assert all(chosen == {'sm-1'} for chosen in seen)
    assert set(owners(table)) == {'sm-1', 'sm-2'}
    assert len(switches) == 2


def test_when_all_that_were_chosen_from_leave_those_that_are_coming_serve_at_once() -> None:
    clock = Clock()
    table = SlotTable(clock)
    for name in ('sm-1', 'sm-2', 'sm-3'):
        table.join(name)
    table.leave('sm-1')
    assert table.pick('juliet@example.net') == 'sm-2'
    clock.advance(0)
    assert owners(table) == owners(filled({'sm-2': 1.0, 'sm-3': 1.0}))
    table.leave('sm-2')
    table.leave('sm-3')
    assert table.pick('juliet@example.net') is None


def test_the_last_one_has_the_weight_that_it_asked_for_last() -> None:
    """Though the others left before the scores for that were there."""
    clock = Clock()
    table = filled({'sm-1': 1.0, 'sm-2': 1.0}, clock)
    table.join('sm-1', 3.0)
    table.leave('sm-2')
    table.join('sm-2')
    clock.advance(0)
    assert owners(table) == owners(filled({'sm-1': 3.0, 'sm-2': 1.0}))


def test_no_step_of_a_membership_change_takes_20_ms() -> None:
    """32 instances come, one leaves, one changes its weight: each step alone is short."""
    clock = Clock()
    table = SlotTable(clock)
    worst = 0.0

    def timed(call, *arguments) -> None:  # type: ignore[no-untyped-def]
        nonlocal worst
        started = time.thread_time()
        call(*arguments)
        worst = max(worst, time.thread_time() - started)

    def settle() -> None:
        while table.busy:
            timed(one_slice, clock)

    for n in range(32):
        timed(table.join, f'sm-{n}')
    settle()
    timed(table.leave, 'sm-7')
    timed(table.join, 'sm-9', 2.0)
    settle()
    for n in range(31):
        timed(table.leave, f'sm-{n}')
    assert set(owners(table)) == {'sm-31'}
    assert worst < 0.02


def test_tables_of_one_clock_take_turns() -> None:
    """However many names an instance serves, a turn computes one slice, of one of them."""
    clock = Clock()
    tables = [SlotTable(clock) for _ in range(20)]
    for table in tables:
        table.join('sm-1')
        table.join('sm-2')
    turns = 0
    while any(table.busy for table in tables):
        assert len(clock.getDelayedCalls()) == 1
        before = sum(table.busy for table in tables)
        one_slice(clock)
        turns += 1
        assert before - sum(table.busy for table in tables) <= 1, 'no two tables switch in one turn'
    assert turns < 20 * (2 * SLOTS / 1024), 'scores are computed once for all'
    assert all(owners(table) == owners(tables[0]) for table in tables)


def test_a_slot_of_one_that_is_gone_has_its_new_owner_when_it_is_asked_for() -> None:
    """Before any slice of it was looked at, and also while its old owner has come again and is not chosen from yet."""
    clock = Clock()
    table = filled(dict.fromkeys(NAMES, 1.0), clock)
    rest = owners(filled(dict.fromkeys(set(NAMES) - {'sm-3', 'sm-5'}, 1.0)))
    table.leave('sm-3')
    table.join('sm-3')
    table.leave('sm-5')
    assert [table.owner(slot) for slot in SAMPLE] == [rest[slot] for slot in SAMPLE]
    one_slice(clock)
    assert owners(table) == rest


def test_a_closed_table_computes_no_more() -> None:
    clock = Clock()
    table = SlotTable(clock)
    table.join('sm-1')
    table.join('sm-2')
    table.close()
    assert not clock.getDelayedCalls()
    assert table.pick('juliet@example.net') == 'sm-1'


@pytest.mark.parametrize('weight', [0, -1, float('nan')])
def test_a_weight_is_positive(weight: float) -> None:
    with pytest.raises(ValueError, match='weight'):
        SlotTable(Clock()).join('sm-1', weight)
