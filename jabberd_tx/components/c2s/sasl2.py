"""Logging in with the Extensible SASL Profile (XEP-0388), a resource and more in the same round trip (XEP-0386).

One exchange is one coroutine: the mechanism's challenges and responses; then, the client having proved who it is, the
tasks that it does (XEP-0480), the stream that it wants back (XEP-0198) or the session that it wants; then <success/>
with all answers, and the features of what the stream is now.  A client that can not get a session is not logged in:
its stream is as it was.

Without an archive (XEP-0313) messages that were stored offline are not cleared by a bind, as XEP-0386 §3.2 has it with
one, but come as after any other.
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from jabberd_tx.components.c2s import features
from jabberd_tx.components.c2s.anonymous import AnonymousJid
from jabberd_tx.components.c2s.authentication import Authenticated
from jabberd_tx.components.c2s.binding import NoSession
from jabberd_tx.components.c2s.exchange import Exchange
from jabberd_tx.components.c2s.resuming import resume, resumed, wake
from jabberd_tx.components.c2s.resumption import NotResumed
from jabberd_tx.storage.fast_tokens import Token
from jabberd_tx.xmpp import acks, ns
from jabberd_tx.xmpp.events import Nonza
from jabberd_tx.xmpp.jid import InvalidJid, Jid, prepare_resource
from jabberd_tx.xmpp.payloads import sasl2, sasl_upgrade
from jabberd_tx.xmpp.payloads.sasl2 import Authenticate, Bind
from jabberd_tx.xmpp.sasl import SaslFailure

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.session import Session


class ExtensibleExchange(Exchange):
    """One <authenticate/> of a login, until its <success/> or <failure/>."""

    ns = ns.SASL2
    challenge = staticmethod(sasl2.challenge)
    failure = staticmethod(sasl2.failure)
    decode = staticmethod(sasl2.decode)

    async def _run(self) -> None:
        wish = sasl2.parse_authenticate(self._request)
        who, used = await self._prove(wish)
        sender = self._login.sender
        if sender and sender != who.jid.bare:
            raise SaslFailure('invalid-authzid', 'not who the stream is from')
        if used is None and wish.upgrades and self._login.upgrades:
            wanted = [name for name in self._login.upgrades if sasl_upgrade.task_of(name) in wish.upgrades]
            who = await self._login.c2s.upgrades.run(self, who, wanted)
        inline = await self._give_token(wish, who.jid, used)
        if wish.resume is not None:
            try:
                session = await resume(self._login.c2s, who.jid, wish.resume)
            except NotResumed as reason:
                inline += reason.to_xml()
            except acks.AcksError as error:
                self._task = None
                self._login.end_with(error.to_xml())
                return
            else:
                self._resume(who, session, wish.resume, inline)
                return
        if wish.bind is not None and self._login.c2s.options.bind2:
            self._bind(who, await self._start(who.jid, wish, wish.bind), wish.bind, inline)
        else:
            self._conn.write(sasl2.success(who.jid.bare, who.data, inline))
            self._login.logged_in(who.jid)

    # ---- who it is

    def ask_for(self, name: str, element: bytes) -> Deferred[Nonza]:
        """Send a part of a task (§2.6.3); the element of that name which the client answers with, or SaslFailure.

        There is no other attempt to log in on this stream then (§4.8).
        """
        self._login.continued = True
        return self._wait_for(name, lambda event: event, element)

    async def _prove(self, wish: Authenticate) -> tuple[Authenticated, Token | None]:
        login = self._login
        if wish.fast is not None and wish.initial is not None and wish.mechanism in self._token_mechanisms():
            return await login.c2s.fast.log_in(
                wish.mechanism, wish.initial, login.domain, wish.client, wish.fast, login.bindings,
                self._conn.address or '',
            )  # fmt: skip
        return await self._login.run_mechanism(wish.mechanism, wish.initial, self.ask), None

    async def _give_token(self, wish: Authenticate, who: Jid, used: Token | None) -> bytes:
        """The <token/> that was asked for, or that takes the place of the one `used` (XEP-0484 §3.2, §3.5)."""
        login, mechanism = self._login, wish.wanted
        tokens = login.c2s.fast
        if not mechanism and used is not None and wish.fast is not None and not wish.fast.invalidate:
            mechanism = used.mechanism if tokens.is_due(used) else ''
        if not wish.client or mechanism not in self._token_mechanisms() or isinstance(who, AnonymousJid):
            return b''
        return await tokens.give(who.bare, wish.client, mechanism)

    def _token_mechanisms(self) -> tuple[str, ...]:
        return self._login.c2s.offer.token_mechanisms(self._login.offered, self._login.bindings)

    # ---- the stream that the client had

    def _resume(self, who: Authenticated, session: Session, request: Nonza, inline: bytes) -> None:
        success = sasl2.success(session.jid, who.data, inline + resumed(session, request))
        self._conn.write(success + self._features(session))
        self._login.over()
        wake(session, self._conn)

    def _features(self, session: Session) -> bytes:
        return features.with_session(session.acks is not None, self._login.c2s.offer.after(self._login.domain))

    # ---- a session

    async def _start(self, who: Jid, wish: Authenticate, bind: Bind) -> Session:
        """SaslFailure('temporary-auth-failure') when there can be none."""
        stable = resource_of(who.bare, wish.client, bind.tag)
        try:
            try:
                return await self._ask_for(who, stable or made_up(bind.tag), bind)
            except NoSession as reason:
                if not stable or reason.condition != 'conflict':
                    raise
                return await self._ask_for(who, made_up(bind.tag), bind)
        except NoSession as reason:
            raise SaslFailure('temporary-auth-failure', f'no session: {reason.condition} {reason.text}') from None

    def _ask_for(self, who: Jid, resource: str, bind: Bind) -> Deferred[Session]:
        return self._login.binding.ask(who, resource, bind.carbons and self._login.c2s.offer.carbons)

    def _bind(self, who: Authenticated, session: Session, bind: Bind, inline: bytes) -> None:
        enabled = self._login.c2s.resumable.enable(session, bind.acks) if bind.acks is not None else b''
        success = sasl2.success(session.jid, who.data, inline + sasl2.bound(enabled))
        self._conn.write(success + self._features(session))
        self._login.over()
        self._conn.become(session)
        if bind.inactive and self._login.c2s.options.csi:
            session.become_inactive()
        self._conn.proceed()


def resource_of(owner: str, client: str, tag: str) -> str:
    """The same resource each time for a user's client that has told its id (XEP-0386 §3.2.1), so that its new session
    takes the place of one that it has left behind; the id can not be learned from it.  '' without an id."""
    if not client:
        return ''
    digest = hashlib.sha256('\0'.join((owner, client, tag)).encode()).digest()
    return _tagged(tag, urlsafe_b64encode(digest[:9]).decode())


def made_up(tag: str) -> str:
    """A resource that nobody can guess."""
    return _tagged(tag, secrets.token_urlsafe(9))


def _tagged(tag: str, id: str) -> str:
    if not tag:
        return id
    try:
        return prepare_resource(f'{tag}/{id}')
    except InvalidJid:
        return id
