"""What every implementation of leases.interface.LeaseStore must do, as tests.

class MyLeasesTests(LeaseConformance, TestCase):
    async def make_leases(self): ...           # an empty store
    def advance(self, seconds): ...            # its clock
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jabberd_tx.storage.leases.interface import Holder, Lease, LeaseStore

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _Base
else:
    _Base = object

ROOMS = 'rooms.example.net'
ONE, TWO = Holder('muc-1', b'i' * 16), Holder('muc-2', b'j' * 16)
ONE_AGAIN = Holder('muc-1', b'k' * 16)


class LeaseConformance(_Base):
    """Mix into a twisted.trial TestCase."""

    store: LeaseStore

    async def make_leases(self) -> LeaseStore:
        """An empty one."""
        raise AssertionError('the test case must say how its store is made')

    def advance(self, seconds: float) -> None:
        """Let time go by for leases."""
        raise AssertionError('the test case must say how its clock is moved')

    async def setUp(self) -> None:  # type: ignore[override]
        """A store for each test."""
        self.store = await self.make_leases()

    async def test_whoever_comes_first_has_a_slot_and_others_hear_who(self) -> None:
        """Slots that are free are given with the same call."""
        self.assertEqual(await self.store.holders(ROOMS), {})
        self.assertEqual(await self.store.take(ROOMS, [1, 2], ONE, 6), {1: Lease(ONE, 1), 2: Lease(ONE, 1)})
        self.assertEqual(await self.store.take(ROOMS, [2, 3], TWO, 6), {2: Lease(ONE, 1), 3: Lease(TWO, 1)})
        self.assertEqual(await self.store.holders(ROOMS), {1: Lease(ONE, 1), 2: Lease(ONE, 1), 3: Lease(TWO, 1)})

    async def test_names_stand_apart(self) -> None:
        """The same slot of another name is another slot."""
        await self.store.take(ROOMS, [1], ONE, 6)
        self.assertEqual(await self.store.take('other.example', [1], TWO, 6), {1: Lease(TWO, 1)})
        self.assertEqual(await self.store.holders(ROOMS), {1: Lease(ONE, 1)})

    async def test_a_lease_that_is_not_renewed_ends(self) -> None:
        """Not a moment earlier; and then somebody else may have the slot, with the next term."""
        await self.store.take(ROOMS, [1], ONE, 6)
        self.advance(5)
        self.assertEqual(await self.store.take(ROOMS, [1], TWO, 6), {1: Lease(ONE, 1)})
        self.advance(2)
        self.assertEqual(await self.store.holders(ROOMS), {})
        self.assertEqual(await self.store.take(ROOMS, [1], TWO, 6), {1: Lease(TWO, 2)})

    async def test_a_lease_that_is_renewed_goes_on(self) -> None:
        """From the time of the renewal; so does one that its holder takes again."""
        await self.store.take(ROOMS, [1, 2], ONE, 6)
        for _ in range(4):
            self.advance(4)
            self.assertEqual(set(await self.store.renew(ROOMS, [1], ONE, 6)), {1})
            self.assertEqual(await self.store.take(ROOMS, [2], ONE, 6), {2: Lease(ONE, 1)})
        self.advance(5)
        self.assertEqual(set(await self.store.holders(ROOMS)), {1, 2})

    async def test_what_has_ended_is_not_renewed(self) -> None:
        """Whether or not somebody else has it; nor what one never had."""
        await self.store.take(ROOMS, [1, 2, 3], ONE, 6)
        self.advance(7)
        await self.store.take(ROOMS, [2], TWO, 6)
        self.assertEqual(set(await self.store.renew(ROOMS, [1, 2, 3, 4], ONE, 6)), set())
        self.assertEqual(await self.store.holders(ROOMS), {2: Lease(TWO, 2)})
        self.assertEqual(await self.store.take(ROOMS, [1], ONE, 6), {1: Lease(ONE, 2)})

    async def test_what_is_given_up_is_anybodys_at_once(self) -> None:
        """And nobody gives up what is another's."""
        await self.store.take(ROOMS, [1, 2], ONE, 6)
        await self.store.give_up(ROOMS, [1, 2, 3], TWO)
        self.assertEqual(set(await self.store.holders(ROOMS)), {1, 2})
        await self.store.give_up(ROOMS, [1], ONE)
        self.assertEqual(await self.store.take(ROOMS, [1, 2], TWO, 6), {1: Lease(TWO, 2), 2: Lease(ONE, 1)})
        self.assertEqual(set(await self.store.renew(ROOMS, [1], ONE, 6)), set())

    async def test_a_node_that_was_started_anew_is_somebody_else(self) -> None:
        """The process before it may still be there, and think that the slot is its own."""
        await self.store.take(ROOMS, [1], ONE, 6)
        self.assertEqual(await self.store.take(ROOMS, [1], ONE_AGAIN, 6), {1: Lease(ONE, 1)})
        self.assertEqual(set(await self.store.renew(ROOMS, [1], ONE_AGAIN, 6)), set())
        self.advance(7)
        self.assertEqual(await self.store.take(ROOMS, [1], ONE_AGAIN, 6), {1: Lease(ONE_AGAIN, 2)})
