"""Rosters (RFC 6121 §2): one row a contact."""

from __future__ import annotations

import json
from typing import NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update

from jabberd_tx.storage.operations import Run, read, write
from jabberd_tx.storage.schema import roster

_OF_OWNER = roster.c.owner == bindparam('who')
_OF_CONTACT = roster.c.contact == bindparam('whom')
_VALUES = ('name', 'subscription', 'ask', 'pending_in', 'approved', 'group_names', 'request')

SELECT_ITEMS = (
    select(roster.c.contact, *[roster.c[name] for name in _VALUES]).where(_OF_OWNER).order_by(roster.c.contact)
)
UPDATE_ITEM = update(roster).where(_OF_OWNER, _OF_CONTACT).values({name: bindparam(f'new_{name}') for name in _VALUES})
INSERT_ITEM = insert(roster)
DELETE_ITEM = delete(roster).where(_OF_OWNER, _OF_CONTACT)
DELETE_ROSTER = delete(roster).where(_OF_OWNER)


class Item(NamedTuple):
    """A contact, as one user's roster has it.

    subscription  'none', 'to', 'from' or 'both'; '' for one who is not in the roster that the owner sees, and of whom
                  only a request is known (pending_in)
    ask           a subscribe to it waits for its answer (pending out)
    pending_in    a subscribe from it waits for the owner's answer; `request` is that stanza, packed, or b''
    approved      the owner has approved it ahead of its request (RFC 6121 §3.4)
    """

    jid: str
    name: str = ''
    subscription: str = 'none'
    ask: bool = False
    pending_in: bool = False
    approved: bool = False
    groups: tuple[str, ...] = ()
    request: bytes = b''


@read('roster.get', cache='roster')
def get(run: Run, owner: str) -> list[Item]:
    """All items, by JID."""
    return [
        Item(
            jid,
            name,
            subscription,
            ask != 0,
            pending_in != 0,
            approved != 0,
            () if groups == '[]' else tuple(json.loads(groups)),
            request,
        )
        for jid, name, subscription, ask, pending_in, approved, groups, request in run(SELECT_ITEMS, who=owner)
    ]


@write('roster.put', invalidates=('roster',))
def put(run: Run, owner: str, item: Item) -> None:
    """Add the item, or replace the one with its JID."""
    values = {
        'name': item.name,
        'subscription': item.subscription,
        'ask': int(item.ask),
        'pending_in': int(item.pending_in),
        'approved': int(item.approved),
        'group_names': json.dumps(item.groups, ensure_ascii=False),
        'request': item.request,
    }
    changed = run(UPDATE_ITEM, who=owner, whom=item.jid, **{f'new_{name}': value for name, value in values.items()})
    if not changed[0][0]:
        run(INSERT_ITEM, owner=owner, contact=item.jid, **values)


@write('roster.remove', invalidates=('roster',))
def remove(run: Run, owner: str, jid: str) -> bool:
    """False: there was no such item."""
    return bool(run(DELETE_ITEM, who=owner, whom=jid)[0][0])
