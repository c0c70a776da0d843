"""How often a roster has changed (RFC 6121 §2.6), and who has been removed from it.

A version is written ERA.NUMBER.  The number is counted up in the transaction of each change, whichever process makes
it; the era is made up with a roster's first change, for an account of the same name may come a second time.
"""

from __future__ import annotations

from sqlalchemy import bindparam, delete, insert, select, update

from jabberd_tx.storage.operations import Run
from jabberd_tx.storage.schema import roster_removed, roster_versions

# Removed contacts that are remembered, for clients that come back with an older version.
MOST_REMOVED = 100
# The version of a roster in which nothing has ever changed.
NEVER = '0'

_OF_OWNER = roster_versions.c.owner == bindparam('who')
SELECT_VERSION = select(roster_versions.c.era, roster_versions.c.version, roster_versions.c.since).where(_OF_OWNER)
COUNT_UP = update(roster_versions).where(_OF_OWNER).values(version=roster_versions.c.version + 1)
INSERT_VERSION = insert(roster_versions)
UPDATE_SINCE = update(roster_versions).where(_OF_OWNER).values(since=bindparam('new_since'))
DELETE_VERSION = delete(roster_versions).where(_OF_OWNER)

_REMOVED_OF = roster_removed.c.owner == bindparam('who')
INSERT_REMOVED = insert(roster_removed)
SELECT_REMOVED = (
    select(roster_removed.c.contact, roster_removed.c.version)
    .where(_REMOVED_OF, roster_removed.c.version > bindparam('after'))
    .order_by(roster_removed.c.version)
)
DELETE_REMOVED = delete(roster_removed).where(_REMOVED_OF, roster_removed.c.contact == bindparam('whom'))
DELETE_ALL_REMOVED = delete(roster_removed).where(_REMOVED_OF)


def current(run: Run, owner: str) -> str:
    """The roster's version."""
    rows = run(SELECT_VERSION, who=owner)
    return written(rows[0][0], rows[0][1]) if rows else NEVER


def written(era: str, number: int) -> str:
    """As clients see it."""
    return f'{era}.{number}'


def count_up(run: Run, owner: str, era: str) -> tuple[str, int]:
    """The next version, as (era, number); a roster that had none gets the first of the era given."""
    if not run(COUNT_UP, who=owner)[0][0]:
        run(INSERT_VERSION, owner=owner, era=era, version=1, since=1)
    era, number, _ = run(SELECT_VERSION, who=owner)[0]
    return era, number


def after(run: Run, owner: str, version: str) -> tuple[str, int] | None:
    """A version that a client has, as (era, number); None: what has changed since is not known, or it never was one."""
    era, _, number = version.rpartition('.')
    rows = run(SELECT_VERSION, who=owner)
    if not rows or rows[0][0] != era or not (number.isascii() and number.isdecimal() and len(number) < 19):
        return None
    return (era, int(number)) if rows[0][2] <= int(number) <= rows[0][1] else None


def note_removed(run: Run, owner: str, jid: str, number: int) -> None:
    """Remember that a contact was removed in that version; the oldest are forgotten."""
    run(INSERT_REMOVED, owner=owner, contact=jid, version=number)
    gone = removed(run, owner, 0)
    for contact, at in gone[: max(0, len(gone) - MOST_REMOVED)]:
        forget_removed(run, owner, contact)
        run(UPDATE_SINCE, who=owner, new_since=at)


def removed(run: Run, owner: str, number: int) -> list[tuple[str, int]]:
    """(contact, version) of those removed after that version, oldest first."""
    return run(SELECT_REMOVED, who=owner, after=number)


def forget_removed(run: Run, owner: str, jid: str) -> None:
    """The contact is in the roster again."""
    run(DELETE_REMOVED, who=owner, whom=jid)


def forget_all(run: Run, owner: str) -> None:
    """The account is removed."""
    run(DELETE_VERSION, who=owner)
    run(DELETE_ALL_REMOVED, who=owner)
