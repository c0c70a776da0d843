"""What a kind of database is to those that run operations on it, and to those that change its schema."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from jabberd_tx.storage.operations import Operation, StorageError


class Call(NamedTuple):
    """An operation with what it is called with."""

    operation: Operation
    owner: str
    arguments: tuple[Any, ...]


class SqlConnection(Protocol):
    """One connection.  Used by one thread at a time."""

    def transact(self, calls: Sequence[Call]) -> list[Any]:
        """Run the calls in order in one transaction; for each its result, or the StorageError that it failed with.

        A call that fails undoes only what it did itself.  When the transaction fails as a whole nothing of it was done.
        """

    def close(self) -> None:
        """Use it no more."""


class Marks(NamedTuple):
    """What a database says of its schema.

    version   of the package's own tables; None: it has no tables at all
    modules   steps that the tables of each module have gone through, by name
    """

    version: str | None
    modules: dict[str, int]


class Database(Protocol):
    """One database.

    name      how messages call it: a path, or a URL without its password
    dialect   SQLAlchemy's name for its kind: 'sqlite', 'mysql'
    whole     whether an upgrade that fails leaves nothing changed
    """

    name: str
    dialect: str
    whole: bool

    def connect(self) -> SqlConnection:
        """A connection for operations.  Any exception when there can't be one."""

    def prepare(self) -> None:
        """Make what must be there before tables can be made."""

    def marks(self) -> Marks:
        """Its schema.  StorageError: it is no database, or that of something else, or can't be asked."""

    def changing(self) -> AbstractContextManager[Any]:
        """An SQLAlchemy connection for changes of the schema, which nobody else makes meanwhile; what they need to
        keep (triggers of modules) is kept."""


def failed(error: Exception, name: str = '') -> StorageError:
    """The error of an operation.  Drivers name tables and columns in theirs, never values."""
    if isinstance(error, StorageError):
        return error
    text = f'{name}: {error}' if name else str(error)
    found = StorageError(text)
    found.__cause__ = error
    return found
