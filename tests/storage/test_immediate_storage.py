"""The storage that tests on a fake clock use is held to the same suite."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from jabberd_tx.storage import accounts
from jabberd_tx.storage.operations import Storage, StorageError
from jabberd_tx.testing.storage import ImmediateStorage
from jabberd_tx.testing.storage_conformance import JULIET, StorageConformance


class ImmediateStorageTests(StorageConformance, TestCase):
    """In memory, without a thread."""

    async def make_storage(self) -> Storage:
        return ImmediateStorage()

    def test_results_have_fired_and_it_can_be_broken(self) -> None:
        """A test needs no reactor, and can see what others do when storage fails."""
        storage = ImmediateStorage()
        self.assertIs(self.successResultOf(storage.run(accounts.exists, JULIET)), False)
        storage.broken = 'the disk is gone'
        error = self.failureResultOf(storage.run(accounts.exists, JULIET), StorageError)
        self.assertEqual(str(error.value), 'the disk is gone')
        storage.broken = ''
        self.assertIs(self.successResultOf(storage.run(accounts.exists, JULIET)), False)
