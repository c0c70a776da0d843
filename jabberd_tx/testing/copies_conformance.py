"""What every implementation of storage.copies.interface.CopyStore must do, as tests.

class MyCopiesTests(CopiesConformance, TestCase):
    async def make_copies(self): ...           # an empty store
    async def pass_time(self, seconds): ...    # by its clock
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jabberd_tx.storage.copies.interface import CopyStore, Start

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _Base
else:
    _Base = object

ONE, OTHER = Start('c2s-1', b'\0i' * 8), Start('c2s-2', b' j' * 8)
STREAM = b's' * 16


class CopiesConformance(_Base):
    """Mix into a twisted.trial TestCase."""

    copies: CopyStore

    async def make_copies(self) -> CopyStore:
        """An empty one."""
        raise AssertionError('the test case must say how its store is made')

    async def pass_time(self, seconds: float) -> None:
        """So much by its clock."""
        raise AssertionError('the test case must say how time passes')

    async def setUp(self) -> None:  # type: ignore[override]
        self.copies = await self.make_copies()

    async def test_what_is_appended_is_read_in_order(self) -> None:
        """By worker, any bytes, more than fits into one page."""
        chunks = [bytes((number % 256,)) * (number % 7) for number in range(1, 131)]
        for number, chunk in enumerate(chunks, 1):
            await self.copies.append(ONE, number, chunk, 1)
        await self.copies.append(OTHER, 1, b'other', 1)
        self.assertEqual(await self.copies.read(ONE), chunks)
        self.assertEqual(await self.copies.read(OTHER), [b'other'])
        self.assertEqual(sorted(await self.copies.starts()), [ONE, OTHER])

    async def test_a_chunk_that_is_there_is_not_added_again(self) -> None:
        """Whoever did not hear the answer asks again."""
        for _ in range(2):
            await self.copies.append(ONE, 1, b'one', 1)
        await self.copies.append(ONE, 2, b'two', 1)
        await self.copies.append(ONE, 1, b'late', 1)
        self.assertEqual(await self.copies.read(ONE), [b'one', b'two'])

    async def test_what_is_not_needed_any_more_is_dropped(self) -> None:
        """All before the first that is to be kept."""
        for number in range(1, 6):
            await self.copies.append(ONE, number, b'%d' % number, max(1, number - 1))
        self.assertEqual(await self.copies.read(ONE), [b'4', b'5'])

    async def test_a_stream_is_taken_over_once(self) -> None:
        """By whoever comes first, or in place of one that is gone."""
        self.assertEqual(await self.copies.claim(ONE, STREAM, 'a'), 'a')
        self.assertEqual(await self.copies.claim(ONE, STREAM, 'b'), 'a')
        self.assertEqual(await self.copies.claim(ONE, STREAM, 'a'), 'a')
        self.assertEqual(await self.copies.claim(ONE, STREAM, 'b', 'c'), 'a')
        self.assertEqual(await self.copies.claim(ONE, STREAM, 'b', 'a'), 'b')
        self.assertEqual(await self.copies.claim(OTHER, STREAM, 'a'), 'a')
        self.assertEqual(await self.copies.claims(ONE), {STREAM: 'b'})

    async def test_what_is_dropped_is_gone(self) -> None:
        """The log of one worker, not that of another; who has claimed what is known for a while."""
        for start in (ONE, OTHER):
            await self.copies.append(start, 1, b'one', 1)
            await self.copies.claim(start, STREAM, 'a')
        await self.copies.drop(ONE)
        self.assertEqual([await self.copies.read(ONE), await self.copies.claim(ONE, STREAM, 'b')], [[], 'a'])
        self.assertEqual(list(await self.copies.starts()), [OTHER])
        self.assertEqual(await self.copies.claims(OTHER), {STREAM: 'a'})

    async def test_a_lease_is_held_until_it_is_over(self) -> None:
        """And whoever renews it later is told."""
        self.assertTrue(await self.copies.renew(ONE, 0.1))
        self.assertTrue(await self.copies.renew(ONE, 0.1))
        self.assertLess(await self.copies.lost_for(ONE, 9.0), 0)
        await self.pass_time(0.15)
        lost_for = await self.copies.lost_for(ONE, 9.0)
        self.assertTrue(0 <= lost_for < 5, lost_for)
        self.assertFalse(await self.copies.renew(ONE, 9.0))
        self.assertTrue(await self.copies.renew(ONE, 9.0))
        self.assertLess(await self.copies.lost_for(ONE, 9.0), 0)

    async def test_who_never_had_a_lease_is_given_some_time(self) -> None:
        """The store may have lost it."""
        self.assertLess(await self.copies.lost_for(ONE, 0.1), 0)
        await self.pass_time(0.15)
        self.assertGreaterEqual(await self.copies.lost_for(ONE, 0.1), 0)
