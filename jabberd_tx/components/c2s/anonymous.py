"""Users without an account (SASL ANONYMOUS, RFC 4505), on the domains that `anonymous_domains` names.

Each login is a user of its own, whose name nobody has had before; nothing of it is kept.  It reaches itself, may ask
its server, and beyond that only what `anonymous_reach` names.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from jabberd_tx.components.c2s.session import Session
from jabberd_tx.xmpp.jid import InvalidJid, Jid, parse
from jabberd_tx.xmpp.parser import Event
from jabberd_tx.xmpp.sasl import SaslFailure
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.connection import ClientConnection
    from jabberd_tx.components.c2s.service import C2S

MECHANISM = 'ANONYMOUS'
# RFC 4505 §2: characters of the trace, which is not kept.
MOST_TRACE = 255
_SUBSCRIPTIONS = frozenset(('subscribe', 'subscribed', 'unsubscribe', 'unsubscribed', 'probe'))


class AnonymousJid(Jid):
    """Of somebody who has no account."""

    __slots__ = ()


def new_user(trace: bytes, domain: str) -> AnonymousJid:
    """Somebody who was never there before; SaslFailure('malformed-request') for what is no trace."""
    try:
        size = len(trace.decode())
    except UnicodeDecodeError:
        size = MOST_TRACE + 1
    if size > MOST_TRACE:
        raise SaslFailure('malformed-request', 'expected up to 255 characters')
    return AnonymousJid(f'anonymous-{secrets.token_hex(12)}', domain)


def session_of(c2s: C2S, conn: ClientConnection, who: Jid, resource: str, lang: str | None) -> Session:
    """The session of whoever has logged in."""
    kind = AnonymousSession if isinstance(who, AnonymousJid) else Session
    return kind(c2s, conn, who, resource, lang)


class AnonymousSession(Session):
    """A session that lets only so much through; the rest is refused with 'forbidden'."""

    __slots__ = ()

    def take(self, event: Event) -> None:
        """See Session."""
        if isinstance(event, Stanza) and not self._may_send(event):
            self.number += 1
            self._refuse(event, 'forbidden', 'log in with an account for that')
            return
        super().take(event)

    def _may_send(self, stanza: Stanza) -> bool:
        attrs = stanza.attrs
        kind = attrs.get('type')
        try:
            to = parse(attrs['to']) if 'to' in attrs else None
        except InvalidJid:
            return True  # which is refused for that
        if stanza.name == 'presence' and kind in _SUBSCRIPTIONS:
            return False
        if to is None or to.full in (self.bare, self.domain):
            # What is the account's, and there is none: nothing to set.
            return stanza.name != 'iq' or kind != 'set' or self._is_login(stanza)
        reach = self.c2s.options.anonymous_reach
        return to.bare == self.bare or to.domain in reach or to.bare in reach

    @staticmethod
    def _is_login(stanza: Stanza) -> bool:
        return all(child.name in ('session', 'bind') for child in stanza.children)
