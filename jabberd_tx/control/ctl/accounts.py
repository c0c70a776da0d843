"""Accounts as `jabberd-ctl user` changes them: in a running server, or in the database file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from jabberd_tx.control.account_operations import MOST_TOGETHER, packed
from jabberd_tx.control.admin_client import AdminLink
from jabberd_tx.control.admin_wire import AdminError
from jabberd_tx.storage import accounts
from jabberd_tx.storage.migrations import make_ready
from jabberd_tx.storage.operations import Operation, StorageError
from jabberd_tx.storage.sql.database import Call, Database
from jabberd_tx.xmpp.sasl.verifiers import Credentials

__all__ = ['MOST_TOGETHER', 'Accounts', 'AccountsInDatabase', 'AccountsOfServer']


class Accounts(Protocol):
    """The operations of storage/accounts.py, waited for.  StorageError, AdminError."""

    def exists(self, owner: str) -> bool:
        """Whether there is such an account."""

    def add(self, owner: str, credentials: Credentials) -> bool:
        """False: there is one already."""

    def change(self, owner: str, credentials: Credentials) -> bool:
        """False: there is none."""

    def remove(self, owner: str) -> int | None:
        """How many sessions were ended; None: there is no such account."""

    def page(self, domain: str, after: str) -> list[str]:
        """Up to MOST_TOGETHER accounts that sort after `after`."""

    def put_many(self, domain: str, pairs: Sequence[tuple[str, Credentials]]) -> int:
        """At most MOST_TOGETHER; how many are new."""


_GONE = 'the account has been deleted'


class AccountsOfServer:
    """Asks a process that has storage; tells every session manager of an account that is gone."""

    def __init__(self, link: AdminLink, session_managers: Sequence[AdminLink]) -> None:
        self._ask, self._session_managers = link.ask, session_managers

    def exists(self, owner: str) -> bool:
        """See Accounts."""
        return bool(self._ask('account.exists', owner=owner))

    def add(self, owner: str, credentials: Credentials) -> bool:
        """See Accounts."""
        return bool(self._ask('account.add', owner=owner, verifiers=packed(credentials)))

    def change(self, owner: str, credentials: Credentials) -> bool:
        """See Accounts."""
        return bool(self._ask('account.change', owner=owner, verifiers=packed(credentials)))

    def remove(self, owner: str) -> int | None:
        """See Accounts.  One session manager tells the account's contacts as well; all forget what they know of it."""
        if not self._session_managers:
            return 0 if self._ask('account.remove', owner=owner) else None
        first, *others = self._session_managers
        ended = first.ask('account.cancel', owner=owner, text=_GONE)
        if ended is None:
            return None
        try:
            return int(ended) + sum([int(manager.ask('kick', owner=owner, text=_GONE)) for manager in others])
        except AdminError as error:
            raise AdminError(error.condition, f'{owner} is deleted, but may still be online: {error}') from None

    def page(self, domain: str, after: str) -> list[str]:
        """See Accounts."""
        return list(self._ask('account.page', domain=domain, after=after, limit=MOST_TOGETHER))

    def put_many(self, domain: str, pairs: Sequence[tuple[str, Credentials]]) -> int:
        """See Accounts."""
        return int(self._ask('account.put_many', domain=domain, pairs=[[owner, packed(c)] for owner, c in pairs]))


class AccountsInDatabase:
    """The database itself, for as long as no server runs; it is made if it is not there."""

    def __init__(self, database: Database) -> None:
        make_ready(database)
        self._connection = database.connect()
        self.close = self._connection.close

    def _run(self, operation: Operation, owner: str, *arguments: Any) -> Any:
        (result,) = self._connection.transact([Call(operation, owner, arguments)])
        if isinstance(result, StorageError):
            raise result
        return result

    def exists(self, owner: str) -> bool:
        """See Accounts."""
        return bool(self._run(accounts.exists, owner))

    def add(self, owner: str, credentials: Credentials) -> bool:
        """See Accounts."""
        return bool(self._run(accounts.add, owner, credentials))

    def change(self, owner: str, credentials: Credentials) -> bool:
        """See Accounts."""
        return bool(self._run(accounts.change, owner, credentials))

    def remove(self, owner: str) -> int | None:
        """See Accounts."""
        return 0 if self._run(accounts.remove, owner) else None

    def page(self, domain: str, after: str) -> list[str]:
        """See Accounts."""
        return list(self._run(accounts.page, domain, after, MOST_TOGETHER))

    def put_many(self, domain: str, pairs: Sequence[tuple[str, Credentials]]) -> int:
        """See Accounts."""
        return int(self._run(accounts.put_many, domain, pairs))
