"""An instance's leases: renewed while it lives, ours no longer than the store says, given up at the end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock

from jabberd_tx.components.slot_leases import BELIEVED, SECONDS, SlotLeases
from jabberd_tx.storage.leases.interface import Holder
from jabberd_tx.storage.leases.memory import MemoryLeases

ROOMS = 'rooms.example.net'


class Store(MemoryLeases):
    """One that can be out of reach, or answer later."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.away = False
        self.renewals: list[float] = []
        self.clock = clock

    def take(self, *arguments: Any) -> Deferred[Any]:
        return fail(OSError('no store')) if self.away else super().take(*arguments)

    def renew(self, name: str, slots: Iterable[int], holder: Holder, seconds: float) -> Deferred[Any]:
        self.renewals.append(self.clock.seconds())
        return fail(OSError('no store')) if self.away else super().renew(name, slots, holder, seconds)

    def give_up(self, *arguments: Any) -> Deferred[Any]:
        return fail(OSError('no store')) if self.away else super().give_up(*arguments)


class Instance:
    def __init__(self, store: Store, node: str = 'muc-1', incarnation: bytes = b'i' * 16) -> None:
        self.events: list[tuple[str, int]] = []
        self.leases = SlotLeases(
            store, ROOMS, Holder(node, incarnation), store.clock,
            lambda slot: self.events.append(('gained', slot)), lambda slot: self.events.append(('lost', slot)),
        )  # fmt: skip

    def take(self, slot: int) -> str:
        result: str = Deferred.fromCoroutine(self.leases.take(slot)).result  # type: ignore[assignment]
        return result

    def stop(self) -> None:
        Deferred.fromCoroutine(self.leases.stop())


def made() -> tuple[Clock, Store]:
    clock = Clock()
    return clock, Store(clock)


def live(clock: Clock, seconds: float) -> None:
    """In steps, as a reactor does."""
    for _ in range(round(seconds / 0.1)):
        clock.advance(0.1)


def test_a_slot_is_ours_for_as_long_as_we_live() -> None:
    clock, store = made()
    one, two = Instance(store), Instance(store, 'muc-2')
    assert one.take(7) == 'muc-1'
    live(clock, 100)
    assert one.leases.has(7) and one.leases.slots == [7]
    assert two.take(7) == 'muc-1' and not two.leases.has(7)
    assert one.events == [('gained', 7)] and two.events == []


def test_renewals_are_one_call_for_all_slots_and_do_not_keep_step_with_those_of_others() -> None:
    clock, store = made()
    one = Instance(store)
    for slot in range(50):
        one.take(slot)
    live(clock, 60)
    gaps = [after - before for before, after in zip(store.renewals, store.renewals[1:], strict=False)]
    assert 25 <= len(gaps) <= 38
    assert max(gaps) - min(gaps) > 0.1
    assert max(gaps) < SECONDS / 2


def test_a_process_that_stood_still_has_nothing_any_more_and_knows_it() -> None:
    """Whoever comes first after that has the slot."""
    clock, store = made()
    one, two = Instance(store), Instance(store, 'muc-2')
    one.take(7)
    clock.rightNow += SECONDS + 0.1  # nothing is called: SIGSTOP
    assert not one.leases.has(7)
    assert one.events == [('gained', 7), ('lost', 7)]
    assert two.take(7) == 'muc-2'
    live(clock, 10)
    assert two.leases.has(7) and not one.leases.has(7)


def test_while_the_store_is_away_a_slot_stays_ours_until_its_time_is_over() -> None:
    clock, store = made()
    one = Instance(store)
    one.take(7)
    store.away = True
    live(clock, SECONDS - 0.3)
    assert one.leases.has(7)
    live(clock, 0.5)
    assert not one.leases.has(7) and one.events == [('gained', 7), ('lost', 7)]
    assert not clock.getDelayedCalls() or live(clock, 5) is None
    assert not clock.getDelayedCalls()


def test_a_store_that_comes_back_in_time_is_no_loss() -> None:
    clock, store = made()
    one = Instance(store)
    one.take(7)
    store.away = True
    live(clock, 3)
    store.away = False
    live(clock, 30)
    assert one.leases.has(7) and one.events == [('gained', 7)]


def test_a_slot_that_the_store_has_given_to_another_is_lost_at_the_next_renewal() -> None:
    """As after a store that has lost its memory."""
    clock, store = made()
    one, two = Instance(store), Instance(store, 'muc-2')
    one.take(7)
    store._names.clear()
    assert two.take(7) == 'muc-2'
    live(clock, 3)
    assert one.events == [('gained', 7), ('lost', 7)]
    assert two.leases.slots == [7]


def test_what_is_given_up_is_the_next_ones_at_once() -> None:
    clock, store = made()
    one, two = Instance(store), Instance(store, 'muc-2')
    one.take(7)
    one.take(8)
    Deferred.fromCoroutine(one.leases.give_up(7))
    assert two.take(7) == 'muc-2'
    one.stop()
    assert two.take(8) == 'muc-2'
    assert one.events == [('gained', 7), ('gained', 8), ('lost', 7), ('lost', 8)]
    assert one.take(9) == '' and one.leases.slots == [], 'it takes none any more'
    assert two.take(9) == 'muc-2'
    two.stop()
    assert not clock.getDelayedCalls()


def test_a_stop_does_not_wait_for_a_store_that_is_away() -> None:
    clock, store = made()
    one = Instance(store)
    one.take(7)
    store.away = True
    one.stop()
    assert one.events == [('gained', 7), ('lost', 7)] and not clock.getDelayedCalls()


def test_who_has_a_slot_is_known_for_a_moment() -> None:
    clock, store = made()
    one, two = Instance(store), Instance(store, 'muc-2')
    one.take(7)
    assert two.leases.known_holder(7) == ''
    two.take(7)
    assert two.leases.known_holder(7) == 'muc-1'
    clock.advance(BELIEVED)
    assert two.leases.known_holder(7) == ''


def test_a_process_that_was_started_anew_waits_for_the_lease_of_the_one_before() -> None:
    clock, store = made()
    before = Instance(store)
    before.take(7)
    after = Instance(store, incarnation=b'j' * 16)
    assert after.take(7) == '' and not after.leases.has(7)
    before.leases._timer.cancel()  # type: ignore[union-attr]  # it was killed
    clock.advance(SECONDS)
    assert after.take(7) == 'muc-1' and after.leases.has(7)
