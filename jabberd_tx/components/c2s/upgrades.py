"""Giving accounts verifiers of stronger mechanisms when their clients log in (XEP-0480).

A stream that says in its header whom it is from is offered the mechanisms that the account has verifiers for, and told
of stronger ones that it may be upgraded to.  A name that has no account seems to have one with all verifiers or with
some, by chance and always the same, so that who asks learns next to nothing about which names there are.

Who has logged in with a password may then hash it for the stronger mechanism.  Not who has come with a token
(XEP-0484): a token that was stolen ends, a password does not.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Collection
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from jabberd_tx.storage import accounts
from jabberd_tx.storage.operations import Operation, Storage, StorageError
from jabberd_tx.xmpp.payloads import sasl_upgrade
from jabberd_tx.xmpp.sasl import DEFAULT_ITERATIONS, HASHES, SALT_BYTES, Credentials, SaslFailure, Verifier

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.authentication import Authenticated
    from jabberd_tx.components.c2s.sasl2 import ExtensibleExchange

ALL = tuple(HASHES)
# What names without an account seem to have; each for as many names as the others.
_SEEMING = (ALL, ('SCRAM-SHA-256', 'SCRAM-SHA-1'), ('SCRAM-SHA-1',))


class Upgrades:
    """Of one c2s."""

    log = Logger()

    def __init__(self, storage: Storage, options: SimpleNamespace, decoy_key: bytes) -> None:
        """`decoy_key`: what the choice for names without an account is made by."""
        self._storage, self._options, self._decoy_key = storage, options, decoy_key

    def on(self) -> bool:
        """Whether there are any."""
        return bool(self._options.sasl2 and self._options.upgrades)

    async def known(self, account: str) -> tuple[str, ...]:
        """The SCRAM mechanisms that the account, a bare JID, has verifiers for, or seems to; strongest first."""
        try:
            credentials = await self._ask(accounts.credentials, account)
        except SaslFailure:
            return ALL
        if credentials is None:
            digest = hmac.digest(self._decoy_key, f'mechanisms\0{account}'.encode(), 'sha256')
            return _SEEMING[int.from_bytes(digest[:8], 'big') % len(_SEEMING)]
        return tuple([name for name in HASHES if name in credentials]) or ALL

    async def run(
        self, exchange: ExtensibleExchange, who: Authenticated, mechanisms: Collection[str]
    ) -> Authenticated:
        """The tasks for those of the mechanisms, offered and asked for, that the account lacks; SaslFailure.

        What is returned has no data any more when the client has got it.
        """
        owner = who.jid.bare
        credentials: Credentials | None = await self._ask(accounts.credentials, owner)
        for mechanism in missing(credentials or HASHES):
            if mechanism not in mechanisms or credentials is None:
                continue
            verifier = await _hashed(exchange, mechanism, who.data)
            who = who._replace(data=None)
            # Not if it has another password by now: what has been hashed may be the old one.
            if not await self._ask(accounts.extend, owner, credentials, {mechanism: verifier}):
                raise SaslFailure('temporary-auth-failure', 'the account has been changed')
            credentials = {**credentials, mechanism: verifier}
            self.log.info('{jid} has a verifier for {mechanism} now', jid=owner, mechanism=mechanism)
        return who

    async def _ask(self, operation: Operation, owner: str, *arguments: Any) -> Any:
        try:
            return await self._storage.run(operation, owner, *arguments)
        except StorageError as error:
            self.log.warn('verifiers cannot be read or kept: {error}', error=str(error))
            raise SaslFailure('temporary-auth-failure') from None


def missing(known: Collection[str]) -> tuple[str, ...]:
    """The mechanisms stronger than all those that are known."""
    strongest = min([ALL.index(name) for name in known if name in HASHES], default=0)
    return ALL[:strongest]


async def _hashed(exchange: ExtensibleExchange, mechanism: str, data: bytes | None) -> Verifier:
    """One task: the client hashes its password."""
    hash_name = HASHES[mechanism]
    begin = await exchange.ask_for('next', sasl_upgrade.continuation(mechanism, data))
    sasl_upgrade.check_next(begin, mechanism)
    salt = secrets.token_bytes(SALT_BYTES)
    answer = await exchange.ask_for('task-data', sasl_upgrade.salt(salt, DEFAULT_ITERATIONS))
    salted = sasl_upgrade.parse_hash(answer, hashlib.new(hash_name).digest_size)
    return Verifier.of(hash_name, salt, DEFAULT_ITERATIONS, salted)
