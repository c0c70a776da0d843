"""Leases in memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from jabberd_tx.storage.leases.interface import LeaseStore
from jabberd_tx.storage.leases.memory import MemoryLeases
from jabberd_tx.testing.lease_conformance import ONE, ONE_AGAIN, ROOMS, TWO, LeaseConformance


class MemoryLeasesTests(LeaseConformance, TestCase):
    """The suite for every lease store."""

    async def make_leases(self) -> LeaseStore:
        self.clock = Clock()
        return MemoryLeases(self.clock)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(['take', 'renew', 'give_up', 'wait']), st.sampled_from([ONE, TWO, ONE_AGAIN]),
            st.lists(st.integers(0, 2), max_size=3),
        ),
        max_size=30,
    )
)  # fmt: skip
def test_no_slot_has_two_holders_at_a_time_and_terms_only_grow(history: list) -> None:  # type: ignore[type-arg]
    """By what each holder was told: that it has the slot from now on for so long."""
    clock = Clock()
    store = MemoryLeases(clock)
    believed: dict[tuple[int, object], float] = {}
    terms: dict[int, int] = {}
    for what, holder, slots in history:
        if what == 'wait':
            clock.advance(2)
        elif what == 'take':
            for slot, lease in store.take(ROOMS, slots, holder, 5).result.items():  # type: ignore[attr-defined]
                assert lease.term >= terms.get(slot, 0)
                terms[slot] = lease.term
                if lease.holder == holder:
                    believed[slot, holder] = clock.seconds() + 5
        elif what == 'renew':
            for slot in store.renew(ROOMS, slots, holder, 5).result:  # type: ignore[attr-defined]
                assert believed[slot, holder] > clock.seconds()
                believed[slot, holder] = clock.seconds() + 5
        else:
            store.give_up(ROOMS, slots, holder)
            for slot in slots:
                believed.pop((slot, holder), None)
        for slot in range(3):
            assert sum(until > clock.seconds() for (one, _), until in believed.items() if one == slot) <= 1
