"""What a routing policy is: two interfaces, and what it is told about the name that it serves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from twisted.internet.interfaces import IReactorTime
from zope.interface import Attribute, Interface

from jabberd_tx.link.frames import Route


def _unheard(frame: Route, chooser: Any) -> None:
    """Where nobody tells what becomes of frames."""


class Settings(NamedTuple):
    """name   the name that the instances serve
    whole     True: hash full JIDs; False: bare JIDs
    order     nodes as [[route]] lists them, for policies that prefer one to another
    clock     for work that is put off to later turns
    watch     watch(frame, chooser): called by `pick` of an IWatchingChooser that wants to hear of this frame again
    """

    name: str
    whole: bool
    order: tuple[str, ...]
    clock: IReactorTime
    watch: Callable[[Route, Any], None] = _unheard


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


class IWatchingChooser(IChooser):
    """One that is told what becomes of the frames that it has asked to hear of."""

    def settled(node: str, uid: bytes) -> None:
        """It is confirmed, or came back: by this node, or ('') by the router, which could not hand it on.

        uid: link.frames.confirmation(frame).  A frame whose confirmation takes another router is never heard of.
        """


class ISharingChooser(IChooser):
    """One that gives each instance a share of the keys, so that what one loses is certain others'."""

    def share(node: str) -> Callable[[Route], bool]:
        """Whether a frame is of the share that this instance has now; to be asked also when it has it no more."""


class IRoutingPolicy(Interface):
    """A way to choose.  One object for all names; found by twisted.plugin when it is an IPlugin as well."""

    name: str = Attribute('What [[route]] and BIND call it.')

    def chooser(settings: Settings) -> IChooser:
        """A chooser for one name, with nobody in it."""
