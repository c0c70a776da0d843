"""Logging in with a token in one round trip (XEP-0484).

The database has no tokens but nonces: a token is made from its nonce, its owner, client and mechanism with a key of the
site, which stands in a file.  Who reads the database therefore can not log in.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from twisted.logger import Logger

from jabberd_tx.components.c2s.authentication import Authenticated, account_of
from jabberd_tx.components.c2s.failed_logins import FailedLogins
from jabberd_tx.storage import fast_tokens
from jabberd_tx.storage.fast_tokens import Token
from jabberd_tx.storage.operations import Operation, Storage, StorageError
from jabberd_tx.xmpp.payloads import fast as payload
from jabberd_tx.xmpp.payloads.fast import Fast
from jabberd_tx.xmpp.sasl import SaslFailure
from jabberd_tx.xmpp.sasl.hashed_token import HT_BINDINGS, initiator_hash, parse_initiator, responder_hash

DAY = 86400.0
# As many as a client may have, so that a client without any takes as long.
_NOBODYS = (Token(0, '', b'', 0.0, 0, 0.0),) * 2


class FastTokens:
    """Of one c2s; `key` is the site's, b'' for none: then nothing of this is offered."""

    log = Logger()

    def __init__(
        self, storage: Storage, key: bytes, options: SimpleNamespace, reactor: Any, failures: FailedLogins
    ) -> None:
        self.key = key
        self._storage, self._options, self._reactor, self._failures = storage, options, reactor, failures

    async def log_in(
        self,
        mechanism: str,
        message: bytes,
        domain: str,
        client: str,
        wish: Fast,
        bindings: Mapping[str, bytes],
        address: str,
    ) -> tuple[Authenticated, Token]:
        """Who has proved it, and by which token; SaslFailure.

        mechanism  one that was offered; message: the initial response
        client     the id of the user agent; address: what the client's counts as for failed logins
        """
        name, hashed = parse_initiator(message)
        account = account_of(name, domain)
        owner = account.bare if account is not None else ''
        kind = HT_BINDINGS[mechanism]
        data = bindings[kind] if kind else b''
        async with self._failures.attempt(address, owner):
            found = await self._ask(fast_tokens.of_client, owner, client)
            right = None
            for token in (*found, *_NOBODYS)[:2]:
                secret = self._secret(owner, client, mechanism, token.nonce)
                same = hmac.compare_digest(initiator_hash(secret, data), hashed)
                if same and token.mechanism == mechanism and right is None:
                    right = token
            if right is None or account is None:
                raise SaslFailure('not-authorized')
            now = self._reactor.seconds()
            if right.expires <= now:
                raise SaslFailure('credentials-expired')
            if not await self._ask(fast_tokens.use, owner, client, right.nonce, wish.uses, now, wish.invalidate):
                raise SaslFailure('not-authorized', 'the token was used with that count already')
        answer = responder_hash(self._secret(owner, client, mechanism, right.nonce), data)
        return Authenticated(account, answer), right

    async def give(self, owner: str, client: str, mechanism: str) -> bytes:
        """A new token for a client: the <token/>."""
        nonce = secrets.token_bytes(32)
        now = self._reactor.seconds()
        expires = now + self._options.fast_days * DAY
        await self._ask(fast_tokens.give, owner, client, mechanism, nonce, expires, now)
        return payload.token(self._secret(owner, client, mechanism, nonce).decode(), expires)

    def is_due(self, token: Token) -> bool:
        """Whether a client that has logged in with it gets another: half of its time is over."""
        return bool(token.expires - self._reactor.seconds() < self._options.fast_days * DAY / 2)

    def _secret(self, owner: str, client: str, mechanism: str, nonce: bytes) -> bytes:
        said = '\0'.join(('token', owner, client, mechanism, '')).encode() + nonce
        return urlsafe_b64encode(hmac.digest(self.key, said, 'sha256')).rstrip(b'=')

    async def _ask(self, operation: Operation, owner: str, *arguments: Any) -> Any:
        try:
            return await self._storage.run(operation, owner, *arguments)
        except StorageError as error:
            self.log.warn('tokens cannot be read or kept: {error}', error=str(error))
            raise SaslFailure('temporary-auth-failure') from None
