"""Leases of slots: which instance of an exclusive name has which of its slots, as all of them agree.

Routers may see different instances for a while, so what they choose is no proof.  A lease is: the store gives each slot
to one instance at a time, for so many seconds, and to another one only when that is over or the slot was given up.
In memory for one process; shared by all later.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple, Protocol

from twisted.internet.defer import Deferred


class Holder(NamedTuple):
    """An instance: its node, and the incarnation of that.  After a restart it is another holder."""

    node: str
    incarnation: bytes


class Lease(NamedTuple):
    """holder  who has the slot
    term    1, 2, …: how many holders it has had; what the slot's holder writes elsewhere can be ordered by it
    """

    holder: Holder
    term: int


class LeaseStore(Protocol):
    """Each call is one step of the store, whoever else calls.  A Deferred fails when the store can't be reached."""

    def take(self, name: str, slots: Iterable[int], holder: Holder, seconds: float) -> Deferred[dict[int, Lease]]:
        """Lease those of the slots that nobody else has, for so many seconds; who has each of them now.

        A slot that the holder has already is its own for so many seconds from now, with the term that it had.
        """

    def renew(self, name: str, slots: Iterable[int], holder: Holder, seconds: float) -> Deferred[Collection[int]]:
        """Keep those of the slots that the holder still has, for so many seconds from now; which these are.

        One whose time was over is lost, though nobody else has taken it: somebody may have in between.
        """

    def give_up(self, name: str, slots: Iterable[int], holder: Holder) -> Deferred[None]:
        """Those of the slots that the holder has are anybody's."""

    def holders(self, name: str) -> Deferred[dict[int, Lease]]:
        """All slots that somebody has."""
