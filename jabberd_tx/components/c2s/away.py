"""What a session has in place of a connection while its client is away."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.session import Session


class Away:
    """Connection and transport in one, and nobody at the other end: what is written is in the session's `unacked`.

    session  whose place it keeps; None while that is being made
    until    the tick when the session is over, unless the client has come back
    grew     told how many bytes more wait for the client
    size     how many do
    """

    __slots__ = ('grew', 'session', 'size', 'until')
    login = None

    def __init__(self, session: Session | None, until: int, grew: Callable[[int], None] | None = None) -> None:
        self.session, self.until, self.grew = session, until, grew
        self.size = 0

    @property
    def transport(self) -> Away:
        """Itself."""
        return self

    def write(self, data: bytes) -> None:
        """Sent when the client is back."""
        self.size += len(data)
        if self.grew is not None:
            self.grew(len(data))

    def hold(self) -> None:
        """Nothing comes anyway."""

    def proceed(self) -> None:
        """Nothing was held."""

    def hear_only_acks(self) -> None:
        """There will be none."""

    def close(self, last: bytes = b'') -> None:
        """There is nobody to tell."""

    def abort(self) -> None:
        """Likewise."""
