"""Accounts: who may log in, and the verifiers of the password."""

from __future__ import annotations

from collections.abc import Sequence

from cbor2 import dumps, loads
from sqlalchemy import bindparam, delete, insert, select, update

from jabberd_tx.storage import blocks, fast_tokens, last_activity, offline, private_xml, rosters, vcards
from jabberd_tx.storage.operations import Run, read, write
from jabberd_tx.storage.rosters import Item
from jabberd_tx.storage.schema import OWNER_BYTES, accounts
from jabberd_tx.xmpp.sasl.verifiers import Credentials, Verifier

_OF_OWNER = accounts.c.owner == bindparam('who')

SELECT_VERIFIERS = select(accounts.c.verifiers).where(_OF_OWNER)
SELECT_OWNER = select(accounts.c.owner).where(_OF_OWNER)
SELECT_PAGE = (
    select(accounts.c.owner)
    .where(accounts.c.domain == bindparam('where'), accounts.c.owner > bindparam('after'))
    .order_by(accounts.c.owner)
    .limit(bindparam('most'))
)
INSERT = insert(accounts)
UPDATE = update(accounts).where(_OF_OWNER).values(verifiers=bindparam('new_verifiers'))
DELETE = delete(accounts).where(_OF_OWNER)
# What else goes when an account goes.
_WITH_ACCOUNT = (
    offline.DELETE_ALL, private_xml.DELETE_ALL, vcards.DELETE, last_activity.DELETE, fast_tokens.DELETE_ALL,
    blocks.DELETE_ALL,
)  # fmt: skip


@read('account.credentials', cache='credentials')
def credentials(run: Run, owner: str) -> Credentials | None:
    """The verifiers by mechanism; None: no such account."""
    rows = run(SELECT_VERIFIERS, who=owner)
    if not rows:
        return None
    return {mechanism: Verifier(*values) for mechanism, values in loads(rows[0][0]).items()}


@read('account.exists')
def exists(run: Run, owner: str) -> bool:
    """Whether there is such an account."""
    return bool(run(SELECT_OWNER, who=owner))


@read('account.page')
def page(run: Run, domain: str, after: str, limit: int) -> list[str]:
    """Up to `limit` bare JIDs of the domain that sort after `after` ('': from the first), in order."""
    return [owner for (owner,) in run(SELECT_PAGE, where=domain, after=after, most=limit)]


@write('account.add')
def add(run: Run, owner: str, verifiers: Credentials) -> bool:
    """Make an account; False: there is one already, and nothing is changed."""
    if run(SELECT_OWNER, who=owner):
        return False
    run(INSERT, owner=owner, domain=_domain(owner), verifiers=_packed(verifiers))
    return True


@write('account.change', invalidates=('credentials',))
def change(run: Run, owner: str, verifiers: Credentials) -> bool:
    """Give an account another password; what clients got for the old one ends.  False: there is no such account."""
    run(fast_tokens.DELETE_ALL, who=owner)
    return bool(run(UPDATE, who=owner, new_verifiers=_packed(verifiers))[0][0])


@write('account.extend', invalidates=('credentials',))
def extend(run: Run, owner: str, known: Credentials, more: Credentials) -> bool:
    """Add verifiers of the same password for further mechanisms; what clients got for it stands.

    False, and nothing is changed: the verifiers are not those that are `known` any more, or there is no account.
    """
    if credentials.body(run, owner) != known:
        return False
    return bool(run(UPDATE, who=owner, new_verifiers=_packed({**more, **known}))[0][0])


@write('account.put', invalidates=('credentials',))
def put(run: Run, owner: str, verifiers: Credentials) -> bool:
    """Make an account, or change the one there is; True: it is new."""
    return not change.body(run, owner, verifiers) and bool(add.body(run, owner, verifiers))


@write('account.put_many', invalidates=('credentials',))
def put_many(run: Run, domain: str, pairs: Sequence[tuple[str, Credentials]]) -> int:
    """Put (owner, credentials) for many owners of the domain, all or none; how many are new."""
    return sum([put.body(run, owner, verifiers) for owner, verifiers in pairs])


_ALL = ('credentials', 'roster', 'roster.load', 'vcard', 'vcard.photo', 'blocks')


@write('account.remove', invalidates=_ALL)
def remove(run: Run, owner: str) -> bool:
    """Delete the account with all that is its own (roster, offline messages …); False: there was no such account."""
    rosters.remove_all(run, owner)
    for delete_all in _WITH_ACCOUNT:
        run(delete_all, who=owner)
    return bool(run(DELETE, who=owner)[0][0])


@write('account.cancel', invalidates=_ALL)
def cancel(run: Run, owner: str) -> list[Item] | None:
    """The same; the roster as it was, so that contacts can be told.  None: there was no such account."""
    items: list[Item] = rosters.get.body(run, owner)
    return items if remove.body(run, owner) else None


def _packed(verifiers: Credentials) -> bytes:
    packed: bytes = dumps({mechanism: list(verifier) for mechanism, verifier in verifiers.items()})
    return packed


def _domain(owner: str) -> str:
    if len(owner.encode()) > OWNER_BYTES:
        raise ValueError(f'the JID of an account has at most {OWNER_BYTES} bytes')
    return owner.rpartition('@')[2]
