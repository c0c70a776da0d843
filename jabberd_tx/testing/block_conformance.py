"""What storage must do with block lists (XEP-0191).  Part of StorageConformance (storage_conformance.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jabberd_tx.storage import accounts, blocks
from jabberd_tx.storage.blocks import Changed

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _Base
else:
    _Base = object

JULIET, ROMEO = 'juliet@example.net', 'romeo@example.net'
# As long as a JID can be.
LONGEST = f'{"l" * 1023}@{"d" * 1023}/{"é" * 511}'


class BlockConformance(_Base):
    """`run_` is the storage's `run`."""

    run_: Callable[..., Any]

    async def test_a_list_has_what_was_added_and_not_removed(self) -> None:
        """Each JID once; what was before and what is after is told; other users' lists are others."""
        self.assertEqual(await self.run_(blocks.get, JULIET), [])
        self.assertEqual(await self.run_(blocks.add, JULIET, ['b@x', 'a@x'], 9), Changed([], ['a@x', 'b@x']))
        changed = await self.run_(blocks.add, JULIET, ['c@x', 'a@x', 'c@x'], 9)
        self.assertEqual(changed, Changed(['a@x', 'b@x'], ['a@x', 'b@x', 'c@x']))
        changed = await self.run_(blocks.remove, JULIET, ['b@x', 'd@x'])
        self.assertEqual(changed, Changed(['a@x', 'b@x', 'c@x'], ['a@x', 'c@x']))
        self.assertEqual(await self.run_(blocks.get, JULIET), ['a@x', 'c@x'])
        self.assertEqual(await self.run_(blocks.get, ROMEO), [])

    async def test_clear_leaves_nobody(self) -> None:
        """Of that owner alone; a list without anybody stays one."""
        for owner in (JULIET, ROMEO):
            await self.run_(blocks.add, owner, ['a@x', 'b@x'], 9)
        self.assertEqual(await self.run_(blocks.clear, JULIET), Changed(['a@x', 'b@x'], []))
        self.assertEqual(await self.run_(blocks.clear, JULIET), Changed([], []))
        self.assertEqual(await self.run_(blocks.get, JULIET), [])
        self.assertEqual(await self.run_(blocks.get, ROMEO), ['a@x', 'b@x'])

    async def test_a_list_has_its_limit(self) -> None:
        """Beyond it nothing at all is added; what is there already needs no room, also where the limit is lower now."""
        self.assertIsNone(await self.run_(blocks.add, JULIET, ['a@x', 'b@x', 'c@x'], 2))
        self.assertEqual(await self.run_(blocks.get, JULIET), [])
        await self.run_(blocks.add, JULIET, ['a@x', 'b@x'], 2)
        self.assertIsNone(await self.run_(blocks.add, JULIET, ['c@x', 'a@x'], 2))
        self.assertEqual(await self.run_(blocks.add, JULIET, ['a@x'], 1), Changed(['a@x', 'b@x'], ['a@x', 'b@x']))

    async def test_jids_of_any_length_are_told_apart_by_their_bytes(self) -> None:
        """Resources by case as well, and what differs in its last character alone."""
        jids = sorted([LONGEST, LONGEST[:-1] + 'è', 'a@x/r', 'a@x/R', 'a@x', 'x/r', 'x'])
        await self.run_(blocks.add, JULIET, jids, 9)
        self.assertEqual(await self.run_(blocks.get, JULIET), jids)
        await self.run_(blocks.remove, JULIET, [LONGEST, 'a@x/R'])
        self.assertEqual(await self.run_(blocks.get, JULIET), [jid for jid in jids if jid not in (LONGEST, 'a@x/R')])

    async def test_a_list_goes_with_its_account(self) -> None:
        """And another's stays."""
        for owner in (JULIET, ROMEO):
            await self.run_(accounts.add, owner, {})
            await self.run_(blocks.add, owner, ['a@x'], 9)
        await self.run_(accounts.remove, JULIET)
        self.assertEqual(await self.run_(blocks.get, JULIET), [])
        self.assertEqual(await self.run_(blocks.get, ROMEO), ['a@x'])
