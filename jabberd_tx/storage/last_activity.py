"""When users were last here, and what they said when they left (XEP-0012)."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update

from jabberd_tx.storage.operations import Run, read, write
from jabberd_tx.storage.schema import accounts, last_activity

_OF_OWNER = last_activity.c.owner == bindparam('who')

SELECT_ACCOUNT = select(accounts.c.owner).where(accounts.c.owner == bindparam('who'))
SELECT = select(last_activity.c.at, last_activity.c.status).where(_OF_OWNER)
INSERT = insert(last_activity)
UPDATE = update(last_activity).where(_OF_OWNER).values(at=bindparam('new_at'), status=bindparam('new_status'))
DELETE = delete(last_activity).where(_OF_OWNER)


class Left(NamedTuple):
    """at: in seconds since 1970 UTC; status: that of the unavailable presence, or ''."""

    at: float
    status: str


@read('last.get')
def get(run: Run, owner: str) -> Left | None:
    """None: never."""
    rows = run(SELECT, who=owner)
    return Left(*rows[0]) if rows else None


@write('last.put')
def put(run: Run, owner: str, left: Left) -> None:
    """In the place of what was known; nothing happens for who has no account (any more)."""
    if not run(SELECT_ACCOUNT, who=owner):
        return
    if not run(UPDATE, who=owner, new_at=left.at, new_status=left.status)[0][0]:
        run(INSERT, owner=owner, at=left.at, status=left.status)
