"""Accounts that clients make themselves, before they log in (XEP-0077 §3.1), where `registration` allows it.

open      whoever comes; so many accounts an hour from one address
invited   who has shown the token of an invitation on this stream (XEP-0445); `jabberd-ctl invite` makes them

Only on streams where a password may be sent, which means under TLS; one account a stream.
"""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from jabberd_tx.base.token_bucket import TokenBucket
from jabberd_tx.components.c2s.authentication import account_of
from jabberd_tx.components.c2s.limited import Limited
from jabberd_tx.storage import accounts, invites
from jabberd_tx.storage.operations import Storage, StorageError
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import StanzaError, error_reply
from jabberd_tx.xmpp.payloads import register
from jabberd_tx.xmpp.sasl import DEFAULT_ITERATIONS, Credentials, derive
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import to_xml

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.connection import ClientConnection
    from jabberd_tx.components.c2s.stream import Login

CLOSED, OPEN, INVITED = 'closed', 'open', 'invited'
# Passwords that wait to be hashed; addresses that are remembered.
MOST_WAITING, MOST_ADDRESSES = 100, 10_000
# Tokens that one stream may try.
MOST_TOKENS = 5
HOUR = 3600.0


class Attempt:
    """What one stream has come to: the hash of a token shown and the name that it is for, and how many were; `done`
    once there is an account."""

    __slots__ = ('done', 'local', 'token', 'tokens')

    def __init__(self) -> None:
        self.token = self.local = ''
        self.tokens = 0
        self.done = False


class Registration:
    """Of one c2s."""

    log = Logger()

    def __init__(self, storage: Storage, options: SimpleNamespace, reactor: Any, limited: Limited) -> None:
        self._storage, self._options, self._reactor, self._limited = storage, options, reactor, limited
        self._turns = DeferredSemaphore(1)
        self._addresses: dict[str, TokenBucket] = {}

    def is_open(self, login: Login) -> bool:
        """Whether the stream may ask for an account at all."""
        return self._options.registration != CLOSED and 'PLAIN' in login.offered

    async def answer(self, attempt: Attempt, domain: str, address: str, request: Stanza) -> Stanza:
        """The answer to an IQ; StanzaError.  `address`: what the client's counts as, '' for no limit."""
        try:
            return await self._answer(attempt, domain, address, request)
        except StorageError as error:
            self.log.warn('no account is made: {error}', error=str(error))
            raise StanzaError('resource-constraint', 'try again later') from None

    async def _answer(self, attempt: Attempt, domain: str, address: str, request: Stanza) -> Stanza:
        attrs = {'type': 'result', 'id': request.attrs['id'], 'from': domain}
        if request.child(ns.PREAUTH, 'preauth') is not None and request.attrs['type'] == 'set':
            await self._show(attempt, domain, request)
        elif request.child(ns.REGISTER, 'query') is None:
            raise StanzaError('not-authorized', 'first log in')
        elif request.attrs['type'] == 'get':
            return Stanza.build('iq', attrs, (ns.REGISTER, 'query', register.FIELDS))
        else:
            await self._register(attempt, domain, address, request)
        return Stanza('iq', attrs)

    async def _show(self, attempt: Attempt, domain: str, request: Stanza) -> None:
        """XEP-0445 §4: the token counts from now on, however long the rest takes."""
        element = next(request.element.elements(ns.PREAUTH, 'preauth'))
        token = hash_of(str(element.getAttribute('token') or ''))
        attempt.tokens += 1
        invite = await self._storage.run(invites.get, domain, token)
        if invite is None or invite.expires <= self._reactor.seconds() or attempt.tokens > MOST_TOKENS:
            raise StanzaError('item-not-found', 'the token is not valid, or not any more')
        attempt.token, attempt.local = token, invite.local

    async def _register(self, attempt: Attempt, domain: str, address: str, request: Stanza) -> None:
        wish = register.parse_registration(request)
        if wish.remove:
            raise StanzaError('unexpected-request', 'first log in')
        if not attempt.token and self._options.registration != OPEN:
            raise StanzaError('not-allowed', 'by invitation only')
        if attempt.done:
            raise StanzaError('not-acceptable', 'one account a stream')
        who = account_of(wish.username, domain) if wish.username and wish.password else None
        if who is None or not who.local or (attempt.local and who.local != attempt.local):
            raise StanzaError('not-acceptable', 'expected a user name that can be one, and a password')
        self._count(address)
        verifiers = await self._hash(wish.password)
        if await self._storage.run(invites.reserved, domain, who.local, attempt.token, self._reactor.seconds()):
            raise StanzaError('conflict', 'the name is taken')
        if attempt.token and not await self._storage.run(invites.use, domain, attempt.token):
            raise StanzaError('item-not-found', 'the invitation is used up')
        made = False
        try:
            made = await self._storage.run(accounts.add, who.bare, verifiers)
        finally:
            if attempt.token and not made:
                await self._storage.run(invites.give_back, domain, attempt.token)
        if not made:
            raise StanzaError('conflict', 'the name is taken')
        attempt.done = True
        self.log.info('{jid} has been registered, from {address}', jid=who.bare, address=address or 'no limited one')

    def _count(self, address: str) -> None:
        """Attempts count, so that nobody learns which names are taken in their masses."""
        hourly = self._options.registrations_hourly
        if not address or not hourly:
            return
        now = self._reactor.seconds()
        bucket = self._addresses.pop(address, None) or TokenBucket(hourly, now)
        if len(self._addresses) >= MOST_ADDRESSES:
            del self._addresses[next(iter(self._addresses))]
        self._addresses[address] = bucket
        if bucket.take(1, now, hourly / HOUR, hourly):
            bucket.left += 1  # only what is tried counts
            self._limited.note('registrations', address)
            raise StanzaError('not-acceptable', 'too many accounts from this address', 'wait')

    async def _hash(self, password: str) -> Credentials:
        if len(self._turns.waiting) >= MOST_WAITING:
            raise StanzaError('resource-constraint', 'too many accounts are made')
        reactor = self._reactor
        try:
            hashed: Credentials = await self._turns.run(
                deferToThreadPool, reactor, reactor.getThreadPool(), derive, password, DEFAULT_ITERATIONS
            )
        except ValueError as error:
            raise StanzaError('not-acceptable', str(error)) from None
        return hashed


def hash_of(token: str) -> str:
    """As tokens are stored."""
    return hashlib.sha256(token.encode()).hexdigest()


def take_request(login: Login, conn: ClientConnection, request: Stanza) -> Deferred[None] | None:
    """A stanza on a stream without login; the connection is held until it is answered."""
    is_open = login.c2s.registration.is_open(login)
    attrs = request.attrs
    if not is_open or request.name != 'iq' or attrs.get('type') not in ('get', 'set') or not attrs.get('id'):
        login.fail('not-authorized', 'first log in')
        return None
    conn.hold()
    if login.registration is None:
        login.registration = Attempt()
    task = Deferred.fromCoroutine(_run(login, conn, login.registration, request))
    task.addErrback(lambda failure: None if login.is_over else login.broken(failure))
    return task


async def _run(login: Login, conn: ClientConnection, attempt: Attempt, request: Stanza) -> None:
    try:
        answer = await login.c2s.registration.answer(attempt, login.domain, conn.address or '', request)
    except StanzaError as error:
        # The password is not said again.
        attrs = {**request.attrs, 'to': login.domain}
        answer = error_reply(Stanza('iq', attrs), error.condition, error.text, error.type)
    conn.write(to_xml(answer))
    conn.proceed()
