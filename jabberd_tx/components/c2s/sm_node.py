"""An sm as c2s sees it: what sessions are pinned to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.session import Session


class SmNode:
    """One start of an sm node.

    leaving  it drains: sessions move away when nothing of theirs is unconfirmed
    gone     it is down, or has started anew
    busy     it has no credit for us; `waiting` are the sessions that wait for it, `bounces` how often in a row it was
    calm_since  the tick when it was last busy no more
    """

    __slots__ = ('bounces', 'busy', 'calm_since', 'gone', 'incarnation', 'leaving', 'node', 'waiting')

    def __init__(self, node: str, incarnation: bytes) -> None:
        self.node, self.incarnation = node, incarnation
        self.leaving = self.gone = self.busy = False
        self.waiting: list[Session] = []
        self.bounces = self.calm_since = 0


# Where a session is pinned that no sm has taken yet.
NOWHERE = SmNode('', b'')
