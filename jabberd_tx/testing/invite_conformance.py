"""What storage must do with invitations (XEP-0445).  Part of StorageConformance (storage_conformance.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jabberd_tx.storage import invites
from jabberd_tx.storage.invites import Invite

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _Base
else:
    _Base = object

DOMAIN = 'example.net'


class InviteConformance(_Base):
    """`run_` is the storage's `run`."""

    run_: Callable[..., Any]

    async def test_an_invitation_is_used_as_often_as_it_says(self) -> None:
        """And once more when a use is given back."""
        await self.run_(invites.add, DOMAIN, 'a' * 64, Invite('', 100.0, 2), 1.0)
        for right in (True, True, False):
            self.assertIs(await self.run_(invites.use, DOMAIN, 'a' * 64), right)
        self.assertIsNone(await self.run_(invites.get, DOMAIN, 'a' * 64))
        self.assertEqual(await self.run_(invites.listing, DOMAIN), [])
        await self.run_(invites.give_back, DOMAIN, 'a' * 64)
        self.assertEqual(await self.run_(invites.get, DOMAIN, 'a' * 64), Invite('', 100.0, 1))
        self.assertIs(await self.run_(invites.use, 'example.org', 'a' * 64), False)

    async def test_a_name_is_kept_for_whoever_is_invited_until_that_ends(self) -> None:
        """From all others."""
        await self.run_(invites.add, DOMAIN, 'a' * 64, Invite('juliet', 100.0, 1), 1.0)
        for name, token, now, kept in (
            ('juliet', '', 99.0, True),
            ('juliet', 'b' * 64, 99.0, True),
            ('juliet', 'a' * 64, 99.0, False),
            ('juliet', '', 100.0, False),
            ('romeo', '', 1.0, False),
        ):
            self.assertIs(await self.run_(invites.reserved, DOMAIN, name, token, now), kept)

    async def test_invitations_are_listed_and_removed_and_go_when_they_have_ended(self) -> None:
        """Those that end first at the beginning."""
        first, second, third = Invite('', 100.0, 1), Invite('x', 200.0, 1), Invite('', 300.0, 9)
        for token, invite in (('b', second), ('a', first)):
            await self.run_(invites.add, DOMAIN, token * 64, invite, 1.0)
        self.assertEqual(await self.run_(invites.listing, DOMAIN), [('a' * 64, first), ('b' * 64, second)])
        await self.run_(invites.add, DOMAIN, 'c' * 64, third, 150.0)
        self.assertEqual(await self.run_(invites.listing, DOMAIN), [('b' * 64, second), ('c' * 64, third)])
        self.assertIs(await self.run_(invites.remove, DOMAIN, 'b' * 64), True)
        self.assertIs(await self.run_(invites.remove, DOMAIN, 'b' * 64), False)
        self.assertEqual(await self.run_(invites.listing, DOMAIN), [('c' * 64, third)])
