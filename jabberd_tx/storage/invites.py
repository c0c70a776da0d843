"""Invitations: who has the token of one may make an account (XEP-0445).  Only hashes of tokens are stored."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update

from jabberd_tx.storage.operations import Run, read, write
from jabberd_tx.storage.schema import invites

_OF_DOMAIN = invites.c.owner == bindparam('where')
_OF_TOKEN = invites.c.token == bindparam('which')

SELECT = select(invites.c.local, invites.c.expires, invites.c.uses).where(_OF_DOMAIN, _OF_TOKEN)
SELECT_RESERVED = select(invites.c.token).where(
    _OF_DOMAIN, invites.c.local == bindparam('name'), invites.c.expires > bindparam('now'), invites.c.uses > 0
)
SELECT_ALL = (
    select(invites.c.token, invites.c.local, invites.c.expires, invites.c.uses)
    .where(_OF_DOMAIN, invites.c.uses > 0)
    .order_by(invites.c.expires, invites.c.token)
)
INSERT = insert(invites)
COUNT_DOWN = update(invites).where(_OF_DOMAIN, _OF_TOKEN, invites.c.uses > 0).values(uses=invites.c.uses - 1)
COUNT_UP = update(invites).where(_OF_DOMAIN, _OF_TOKEN).values(uses=invites.c.uses + 1)
DELETE = delete(invites).where(_OF_DOMAIN, _OF_TOKEN)
DELETE_OLD = delete(invites).where(_OF_DOMAIN, invites.c.expires <= bindparam('now'))


class Invite(NamedTuple):
    """local: the user name that it is for, '' for any; expires: seconds since 1970 UTC; uses: accounts left to make."""

    local: str
    expires: float
    uses: int


@read('invite.get')
def get(run: Run, domain: str, token: str) -> Invite | None:
    """By the hash of its token; None: there is none, or it is used up."""
    rows = run(SELECT, where=domain, which=token)
    return Invite(*rows[0]) if rows and rows[0][2] > 0 else None


@read('invite.page')
def listing(run: Run, domain: str) -> list[tuple[str, Invite]]:
    """(hash, invite) of all that are good for something, those that end first at the beginning."""
    return [(row[0], Invite(*row[1:])) for row in run(SELECT_ALL, where=domain)]


@read('invite.reserved')
def reserved(run: Run, domain: str, local: str, token: str, now: float) -> bool:
    """Whether the name is kept for the holder of another token ('' for no token)."""
    return any(row[0] != token for row in run(SELECT_RESERVED, where=domain, name=local, now=now))


@write('invite.add')
def add(run: Run, domain: str, token: str, invite: Invite, now: float) -> None:
    """One more; those that have ended go."""
    run(DELETE_OLD, where=domain, now=now)
    run(INSERT, owner=domain, token=token, local=invite.local, expires=invite.expires, uses=invite.uses)


@write('invite.use')
def use(run: Run, domain: str, token: str) -> bool:
    """Count one use; False: none is left.  When it ends was looked at before (XEP-0445 §4)."""
    return bool(run(COUNT_DOWN, where=domain, which=token)[0][0])


@write('invite.give_back')
def give_back(run: Run, domain: str, token: str) -> None:
    """The use did not come to an account."""
    run(COUNT_UP, where=domain, which=token)


@write('invite.remove')
def remove(run: Run, domain: str, token: str) -> bool:
    """False: there is none."""
    return bool(run(DELETE, where=domain, which=token)[0][0])
