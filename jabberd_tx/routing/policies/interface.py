"""What a routing policy is: two interfaces, and what it is told about the name that it serves."""

from __future__ import annotations

from typing import NamedTuple

from twisted.internet.interfaces import IReactorTime
from zope.interface import Attribute, Interface

from jabberd_tx.link.frames import Route


class Settings(NamedTuple):
    """name   the name that the instances serve
    whole     True: hash full JIDs; False: bare JIDs
    order     nodes as [[route]] lists them, for policies that prefer one to another
    clock     for work that is put off to later turns
    """

    name: str
    whole: bool
    order: tuple[str, ...]
    clock: IReactorTime


class IChooser(Interface):
    """Chooses among the instances of one name.  Made by a policy, and told who is there."""

    def join(node: str, weight: float) -> None:
        """An instance takes frames now, or has another weight than before."""

    def leave(node: str) -> None:
        """It takes no more: not chosen again, from now on.  Not called for one that never joined."""

    def pick(frame: Route) -> str | None:
        """The node for this frame, at the price of a microsecond or so.

        None: the frame has no key that this policy could go by; a policy that needs none is asked instead.
        Never called while nobody has joined.
        """

    def close() -> None:
        """Not needed any more."""


class IRoutingPolicy(Interface):
    """A way to choose.  One object for all names."""

    name: str = Attribute('What [[route]] and BIND call it.')

    def chooser(settings: Settings) -> IChooser:
        """A chooser for one name, with nobody in it."""
