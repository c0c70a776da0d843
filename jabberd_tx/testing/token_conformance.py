"""What storage must do with tokens to log in with (XEP-0484).  Part of StorageConformance (storage_conformance.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jabberd_tx.storage import accounts, fast_tokens
from jabberd_tx.storage.fast_tokens import CURRENT, MOST_CLIENTS, NEW, Token
from jabberd_tx.xmpp.sasl.verifiers import Verifier

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _Base
else:
    _Base = object

JULIET, ROMEO = 'juliet@example.net', 'romeo@example.net'
HT = 'HT-SHA-256-NONE'
CREDENTIALS = {'SCRAM-SHA-1': Verifier(b's', 4096, b'k', b'k')}


class TokenConformance(_Base):
    """`run_` is the storage's `run`."""

    run_: Callable[..., Any]

    async def test_a_client_has_a_token_in_use_and_a_new_one(self) -> None:
        """Given, one is new, in the place of one never used; used, it takes the place of the one before."""
        give, use, of_client = fast_tokens.give, fast_tokens.use, fast_tokens.of_client
        await self.run_(give, JULIET, 'phone', HT, b'1', 100.0, 1.0)
        await self.run_(give, JULIET, 'phone', HT, b'2', 200.0, 2.0)
        self.assertEqual(await self.run_(of_client, JULIET, 'phone'), [Token(NEW, HT, b'2', 200.0, 0, 2.0)])
        self.assertIs(await self.run_(use, JULIET, 'phone', b'1', None, 3.0, False), False)
        self.assertIs(await self.run_(use, JULIET, 'phone', b'2', 7, 3.0, False), True)
        used = Token(CURRENT, HT, b'2', 200.0, 7, 3.0)
        await self.run_(give, JULIET, 'phone', HT, b'3', 300.0, 4.0)
        self.assertEqual(
            await self.run_(of_client, JULIET, 'phone'), [Token(NEW, HT, b'3', 300.0, 0, 4.0), used]
        )
        self.assertIs(await self.run_(use, JULIET, 'phone', b'2', None, 5.0, False), True)
        self.assertEqual(len(await self.run_(of_client, JULIET, 'phone')), 2)
        self.assertIs(await self.run_(use, JULIET, 'phone', b'3', None, 6.0, False), True)
        self.assertEqual(await self.run_(of_client, JULIET, 'phone'), [Token(CURRENT, HT, b'3', 300.0, 0, 6.0)])
        self.assertEqual(await self.run_(of_client, JULIET, 'laptop'), [])
        self.assertEqual(await self.run_(of_client, ROMEO, 'phone'), [])

    async def test_a_count_is_used_once(self) -> None:
        """With that count or a lower one a token is not used again."""
        await self.run_(fast_tokens.give, JULIET, 'phone', HT, b'1', 100.0, 1.0)
        for count, right in ((1, True), (1, False), (0, False), (5, True), (4, False), (None, True), (5, False)):
            self.assertIs(await self.run_(fast_tokens.use, JULIET, 'phone', b'1', count, 2.0, False), right)

    async def test_tokens_end_with_the_client_the_password_and_the_account(self) -> None:
        """And those of the client that was not heard of for longest, when there are too many."""
        give, of_client = fast_tokens.give, fast_tokens.of_client
        await self.run_(accounts.add, JULIET, CREDENTIALS)
        for end in ('client', 'password', 'account'):
            await self.run_(give, JULIET, 'phone', HT, b'1', 100.0, 1.0)
            if end == 'client':
                self.assertIs(await self.run_(fast_tokens.use, JULIET, 'phone', b'1', None, 2.0, True), True)
            elif end == 'password':
                await self.run_(accounts.change, JULIET, CREDENTIALS)
            else:
                await self.run_(accounts.remove, JULIET)
            self.assertEqual(await self.run_(of_client, JULIET, 'phone'), [])
        for n in range(MOST_CLIENTS + 1):
            await self.run_(give, JULIET, f'client {n}', HT, b'1', 100.0, float(-n if n < 2 else n))
        there = [bool(await self.run_(of_client, JULIET, f'client {n}')) for n in range(MOST_CLIENTS + 1)]
        self.assertEqual(there, [True, False, *[True] * (MOST_CLIENTS - 1)])
