"""Clients that have ended their stream before everything that they sent was answered.

An end tag says that no more will come from the client, not that it wants to hear no more (RFC 6120 §4.4): requests
that stood before it get their answers, and messages their errors, before the server ends its side.  So that nobody
can keep a stream open in this way, that is waited for no longer than `close_timeout`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.service import C2S
    from jabberd_tx.components.c2s.session import Session


class Leaving:
    """sessions: each with the tick when its stream is closed whatever is missing."""

    def __init__(self, c2s: C2S) -> None:
        self._c2s = c2s
        self.sessions: dict[Session, int] = {}
        self._due = False

    def add(self, session: Session) -> None:
        """Its client has sent the end tag."""
        self.sessions.setdefault(session, self._c2s.tick_after(self._c2s.options.close_timeout))

    def look_soon(self) -> None:
        """Something was confirmed or answered: at the end of the turn, close those that wait for nothing more."""
        if not self._due:
            self._due = True
            self._c2s.turn.later(self._look)

    def _look(self) -> None:
        self._due = False
        self._close([session for session in self.sessions if session.conn is None or not session.waits])

    def expire(self, tick: int) -> None:
        """Called once a second: close those whose time is over."""
        self._close([session for session, until in self.sessions.items() if until <= tick or session.conn is None])

    def _close(self, sessions: list[Session]) -> None:
        for session in sessions:
            del self.sessions[session]
            session.close()
