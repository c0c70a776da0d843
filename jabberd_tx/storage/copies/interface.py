"""The copies that workers for clients keep outside of themselves: a log a worker, who takes over what a dead one has
left, and until when a worker is to be taken for alive (docs/delivery.md).

What the logs say is link/copies.py's; here it is bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from twisted.internet.defer import Deferred


class Start(NamedTuple):
    """One start of a node: a worker that is started again is another one."""

    node: str
    incarnation: bytes

    def __str__(self) -> str:
        """As the holder of claims."""
        return f'{self.node} {self.incarnation.hex()}'

    @classmethod
    def parse(cls, text: str) -> Start:
        """The inverse; ValueError."""
        node, _, incarnation = text.rpartition(' ')
        return cls(node, bytes.fromhex(incarnation))


class CopyStore(Protocol):
    """See the module's text.  Whatever could not be asked in time fails with RedisUnavailable."""

    # ---- the log of one worker

    def append(self, start: Start, number: int, chunk: bytes, keep_from: int) -> Deferred[None]:
        """Add a chunk to a worker's log, whose numbers grow from 1; one that is there already is not added again.
        Chunks with numbers below `keep_from` are dropped."""

    def read(self, start: Start) -> Deferred[list[bytes]]:
        """All chunks, oldest first."""

    def starts(self) -> Deferred[Sequence[Start]]:
        """The workers that have a log."""

    def drop(self, start: Start) -> Deferred[None]:
        """Forget all about a worker; but who has claimed its streams only after a while."""

    # ---- who takes over

    def claim(self, start: Start, stream: bytes, holder: str, instead_of: str = '') -> Deferred[str]:
        """Take over one stream of a worker's that is gone, unless somebody has; who has it now.

        `instead_of`: it is also taken from this holder, who is gone."""

    def claims(self, start: Start) -> Deferred[dict[bytes, str]]:
        """By stream, who has taken over what."""

    # ---- leases

    def renew(self, start: Start, seconds: float) -> Deferred[bool]:
        """The worker lives, and is to be taken for alive for so long; False when it was not any more."""

    def lost_for(self, start: Start, grace: float) -> Deferred[float]:
        """For how many seconds a worker's lease has been over; below 0: it is not.  One that never had a lease gets
        one of `grace` seconds now."""

    # ---- a loss

    def on_renewed(self, call: Callable[[], None]) -> None:
        """`call` whenever what was held is gone, and is to be copied anew."""
