"""Logging in: SASL exchanges against the accounts' verifiers (RFC 6120 §6).

An exchange is one coroutine that asks the client through `ask` and storage through a Deferred.  What takes long,
hashing a PLAIN password, is done by threads, a bounded number at once, with a bounded queue before them.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from jabberd_tx.components.c2s.anonymous import MECHANISM as ANONYMOUS
from jabberd_tx.components.c2s.anonymous import new_user
from jabberd_tx.components.c2s.failed_logins import FailedLogins
from jabberd_tx.storage import accounts
from jabberd_tx.storage.operations import Storage, StorageError
from jabberd_tx.xmpp.jid import InvalidJid, Jid, prepare_local
from jabberd_tx.xmpp.sasl import (
    HASHES,
    Credentials,
    SaslFailure,
    ScramServer,
    check_authzid,
    offer_hash,
    offered,
    parse_plain,
    verify,
)

# Sends a challenge; the client's response.
Ask = Callable[[bytes], Awaitable[bytes]]


class Authenticated(NamedTuple):
    """Who has logged in, and what <success/> carries."""

    jid: Jid
    data: bytes | None


class PasswordChecks:
    """Compares passwords with verifiers off the reactor's thread."""

    def __init__(self, reactor: Any, threads: int, most_waiting: int) -> None:
        self._reactor = reactor
        self._turns = DeferredSemaphore(threads)
        self._most_waiting = most_waiting

    def check(self, password: str, credentials: Credentials | None) -> Deferred[bool]:
        """Whether it is the password; SaslFailure('temporary-auth-failure') when too many wait."""
        if len(self._turns.waiting) >= self._most_waiting:
            raise SaslFailure('temporary-auth-failure', 'too many logins at once')
        return self._turns.run(self._in_thread, password, credentials)

    def _in_thread(self, password: str, credentials: Credentials | None) -> Deferred[bool]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), verify, password, credentials)


class Authentication:
    """What all logins of a service share.  decoy_key: what is told of names that have no account is made with it."""

    log = Logger()

    def __init__(self, storage: Storage, options: SimpleNamespace, reactor: Any, failures: FailedLogins) -> None:
        self._storage, self._failures, self._options = storage, failures, options
        self._passwords = PasswordChecks(reactor, options.password_threads, options.password_queue)
        secret = options.decoy_secret.encode() or secrets.token_bytes(32)
        self.decoy_key = hmac.digest(secret, b'jabberd-tx decoy salt', 'sha256')

    def offered(
        self, secure: bool, plain: bool, bindings: Mapping[str, bytes], domain: str, known: Collection[str] = HASHES
    ) -> tuple[str, ...]:
        """Mechanisms of a stream, best first; `plain`: PLAIN also without TLS; `known`: SCRAM with these hashes."""
        names = offered(secure, plain, tuple(bindings), known)
        if domain in self._options.anonymous_domains:
            names.append(ANONYMOUS)
        return tuple(names)

    async def run(
        self,
        mechanism: str,
        initial: bytes | None,
        domain: str,
        bindings: Mapping[str, bytes],
        ask: Ask,
        address: str = '',
        offer: tuple[str, ...] = (),
    ) -> Authenticated:
        """One exchange by an offered mechanism, from the initial response on.  SaslFailure says why not.

        address  what the client's counts as for failed logins; '' for nothing
        offer    the mechanisms that the client was offered
        """
        message = await ask(b'') if initial is None else initial
        if mechanism == ANONYMOUS:
            return Authenticated(new_user(message, domain), None)
        if mechanism == 'PLAIN':
            return await self._plain(message, domain, address)
        said = ''
        if offer and self._options.downgrade_protection:
            said = offer_hash(mechanism, offer, tuple(bindings))
        return await self._scram(ScramServer(mechanism, bindings), message, domain, ask, address, said)

    async def _scram(
        self, exchange: ScramServer, message: bytes, domain: str, ask: Ask, address: str, offer: str
    ) -> Authenticated:
        account = account_of(exchange.first(message), domain)
        async with self._failures.attempt(address, account.bare if account is not None else ''):
            credentials = await self._credentials(account)
            proof = await ask(exchange.challenge(credentials, self.decoy_key, domain=domain, offer=offer))
            data = exchange.final(proof)
        assert account is not None  # final refuses names that have no account
        check_authzid(exchange.authzid, account.bare)
        return Authenticated(account, data)

    async def _plain(self, message: bytes, domain: str, address: str) -> Authenticated:
        authzid, name, password = parse_plain(message)
        account = account_of(name, domain)
        async with self._failures.attempt(address, account.bare if account is not None else ''):
            credentials = await self._credentials(account)
            if not await self._passwords.check(password, credentials) or account is None:
                raise SaslFailure('not-authorized')
        check_authzid(authzid, account.bare)
        return Authenticated(account, None)

    async def _credentials(self, account: Jid | None) -> Credentials | None:
        if account is None:
            return None
        try:
            found: Credentials | None = await self._storage.run(accounts.credentials, account.bare)
        except StorageError as error:
            self.log.warn('accounts cannot be read: {error}', error=str(error))
            raise SaslFailure('temporary-auth-failure') from None
        return found


def account_of(name: str, domain: str) -> Jid | None:
    """The bare JID of a user name at a prepared domain; None when there can be no such account."""
    try:
        return Jid(prepare_local(name), domain)
    except InvalidJid:
        return None
