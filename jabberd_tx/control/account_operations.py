"""Accounts over the admin link: what `jabberd-ctl user` asks of a process that has storage.

Passwords never come here: jabberd-ctl derives the verifiers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from jabberd_tx.control.admin import Operation
from jabberd_tx.control.admin_wire import AdminError
from jabberd_tx.storage import accounts
from jabberd_tx.storage.operations import Storage
from jabberd_tx.xmpp import jid
from jabberd_tx.xmpp.sasl.verifiers import Credentials, Verifier

# Of one page or one put_many: keeps requests and replies far below the link's bound.
MOST_TOGETHER = 500


def account_operations(storage: Storage) -> Mapping[str, Operation]:
    """For AdminSocket; each checks what it is given."""

    async def add(owner: str, verifiers: Any) -> bool:
        return bool(await storage.run(accounts.add, prepared(owner), unpacked(verifiers)))

    async def change(owner: str, verifiers: Any) -> bool:
        return bool(await storage.run(accounts.change, prepared(owner), unpacked(verifiers)))

    async def remove(owner: str) -> bool:
        return bool(await storage.run(accounts.remove, prepared(owner)))

    async def exists(owner: str) -> bool:
        return bool(await storage.run(accounts.exists, prepared(owner)))

    async def page(domain: str, after: str, limit: int) -> list[str]:
        if type(domain) is not str or type(after) is not str or type(limit) is not int:
            raise AdminError('bad-request', 'expected domain and after to be text, limit a number')
        found: list[str] = await storage.run(accounts.page, domain, after, max(0, min(limit, MOST_TOGETHER)))
        return found

    async def put_many(domain: str, pairs: Any) -> int:
        if type(domain) is not str or type(pairs) is not list or len(pairs) > MOST_TOGETHER:
            raise AdminError('bad-request', f'expected a domain, and at most {MOST_TOGETHER} pairs')
        checked = []
        for pair in pairs:
            if type(pair) is not list or len(pair) != 2:
                raise AdminError('bad-request', 'expected pairs of owner and verifiers')
            owner = prepared(pair[0])
            if owner.rpartition('@')[2] != domain:
                raise AdminError('bad-request', f'{owner} is not of {domain}')
            checked.append((owner, unpacked(pair[1])))
        return int(await storage.run(accounts.put_many, domain, checked))

    return {
        'account.add': add,
        'account.change': change,
        'account.remove': remove,
        'account.exists': exists,
        'account.page': page,
        'account.put_many': put_many,
    }


def kick_operation(kick: Callable[[str, str, str], Awaitable[int]]) -> Operation:
    """For AdminSocket, over a session manager's kick(bare JID, stream error condition, text)."""

    async def operation(owner: str, text: str = '') -> int:
        if type(text) is not str:
            raise AdminError('bad-request', 'expected text to be text')
        # What a client is told whose account is cancelled (XEP-0077 §3.2).
        return await kick(prepared(owner), 'not-authorized', text)

    return operation


def cancel_operation(cancel: Callable[[str, str], Awaitable[int | None]]) -> Operation:
    """For AdminSocket, over a session manager's way to end an account: (bare JID, text) -> streams ended, or None."""

    async def operation(owner: str, text: str = '') -> int | None:
        if type(text) is not str:
            raise AdminError('bad-request', 'expected text to be text')
        return await cancel(prepared(owner), text)

    return operation


def prepared(owner: Any) -> str:
    """The bare JID of an account as it came; AdminError when it is none, or not prepared (RFC 7622)."""
    try:
        parsed = jid.parse(owner) if type(owner) is str else None
    except jid.InvalidJid:
        parsed = None
    if parsed is None or not parsed.local or parsed.full != owner or parsed.resource:
        raise AdminError('bad-request', 'expected owner to be a prepared bare JID with a local part')
    bare: str = parsed.bare
    return bare


def packed(credentials: Credentials) -> dict[str, list[Any]]:
    """As it goes over the link: mechanism -> [salt, iterations, stored key, server key]."""
    return {mechanism: list(verifier) for mechanism, verifier in credentials.items()}


def unpacked(value: Any) -> Credentials:
    """The inverse; AdminError for anything else."""
    kinds = (bytes, int, bytes, bytes)
    if type(value) is not dict or not value or len(value) > 16:
        raise AdminError('bad-request', 'expected verifiers to be a map with 1 to 16 mechanisms')
    credentials = {}
    for mechanism, parts in value.items():
        if type(mechanism) is not str or type(parts) is not list or tuple(type(part) for part in parts) != kinds:
            raise AdminError('bad-request', 'expected verifiers: mechanism -> [salt, iterations, two keys]')
        credentials[mechanism] = Verifier(*parts)
    return credentials
