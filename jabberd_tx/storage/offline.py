"""Messages that wait for their owner (RFC 6121 §8.5.2.2, XEP-0160), each under its uid (docs/delivery.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, delete, func, insert, select

from jabberd_tx.storage.operations import Run, read, write
from jabberd_tx.storage.schema import offline

_OF_OWNER = offline.c.owner == bindparam('who')
_OF_UID = offline.c.uid == bindparam('which')
_AT = offline.c.position == bindparam('where')

SELECT_UID = select(offline.c.position, offline.c.at).where(_OF_OWNER, _OF_UID)
# Locks the owner's rows where rows can be locked, so that two pushes at once don't pass the limit together.
USED = select(func.count(), func.coalesce(func.sum(offline.c.size), 0)).where(_OF_OWNER).with_for_update()
COUNT = select(func.count()).select_from(offline).where(_OF_OWNER)
INSERT = insert(offline)
SELECT_PAGE = (
    select(offline.c.position, offline.c.uid, offline.c.stanza, offline.c.at)
    .where(_OF_OWNER, offline.c.position > bindparam('after'))
    .order_by(offline.c.position)
    .limit(bindparam('most'))
)
DELETE_ONE = delete(offline).where(_OF_OWNER, _AT)
DELETE_POSITION = delete(offline).where(_AT)
# By position, which is the order in which they came, but for the few that have come back.
SELECT_OLDEST = (
    select(offline.c.position, offline.c.at)
    .where(offline.c.position > bindparam('after'))
    .order_by(offline.c.position)
    .limit(bindparam('most'))
)
DELETE_EXPIRED = delete(offline).where(_OF_OWNER, offline.c.at < bindparam('before'))
DELETE_ALL = delete(offline).where(_OF_OWNER)

STORED, REPEAT, FULL = 'stored', 'repeat', 'full'


class Stored(NamedTuple):
    """uid: 24 bytes; stanza: packed; at: when it came in, in seconds since 1970 UTC."""

    uid: bytes
    stanza: bytes
    at: float


@write('offline.push')
def push(
    run: Run,
    owner: str,
    uid: bytes,
    stanza: bytes,
    at: float,
    limit: int,
    limit_bytes: int = 2**63 - 1,
    expired: float = 0.0,
    again: bool = False,
) -> str:
    """STORED; REPEAT: that uid is there already; FULL: with it the owner would have more than `limit` of them or more
    than `limit_bytes`, nothing is changed.  Those that came before `expired` make room.

    `again`: it was given to a client, and has come back; if it is still there it takes a new position, so that whoever
    gave it does not drop it.
    """
    there = run(SELECT_UID, who=owner, which=uid)
    if there and not again:
        return REPEAT
    if there:
        ((position, at),) = there
        run(DELETE_ONE, who=owner, where=position)
    elif _is_full(run, owner, len(stanza), limit, limit_bytes) and (
        not run(DELETE_EXPIRED, who=owner, before=expired)[0][0]
        or _is_full(run, owner, len(stanza), limit, limit_bytes)
    ):
        return FULL
    run(INSERT, owner=owner, uid=uid, stanza=stanza, at=at, size=len(stanza))
    return STORED


def _is_full(run: Run, owner: str, more: int, limit: int, limit_bytes: int) -> bool:
    count, size = run(USED, who=owner)[0]
    return bool(count >= limit or size + more > limit_bytes)


@write('offline.expire')
def expire(run: Run, owner: str, before: float) -> int:
    """Delete those that came before that time; how many."""
    gone: int = run(DELETE_EXPIRED, who=owner, before=before)[0][0]
    return gone


@write('offline.sweep')
def sweep(run: Run, owner: str, before: float, most: int) -> tuple[int, bool]:
    """Look at the `most` oldest messages of all owners, and delete those that came before that time: how many, and
    whether all of them had, so that there may be more.  `owner` only says where: any owner of that place will do."""
    oldest = run(SELECT_OLDEST, after=0, most=most)
    gone = [position for position, at in oldest if at < before]
    for position in gone:
        run(DELETE_POSITION, where=position)
    return len(gone), len(gone) == most


@read('offline.page')
def page(run: Run, owner: str, after: int, limit: int) -> list[tuple[int, Stored]]:
    """The oldest `limit` beyond position `after` (0: from the start), as (position, Stored), oldest first."""
    return [(row[0], Stored(row[1], row[2], row[3])) for row in run(SELECT_PAGE, who=owner, after=after, most=limit)]


@write('offline.drop')
def drop(run: Run, owner: str, positions: Sequence[int]) -> int:
    """Delete what stands at these; how many of them were there."""
    return sum([run(DELETE_ONE, who=owner, where=position)[0][0] for position in positions])


@read('offline.count')
def count(run: Run, owner: str) -> int:
    """How many wait for the owner."""
    total: int = run(COUNT, who=owner)[0][0]
    return total
