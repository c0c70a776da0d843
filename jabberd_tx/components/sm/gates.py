"""Gates: while a user is given what is stored, all that is newer waits.

Each sm has gates of its own; that a client has yet to get what is stored they all see in its record (`behind`).

What a client did not ack, and was given back, is older than what is stored: it waits for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jabberd_tx.components.sm.delivery import Delivery
    from jabberd_tx.components.sm.lanes import Item, Lane
    from jabberd_tx.components.sm.service import SessionManager
    from jabberd_tx.storage.sessions.interface import Session


class Gates:
    """closed: the lanes that wait, by bare JID, while the user's gate is closed."""

    def __init__(self, sm: SessionManager, delivery: Delivery) -> None:
        self._sm, self._delivery = sm, delivery
        self.closed: dict[str, list[Lane]] = {}

    def close(self, bare: str) -> None:
        """From now on this user's messages wait: older ones are on their way from storage."""
        self.closed.setdefault(bare, [])

    def open(self, bare: str) -> None:
        """Let them go."""
        for lane in self.closed.pop(bare, ()):
            self._delivery.advance(lane)

    def hold(self, item: Item) -> bool:
        """Whether the item waits; its lane is advanced when it does no more."""
        if item.was_returned:
            return False
        waiting = self.closed.get(item.to.bare)
        if waiting is not None and item.lane not in waiting:
            waiting.append(item.lane)
        return waiting is not None

    def hold_for(self, item: Item, takers: Sequence[Session]) -> bool:
        """Whether it waits since one of those who are to get it has yet to get what is stored."""
        for session in takers:
            if session.behind and not item.was_returned:
                # Whichever sm gives it that, who listens here closes the gate until it is done.
                self._sm.hooks.tell('session_behind', session)
                return self.hold(item)
        return False
