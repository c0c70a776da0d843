"""Accounts over the admin link: what is checked before storage is asked."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from jabberd_tx.control.account_operations import MOST_TOGETHER, account_operations, kick_operation, packed
from jabberd_tx.control.admin_wire import AdminError
from jabberd_tx.storage import accounts
from jabberd_tx.storage.operations import StorageError
from jabberd_tx.testing.storage import ImmediateStorage
from jabberd_tx.testing.storage_conformance import JULIET, ROMEO, credentials_of

VERIFIERS = packed(credentials_of(b'j'))


class AccountOperationsTests(TestCase):
    """Called as the admin socket calls them."""

    def setUp(self) -> None:
        self.storage = ImmediateStorage()
        self.operations = account_operations(self.storage)

    def ask(self, name: str, **arguments: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(self.operations[name](**arguments)))  # type: ignore[arg-type]

    def refused(self, name: str, **arguments: Any) -> str:
        failed = Deferred.fromCoroutine(self.operations[name](**arguments))  # type: ignore[arg-type]
        error = self.failureResultOf(failed, AdminError).value
        assert isinstance(error, AdminError)
        self.assertEqual(error.condition, 'bad-request')
        return error.text

    def test_an_account_s_life(self) -> None:
        """Made once, changed, listed, removed; what is stored is what login reads."""
        self.assertIs(self.ask('account.exists', owner=JULIET), False)
        self.assertIs(self.ask('account.change', owner=JULIET, verifiers=VERIFIERS), False)
        self.assertIs(self.ask('account.add', owner=JULIET, verifiers=VERIFIERS), True)
        self.assertIs(self.ask('account.add', owner=JULIET, verifiers=VERIFIERS), False)
        stored = self.successResultOf(self.storage.run(accounts.credentials, JULIET))
        self.assertEqual(stored, credentials_of(b'j'))
        self.assertIs(self.ask('account.change', owner=JULIET, verifiers=packed(credentials_of(b'k'))), True)
        self.assertEqual(self.ask('account.page', domain='example.net', after='', limit=9), [JULIET])
        self.assertIs(self.ask('account.exists', owner=JULIET), True)
        self.assertIs(self.ask('account.remove', owner=JULIET), True)
        self.assertIs(self.ask('account.remove', owner=JULIET), False)

    def test_many_at_once(self) -> None:
        """How many are new; pages have a bound, whatever is asked for."""
        names = [f'user{number:04}@example.net' for number in range(MOST_TOGETHER)]
        pairs = [[name, VERIFIERS] for name in names]
        self.assertEqual(self.ask('account.put_many', domain='example.net', pairs=pairs), MOST_TOGETHER)
        self.assertEqual(self.ask('account.put_many', domain='example.net', pairs=[[ROMEO, VERIFIERS], *pairs[:5]]), 1)
        self.assertEqual(len(self.ask('account.page', domain='example.net', after='', limit=10**9)), MOST_TOGETHER)
        self.assertEqual(self.ask('account.page', domain='example.net', after=names[-1], limit=-5), [])

    def test_owners_must_be_prepared_bare_jids(self) -> None:
        """Each operation refuses others, and stores nothing."""
        for owner in ('Juliet@example.net', 'example.net', JULIET + '/balcony', 'a b@example.net', '', 5, b'x', None):
            for name in ('account.add', 'account.change'):
                self.assertIn('prepared bare JID', self.refused(name, owner=owner, verifiers=VERIFIERS))
            self.refused('account.remove', owner=owner)
            self.refused('account.exists', owner=owner)
            self.refused('account.put_many', domain='example.net', pairs=[[owner, VERIFIERS]])
        self.assertEqual(self.ask('account.page', domain='example.net', after='', limit=9), [])

    def test_verifiers_must_be_verifiers(self) -> None:
        """Of the right kinds; a malformed one would lock its user out."""
        good = VERIFIERS['SCRAM-SHA-1']
        too_many = {str(number): good for number in range(17)}
        for verifiers in (
            {},
            too_many,
            [],
            None,
            {5: good},
            {'X': good[:3]},
            {'X': ['salt', *good[1:]]},
            {'X': 'abcd'},
        ):
            self.refused('account.add', owner=JULIET, verifiers=verifiers)
            self.refused('account.put_many', domain='example.net', pairs=[[JULIET, verifiers]])

    def test_pairs_are_of_the_domain_that_is_named(self) -> None:
        """For it says where they are stored; nor may there be too many, or other things."""
        self.refused('account.put_many', domain='example.org', pairs=[[JULIET, VERIFIERS]])
        self.refused('account.put_many', domain='example.net', pairs=[[JULIET, VERIFIERS]] * (MOST_TOGETHER + 1))
        for pairs in (None, [JULIET], [[JULIET]], {}):
            self.refused('account.put_many', domain='example.net', pairs=pairs)
        self.refused('account.page', domain='example.net', after=b'', limit=1)

    def test_kick_ends_sessions_of_an_account(self) -> None:
        """With the stream error for it, and the text given; other owners than prepared bare JIDs are refused."""
        kicked = []

        async def kick(bare: str, condition: str, text: str) -> int:
            kicked.append((bare, condition, text))
            return 2

        self.operations = {'kick': kick_operation(kick)}
        self.assertEqual(self.ask('kick', owner=JULIET), 2)
        self.assertEqual(self.ask('kick', owner=JULIET, text='gone'), 2)
        self.assertEqual(kicked, [(JULIET, 'not-authorized', ''), (JULIET, 'not-authorized', 'gone')])
        self.refused('kick', owner=JULIET + '/balcony')
        self.refused('kick', owner=JULIET, text=5)
        self.assertEqual(len(kicked), 2)

    def test_a_failing_database_is_told(self) -> None:
        """As storage said it."""
        self.storage.broken = 'the disk is gone'
        asked = Deferred.fromCoroutine(self.operations['account.exists'](owner=JULIET))  # type: ignore[arg-type]
        self.failureResultOf(asked, StorageError)
