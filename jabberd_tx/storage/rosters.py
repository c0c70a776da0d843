"""Rosters (RFC 6121 §2): one row a contact, under the version in which clients last saw it change."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update

from jabberd_tx.storage import roster_versions as versions
from jabberd_tx.storage.operations import Run, read, write
from jabberd_tx.storage.schema import roster

_OF_OWNER = roster.c.owner == bindparam('who')
_OF_CONTACT = roster.c.contact == bindparam('whom')
_VALUES = ('name', 'subscription', 'ask', 'pending_in', 'approved', 'group_names', 'request')
_ITEM = select(roster.c.contact, *[roster.c[name] for name in _VALUES])

SELECT_ITEMS = _ITEM.where(_OF_OWNER).order_by(roster.c.contact)
SELECT_CHANGED = _ITEM.add_columns(roster.c.version).where(
    _OF_OWNER, roster.c.version > bindparam('after'), roster.c.subscription != ''
)
UPDATE_ITEM = update(roster).where(_OF_OWNER, _OF_CONTACT).values({name: bindparam(f'new_{name}') for name in _VALUES})
UPDATE_VERSION = update(roster).where(_OF_OWNER, _OF_CONTACT).values(version=bindparam('new_version'))
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


class Change(NamedTuple):
    """What the last change of a contact came to: the item (None: it was removed), and the roster's version then."""

    jid: str
    item: Item | None
    version: str


@read('roster.get', cache='roster')
def get(run: Run, owner: str) -> list[Item]:
    """All items, by JID."""
    return [_item(row) for row in run(SELECT_ITEMS, who=owner)]


@read('roster.load', cache='roster.load')
def load(run: Run, owner: str) -> tuple[str, list[Item]]:
    """The version, and all items by JID."""
    return versions.current(run, owner), get.body(run, owner)


@read('roster.changes')
def changes(run: Run, owner: str, version: str) -> list[Change] | None:
    """What clients have seen change after that version, in order; None: that is not known any more, or never was."""
    known = versions.after(run, owner, version)
    if known is None:
        return None
    era, number = known
    found = [(row[-1], row[0], _item(row[:-1])) for row in run(SELECT_CHANGED, who=owner, after=number)]
    gone = [(at, contact, None) for contact, at in versions.removed(run, owner, number)]
    ordered = sorted([*found, *gone], key=lambda one: one[0])
    return [Change(contact, item, versions.written(era, at)) for at, contact, item in ordered]


@write('roster.put', invalidates=('roster', 'roster.load'))
def put(run: Run, owner: str, item: Item, era: str = '') -> str:
    """Add the item, or replace the one with its JID.

    era: for a change that clients see, a text that nobody has used: the roster gets its next version, which is
    returned.  '' for a change that they don't see: the version stays, and '' is returned.
    """
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
    if not era:
        return ''
    era, number = versions.count_up(run, owner, era)
    run(UPDATE_VERSION, who=owner, whom=item.jid, new_version=number)
    versions.forget_removed(run, owner, item.jid)
    return versions.written(era, number)


@write('roster.remove', invalidates=('roster', 'roster.load'))
def remove(run: Run, owner: str, jid: str, era: str = '') -> str | None:
    """None: there was no such item.  `era`, and what is returned otherwise, as for `put`."""
    if not run(DELETE_ITEM, who=owner, whom=jid)[0][0]:
        return None
    if not era:
        return ''
    era, number = versions.count_up(run, owner, era)
    versions.note_removed(run, owner, jid, number)
    return versions.written(era, number)


def remove_all(run: Run, owner: str) -> None:
    """The account is removed."""
    run(DELETE_ROSTER, who=owner)
    versions.forget_all(run, owner)


def _item(row: Any) -> Item:
    jid, name, subscription, ask, pending_in, approved, groups, request = row
    groups = () if groups == '[]' else tuple(json.loads(groups))
    return Item(jid, name, subscription, ask != 0, pending_in != 0, approved != 0, groups, request)
