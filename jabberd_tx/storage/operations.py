"""What components ask of storage: named operations, each declared once.

    @read('roster.get', cache='roster')
    def get(run, owner):
        return [Item(*row) for row in run(SELECT_ITEMS, owner=owner)]

    @write('roster.set', invalidates=('roster',))
    def set_item(run, owner, item): ...

    items = await storage.run(rosters.get, 'juliet@example.net')

`run(statement, **parameters)` executes an SQLAlchemy Core statement, compiled once for each dialect,
and returns its rows, tuples; for a statement that returns none, one row with the number of rows that it
found and changed.  Statements are constants of their modules, and are always run with the same parameter
names: for an insert these are the columns; in an update or delete the parameters of its WHERE must not be
named as a column that it sets.

An operation runs whole in one transaction, off the reactor thread.  A body has no effects but those on the
database, for it may be run again when another one in the same transaction has failed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from twisted.internet.defer import Deferred

Run = Callable[..., list[Any]]


@dataclass(frozen=True)
class Operation:
    """name      'roster.get'
    reads        True: may go to a replica and to a cache; False: goes to the primary
    cache        the key under which, with the owner, the result may be cached; '' for not at all
    invalidates  the keys, with the owner, that a write makes stale
    body         body(run, owner, *arguments) -> result; `owner` is the shard key, a bare JID
    """

    name: str
    reads: bool
    body: Callable[..., Any]
    cache: str = ''
    invalidates: tuple[str, ...] = ()


def read(name: str, cache: str = '') -> Callable[[Callable[..., Any]], Operation]:
    """Declare an operation that changes nothing."""
    return lambda body: Operation(name, True, body, cache=cache)


def write(name: str, invalidates: tuple[str, ...] = ()) -> Callable[[Callable[..., Any]], Operation]:
    """Declare an operation that changes something."""
    return lambda body: Operation(name, False, body, invalidates=invalidates)


class StorageError(Exception):
    """The operation was not carried out: overloaded, timed out, or the database failed.  The text says which."""


class Storage(Protocol):
    """Runs operations: embedded SQLite, a MySQL pool, or the database middleware."""

    def run(self, operation: Operation, owner: str, *arguments: Any) -> Deferred[Any]:
        """The operation's result, or StorageError."""

    def start(self) -> Deferred[None]:
        """Open, check the schema.  StorageError says what to do when it is older or newer than this code."""

    def stop(self) -> Deferred[None]:
        """Finish what was asked, then close."""
