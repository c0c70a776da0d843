"""Users of our domains who are not known here: with [sm] authoritative = false they may be at another site.

What is for them goes to the default route, such as a clustering component, once: what comes from there, and what has no
hops left, is treated as for a user who does not exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jabberd_tx.link.frames import DEFAULT_ROUTE, REPEAT, RETURNED, Route
from jabberd_tx.routing.patterns import Names
from jabberd_tx.storage.sessions.interface import Session
from jabberd_tx.xmpp.errors import condition_of
from jabberd_tx.xmpp.jid import Jid, parse
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.sm.service import SessionManager


class Elsewhere:
    """See the module's text."""

    def __init__(self, sm: SessionManager) -> None:
        self._sm, self._options = sm, sm.options
        self._patterns: tuple[list[str], Names] = ([], Names([]))

    def is_cluster(self, node: str) -> bool:
        """Whether the node belongs to a clustering component: it may watch, and speak for users who are elsewhere."""
        wanted = self._options.cluster
        if not wanted:
            return False
        if self._patterns[0] != wanted:
            self._patterns = (list(wanted), Names(wanted))
        return self._patterns[1].has(node)

    def may_be(self, frame: Route, to: Jid) -> bool:
        """Whether somebody else may know the recipient: asked before `holds`, at no cost as a rule."""
        if self._options.authoritative or not to.local or to.domain not in self._sm.domains:
            return False
        takers = self._sm.links.instances(DEFAULT_ROUTE)
        return bool(takers) and not (
            frame.flags & RETURNED or frame.hops < 2 or frame.source in takers or self.is_cluster(frame.source)
        )

    async def holds(self, bare: str) -> bool:
        """Whether the user has neither an account nor a session here; StorageError."""
        sessions = self._sm.sessions.peek(bare) or await self._sm.sessions.fetch(bare)
        return not sessions and not await self._sm.accounts.exist(bare)

    def pass_on(self, frame: Route, stanza: Stanza, to: Jid, condition: str = '') -> None:
        """Send it there.  condition: of the error for whoever sent it, if nobody takes it; '' for none."""

        def failed(reason: str) -> None:
            if condition:
                self._sm.refuse(frame, stanza, condition_of(reason, condition))

        owner = frame.key if isinstance(frame.key, str) else to.bare
        self._sm.posts.to_name(
            owner, DEFAULT_ROUTE, None, stanza, uid=frame.uid, flags=frame.flags & REPEAT, hops=frame.hops - 1,
            failed=failed,
        )  # fmt: skip

    def took_answer(self, frame: Route, stanza: Stanza) -> bool:
        """Whether the answer to what a clustering component has sent may be for somebody elsewhere, and is seen to: it
        goes back there, unless that user has a session here."""
        if not self.is_cluster(frame.source):
            return False
        to = parse(stanza.attrs['to'])
        if not to.local or to.domain not in self._sm.domains:
            return False

        def send(sessions: Sequence[Session]) -> None:
            if sessions:
                self._sm.send(stanza)
            else:
                self._sm.posts.to_stream(to.bare, frame.source, None, 0, stanza)

        self._sm.with_sessions(to.bare, send)
        return True
