"""XEP-0077 for those who have an account: another password, or no account any more.

What makes accounts is in c2s, where clients are that have not logged in (components/c2s/registration.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import DeferredSemaphore
from twisted.internet.threads import deferToThreadPool

from jabberd_tx.base.options import Option
from jabberd_tx.components.sm.cancelling import remove, see_off
from jabberd_tx.components.sm.iq import IqRequest
from jabberd_tx.components.sm.module import OWN_ACCOUNT, SERVER, Module, answers
from jabberd_tx.storage import accounts
from jabberd_tx.storage.rosters import Item
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.payloads.register import parse_registration, registered
from jabberd_tx.xmpp.sasl import DEFAULT_ITERATIONS, derive
from jabberd_tx.xmpp.stanza import Stanza

# Passwords that wait to be hashed.
MOST_WAITING = 100


class RegistrationOfUsers(Module):
    """Lets users change their password and cancel their account."""

    name = 'registration'
    enabled = False
    xeps = ('XEP-0077',)
    server_features = account_features = (ns.REGISTER,)
    options = (
        Option('password', bool, True, 'Users may change their password.', reload=True),
        Option('cancel', bool, True, 'Users may cancel their account, with all that is stored of it.', reload=True),
    )

    _turns: DeferredSemaphore

    def start(self) -> None:
        """One password is hashed at a time."""
        self._turns = DeferredSemaphore(1)

    @answers('get', ns.REGISTER, 'query', SERVER, OWN_ACCOUNT)
    def get(self, request: IqRequest) -> Stanza:
        """Registered, under which name."""
        self._refuse_others(request)
        return request.result(ns.REGISTER, 'query', registered(request.sender.local))

    @answers('set', ns.REGISTER, 'query', SERVER, OWN_ACCOUNT)
    async def set(self, request: IqRequest) -> None:
        """A new password (§3.3), or <remove/> (§3.2)."""
        self._refuse_others(request)
        wish = parse_registration(request.stanza)
        if wish.remove:
            await self._cancel(request)
        else:
            await self._change(request, wish.username, wish.password)

    @staticmethod
    def _refuse_others(request: IqRequest) -> None:
        if request.stream is None:
            raise StanzaError('forbidden', 'for users of this server')

    async def _change(self, request: IqRequest, username: str, password: str) -> None:
        if not self.values.password:
            raise _without_payload(request, 'not-allowed', 'passwords are not changed in this way')
        # A name is compared as people write it: the account is the sender's own in any case.
        if not password or username.casefold() not in (request.sender.local, request.sender.bare):
            raise _without_payload(request, 'bad-request', 'expected your user name and a new password')
        if len(self._turns.waiting) >= MOST_WAITING:
            raise _without_payload(request, 'resource-constraint', 'too many passwords are changed')
        reactor: Any = self.sm.reactor
        hashed = partial(deferToThreadPool, reactor, reactor.getThreadPool(), derive, password, DEFAULT_ITERATIONS)
        try:
            verifiers = await self._turns.run(hashed)
        except ValueError as error:
            raise _without_payload(request, 'not-acceptable', str(error)) from None
        if not await self.sm.storage.run(accounts.change, request.sender.bare, verifiers):
            raise _without_payload(request, 'registration-required', 'no such account')

    async def _cancel(self, request: IqRequest) -> None:
        if not self.values.cancel:
            raise StanzaError('not-allowed', 'accounts are not cancelled in this way')
        owner = request.sender.bare
        roster = await remove(self.sm, owner)
        if roster is None:
            raise StanzaError('registration-required', 'no such account')
        self.sm.spawn(self._see_off(owner, roster))

    async def _see_off(self, owner: str, roster: Sequence[Item]) -> None:
        await self.sm.sleep(0)  # first the answer
        await see_off(self.sm, owner, roster, 'the account has been cancelled')


def _without_payload(request: IqRequest, condition: str, text: str) -> StanzaError:
    """The error does not say the password again (§3.3)."""
    request.stanza = Stanza('iq', dict(request.stanza.attrs))
    return StanzaError(condition, text)
