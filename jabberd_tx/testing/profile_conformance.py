"""What storage must do with what belongs to an account: private XML, vCard, last activity; and room for messages.

Part of StorageConformance (storage_conformance.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jabberd_tx.storage import accounts, last_activity, offline, private_xml, vcards
from jabberd_tx.storage.last_activity import Left
from jabberd_tx.storage.offline import FULL, REPEAT, STORED
from jabberd_tx.storage.vcards import Card

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _Base
else:
    _Base = object

JULIET, ROMEO = 'juliet@example.net', 'romeo@example.net'
FULL_CARD = Card(b'<vCard xmlns="vcard-temp"><FN>\xc3\xa9</FN></vCard>', 'a' * 40)


class ProfileConformance(_Base):
    """`run_` is the storage's `run`."""

    run_: Callable[..., Any]

    async def test_private_elements_are_kept_by_name(self) -> None:
        """A new one takes the place of the old one of that name alone; other users' are others."""
        put = private_xml.put
        self.assertIs(await self.run_(put, JULIET, [('{a}x', b'<x/>'), ('{b}x', b'<y/>')], 9, 99), True)
        self.assertIs(await self.run_(put, JULIET, [('{a}x', b'<x>\xff\0</x>')], 9, 99), True)
        self.assertEqual(await self.run_(private_xml.get, JULIET, '{a}x'), b'<x>\xff\0</x>')
        self.assertEqual(await self.run_(private_xml.get, JULIET, '{b}x'), b'<y/>')
        self.assertIsNone(await self.run_(private_xml.get, JULIET, '{B}x'))
        self.assertIsNone(await self.run_(private_xml.get, ROMEO, '{a}x'))

    async def test_private_elements_have_their_limits(self) -> None:
        """Of number and bytes together; what takes the place of another counts once; refused, nothing is changed."""
        put = private_xml.put
        self.assertIs(await self.run_(put, JULIET, [('{a}x', b'12345'), ('{b}x', b'12345')], 2, 10), True)
        self.assertIs(await self.run_(put, JULIET, [('{a}x', b'54321')], 2, 10), True)
        self.assertIs(await self.run_(put, JULIET, [('{a}x', b'1'), ('{c}x', b'1')], 2, 10), False)
        self.assertIs(await self.run_(put, JULIET, [('{a}x', b'123456')], 2, 10), False)
        self.assertEqual(await self.run_(private_xml.get, JULIET, '{a}x'), b'54321')
        self.assertIs(await self.run_(put, ROMEO, [('{a}x', b'1')], 2, 10), True)

    async def test_a_vcard_takes_the_place_of_the_one_before(self) -> None:
        """With the hash of its photo, which can be had alone; None and '' for who has none."""
        self.assertIsNone(await self.run_(vcards.get, JULIET))
        self.assertEqual(await self.run_(vcards.photo, JULIET), '')
        await self.run_(vcards.put, JULIET, Card(b'<vCard/>', ''))
        await self.run_(vcards.put, JULIET, FULL_CARD)
        await self.run_(vcards.put, JULIET, FULL_CARD)
        self.assertEqual(await self.run_(vcards.get, JULIET), FULL_CARD)
        self.assertEqual(await self.run_(vcards.photo, JULIET), 'a' * 40)
        self.assertIsNone(await self.run_(vcards.get, ROMEO))

    async def test_the_last_activity_is_the_last(self) -> None:
        """Time and status as they were put; None for who never was here, or has no account."""
        await self.run_(last_activity.put, JULIET, Left(1.0, 'not an account'))
        self.assertIsNone(await self.run_(last_activity.get, JULIET))
        await self.run_(accounts.add, JULIET, {})
        await self.run_(last_activity.put, JULIET, Left(1.5, 'Gone to Mantua 🗡'))
        self.assertEqual(await self.run_(last_activity.get, JULIET), Left(1.5, 'Gone to Mantua 🗡'))
        await self.run_(last_activity.put, JULIET, Left(1700000000.125, ''))
        self.assertEqual(await self.run_(last_activity.get, JULIET), Left(1700000000.125, ''))
        self.assertIsNone(await self.run_(last_activity.get, ROMEO))

    async def test_what_belongs_to_an_account_goes_with_it(self) -> None:
        """And another's stays."""
        for owner in (JULIET, ROMEO):
            await self.run_(accounts.add, owner, {})
            await self.run_(private_xml.put, owner, [('{a}x', b'<x/>')], 9, 99)
            await self.run_(vcards.put, owner, FULL_CARD)
            await self.run_(last_activity.put, owner, Left(1.0, ''))
        await self.run_(accounts.remove, JULIET)
        self.assertIsNone(await self.run_(private_xml.get, JULIET, '{a}x'))
        self.assertIsNone(await self.run_(vcards.get, JULIET))
        self.assertIsNone(await self.run_(last_activity.get, JULIET))
        self.assertEqual(await self.run_(private_xml.get, ROMEO, '{a}x'), b'<x/>')
        self.assertEqual(await self.run_(vcards.get, ROMEO), FULL_CARD)
        self.assertEqual(await self.run_(last_activity.get, ROMEO), Left(1.0, ''))

    async def test_waiting_messages_have_a_limit_of_bytes(self) -> None:
        """Full means that this one does not fit: a smaller one may; a repeat is told as one all the same."""
        push = offline.push
        for number, size, outcome in ((1, 6, STORED), (2, 5, FULL), (3, 4, STORED), (4, 1, FULL), (1, 6, REPEAT)):
            pushed = await self.run_(push, JULIET, bytes([number]) * 24, b'x' * size, 1.0, 9, 10)
            self.assertEqual(pushed, outcome, number)
        self.assertEqual(await self.run_(push, ROMEO, b'u' * 24, b'x' * 10, 1.0, 9, 10), STORED)

    async def test_old_messages_make_room_when_there_is_none(self) -> None:
        """Those before the time given, and not before they must."""
        push = offline.push
        for number, at in enumerate((1.0, 5.0, 2.0)):
            await self.run_(push, JULIET, bytes([number]) * 24, b'm', at, 3, 99, 3.0)
        self.assertEqual(await self.run_(offline.count, JULIET), 3)
        self.assertEqual(await self.run_(push, JULIET, b'x' * 24, b'm', 6.0, 3, 99, 3.0), STORED)
        self.assertEqual([stored.at for _, stored in await self.run_(offline.page, JULIET, 0, 9)], [5.0, 6.0])

    async def test_expire_deletes_what_came_before(self) -> None:
        """Of that owner alone; how many."""
        for owner in (JULIET, ROMEO):
            for number, at in enumerate((1.0, 5.0, 2.0)):
                await self.run_(offline.push, owner, bytes([number]) * 24, b'm', at, 9)
        self.assertEqual(await self.run_(offline.expire, JULIET, 5.0), 2)
        self.assertEqual(await self.run_(offline.expire, JULIET, 5.0), 0)
        self.assertEqual(await self.run_(offline.count, JULIET), 1)
        self.assertEqual(await self.run_(offline.count, ROMEO), 3)
