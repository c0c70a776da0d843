"""Block lists (XEP-0191): whom a user wants to hear nothing from, and to tell nothing.

A full JID may be longer than a key of a MySQL table: rows are told apart by its digest.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from sqlalchemy import bindparam, delete, insert, select

from jabberd_tx.storage.operations import Run, read, write
from jabberd_tx.storage.schema import blocks

_OF_OWNER = blocks.c.owner == bindparam('who')

SELECT = select(blocks.c.jid).where(_OF_OWNER)
INSERT = insert(blocks)
DELETE = delete(blocks).where(_OF_OWNER, blocks.c.digest == bindparam('which'))
DELETE_ALL = delete(blocks).where(_OF_OWNER)


class Changed(NamedTuple):
    """The list before and after, each sorted."""

    before: list[str]
    after: list[str]


@read('blocks.get', cache='blocks')
def get(run: Run, owner: str) -> list[str]:
    """All that the owner has blocked, sorted."""
    return sorted([jid for (jid,) in run(SELECT, who=owner)])


@write('blocks.add', invalidates=('blocks',))
def add(run: Run, owner: str, jids: Sequence[str], most: int) -> Changed | None:
    """Block these as well; None: there would be more than `most` then, and nothing is changed."""
    before = get.body(run, owner)
    new = set(jids).difference(before)
    if new and len(before) + len(new) > most:
        return None
    for jid in sorted(new):
        run(INSERT, owner=owner, digest=_digest(jid), jid=jid)
    return Changed(before, sorted([*before, *new]))


@write('blocks.remove', invalidates=('blocks',))
def remove(run: Run, owner: str, jids: Sequence[str]) -> Changed:
    """Block these no longer; those that were not blocked are passed over."""
    before = get.body(run, owner)
    for jid in sorted(set(jids).intersection(before)):
        run(DELETE, who=owner, which=_digest(jid))
    return Changed(before, [jid for jid in before if jid not in jids])


@write('blocks.clear', invalidates=('blocks',))
def clear(run: Run, owner: str) -> Changed:
    """Block nobody any more."""
    before = get.body(run, owner)
    run(DELETE_ALL, who=owner)
    return Changed(before, [])


def _digest(jid: str) -> str:
    return sha256(jid.encode()).hexdigest()
