"""Tokens that clients log in with (XEP-0484 §5.1): of each client the one in use, and one that is new."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import bindparam, delete, func, insert, select, update

from jabberd_tx.storage.operations import Run, read, write
from jabberd_tx.storage.schema import fast_tokens

CURRENT, NEW = 0, 1
# Clients of one user that have tokens; for one more, that which was not heard of for the longest time loses its own.
MOST_CLIENTS = 50

_OF_OWNER = fast_tokens.c.owner == bindparam('who')
_OF_CLIENT = fast_tokens.c.client == bindparam('whose')
_IN_SLOT = fast_tokens.c.slot == bindparam('which')

SELECT = (
    select(
        fast_tokens.c.slot, fast_tokens.c.mechanism, fast_tokens.c.nonce, fast_tokens.c.expires, fast_tokens.c.count,
        fast_tokens.c.used,
    )
    .where(_OF_OWNER, _OF_CLIENT)
    .order_by(fast_tokens.c.slot.desc())
)  # fmt: skip
SELECT_CLIENTS = (
    select(fast_tokens.c.client).where(_OF_OWNER).group_by(fast_tokens.c.client).order_by(func.max(fast_tokens.c.used))
)
INSERT = insert(fast_tokens)
USE = (
    update(fast_tokens)
    .where(_OF_OWNER, _OF_CLIENT, _IN_SLOT)
    .values(slot=CURRENT, count=bindparam('new_count'), used=bindparam('new_used'))
)
DELETE_SLOT = delete(fast_tokens).where(_OF_OWNER, _OF_CLIENT, _IN_SLOT)
DELETE_CLIENT = delete(fast_tokens).where(_OF_OWNER, _OF_CLIENT)
DELETE_ALL = delete(fast_tokens).where(_OF_OWNER)


class Token(NamedTuple):
    """slot: CURRENT or NEW; expires, used: seconds since 1970 UTC; uses: the highest count that the client has told."""

    slot: int
    mechanism: str
    nonce: bytes
    expires: float
    uses: int
    used: float


@read('fast.of_client')
def of_client(run: Run, owner: str, client: str) -> list[Token]:
    """At most two, the new one first."""
    return [Token(*row) for row in run(SELECT, who=owner, whose=client)]


@write('fast.give')
def give(run: Run, owner: str, client: str, mechanism: str, nonce: bytes, expires: float, now: float) -> None:
    """A new one, in the place of one that was never used."""
    run(DELETE_SLOT, who=owner, whose=client, which=NEW)
    clients = [name for (name,) in run(SELECT_CLIENTS, who=owner) if name != client]
    for name in clients[: max(0, len(clients) + 1 - MOST_CLIENTS)]:
        run(DELETE_CLIENT, who=owner, whose=name)
    run(
        INSERT, owner=owner, client=client, slot=NEW, mechanism=mechanism, nonce=nonce, expires=expires, count=0,
        used=now,
    )  # fmt: skip


@write('fast.use')
def use(run: Run, owner: str, client: str, nonce: bytes, count: int | None, now: float, invalidate: bool) -> bool:
    """The token of this nonce has been used; with `invalidate`, the client's tokens end.

    False: it is not there any more, or was used with that count or a higher one.
    """
    for token in of_client.body(run, owner, client):
        if token.nonce != nonce:
            continue
        if count is not None and count <= token.uses:
            return False
        if invalidate:
            run(DELETE_CLIENT, who=owner, whose=client)
            return True
        if token.slot == NEW:
            run(DELETE_SLOT, who=owner, whose=client, which=CURRENT)
        new_count = token.uses if count is None else count
        run(USE, who=owner, whose=client, which=token.slot, new_count=new_count, new_used=now)
        return True
    return False
