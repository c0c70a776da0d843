"""Presence probes (RFC 6121 §4.3.2, §4.6.6): somebody asks whether a user, or one client, is there.

Who asks a user gets the last presence of each available client; who asks one client gets to know that it is there, and
no more.  Whoever has not the user's presence by a subscription, but directed presence of a client, gets to know that
of this client alone; everybody else that there is no subscription, as from an account that does not exist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from jabberd_tx.components.sm.directed import has_seen, may_see
from jabberd_tx.components.sm.presence_stanzas import available, subscription, unavailable
from jabberd_tx.components.sm.subscriptions import UNSUBSCRIBED
from jabberd_tx.storage import last_activity
from jabberd_tx.storage.operations import StorageError
from jabberd_tx.storage.sessions.interface import Session
from jabberd_tx.xmpp.jid import Jid
from jabberd_tx.xmpp.payloads.delay import stamp
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.sm.presence import Presence
    from jabberd_tx.components.sm.service import SessionManager


class Probes:
    """See the module's text."""

    log = Logger()

    def __init__(self, sm: SessionManager, presence: Presence) -> None:
        self._sm, self._presence = sm, presence

    async def answer(self, stanza: Stanza, asker: Jid, to: Jid) -> None:
        """A probe for a user of ours or one of the clients; nobody gets an error for it (§4.3)."""
        if not to.local or await self._presence.is_stopped(stanza, to):
            return
        try:
            roster = await self._sm.rosters.get(to.bare)
        except StorageError:
            self.log.warn('a probe for {owner} is not answered without the roster', owner=to.bare)
            return
        subscribed = may_see(roster, to.bare, asker.bare)
        id = stanza.attrs.get('id')
        answers = [
            answer
            for session in await self._presence.sessions_of(to.bare)
            if not to.resource or session.jid == to.full
            if (answer := _shown(session, asker, subscribed, whole=not to.resource)) is not None
        ]
        if not answers and subscribed:
            answers.append(await self._gone(to, asker, id))
        for answer in answers:
            await self._presence.deliver(to.bare, answer, asker)
        if not answers:
            self._refuse(to.bare, asker, id)

    async def _gone(self, to: Jid, asker: Jid, id: str | None) -> Stanza:
        """Nobody there; of a user since when, if that is known."""
        answer = unavailable(to.full, asker.full, id)
        if to.resource or 'last' not in self._sm.modules:
            return answer
        try:
            left = await self._sm.storage.run(last_activity.get, to.bare)
        except StorageError:
            return answer
        return stamp(answer, left.at, to.bare) if left is not None else answer

    def _refuse(self, owner: str, asker: Jid, id: str | None) -> None:
        """To the asker's server, which ends the subscription that it believes in (§3.2.3)."""
        answer = subscription(UNSUBSCRIBED, owner, asker.bare, id)
        if asker.domain in self._sm.domains:
            self._sm.posts.to_name(owner, asker.domain, asker.bare, answer)
        else:
            self._presence.to_elsewhere(owner, answer, asker.bare)


def _shown(session: Session, asker: Jid, subscribed: bool, whole: bool) -> Stanza | None:
    """What the asker gets to know of a session: its presence, that it is there, or nothing."""
    if subscribed and session.presence is not None:
        if whole:
            return session.presence.with_attrs(to=asker.full)
        return available(session.jid, asker.full, session.presence.attrs.get('id'))
    return available(session.jid, asker.full) if has_seen(session, asker) else None
