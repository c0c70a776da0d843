"""Which link a user's frames go over: the one that the slot table names, but never two at a time.

When a link comes up the table's choice changes for some users.  Frames that are under way on the old link could be
overtaken by those on the new one; so a user stays with the old link while it is up and anything of theirs is in flight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from jabberd_tx.link.interfaces import Link, Links


class Paths:
    """Chooses links.  `epoch` changes whenever a choice that somebody holds may be out of date."""

    __slots__ = ('_in_flight', '_links', '_sticky', 'epoch')

    def __init__(self, links: Links, in_flight: Callable[[], Iterable[tuple[str, Link]]]) -> None:
        """`in_flight`: (owner, link) of everything that is not confirmed."""
        self._links, self._in_flight = links, in_flight
        self._sticky: dict[str, Link] = {}
        self.epoch = 0

    def choose(self, owner: str) -> Link | None:
        """The link for frames that belong to this bare JID; None while there is none."""
        if self._sticky:
            link = self._sticky.get(owner)
            if link is not None and link.up:
                return link
        return self._links.pick(owner)

    def other(self, owner: str, link: Link) -> Link | None:
        """A link that is up and not this one; None: there is no other."""
        return self._links.pick(owner, avoid=link)

    def changed(self) -> None:
        """A link has come up, or gone: who has something in flight stays where it is."""
        self._sticky = {owner: link for owner, link in self._in_flight() if link.up}
        self.epoch += 1

    def sweep(self) -> None:
        """Let go of those with nothing in flight any more.  Called about once a second."""
        if not self._sticky:
            return
        flying = {owner for owner, _ in self._in_flight()}
        left = {owner: link for owner, link in self._sticky.items() if owner in flying and link.up}
        if len(left) != len(self._sticky):
            self._sticky = left
            self.epoch += 1
