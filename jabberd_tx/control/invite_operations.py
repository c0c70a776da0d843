"""Invitations over the admin link: what `jabberd-ctl invite` asks of a process that has storage."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from jabberd_tx.control.admin import Operation
from jabberd_tx.control.admin_wire import AdminError
from jabberd_tx.storage import invites
from jabberd_tx.storage.invites import Invite
from jabberd_tx.storage.operations import Storage

_HASH = re.compile('[0-9a-f]{64}')


def invite_operations(storage: Storage) -> Mapping[str, Operation]:
    """For AdminSocket; each checks what it is given."""

    async def add(domain: str, token: str, invite: Any, now: float) -> None:
        _check(domain, token)
        if type(invite) is not list or tuple(type(part) for part in invite) != (str, float, int) or invite[2] < 1:
            raise AdminError('bad-request', 'expected an invitation: user name, end, uses')
        if type(now) is not float:
            raise AdminError('bad-request', 'expected now to be a number')
        await storage.run(invites.add, domain, token, Invite(*invite), now)

    async def listing(domain: str) -> list[Any]:
        _check(domain)
        return [[token, list(invite)] for token, invite in await storage.run(invites.listing, domain)]

    async def remove(domain: str, token: str) -> bool:
        _check(domain, token)
        return bool(await storage.run(invites.remove, domain, token))

    return {'invite.add': add, 'invite.list': listing, 'invite.remove': remove}


def _check(domain: Any, token: Any = '0' * 64) -> None:
    if type(domain) is not str or type(token) is not str or not _HASH.fullmatch(token):
        raise AdminError('bad-request', 'expected a domain, and the SHA-256 of a token')
