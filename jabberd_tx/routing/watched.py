"""Frames that a policy wants to hear of again: which chooser to tell when one is confirmed or comes back."""

from __future__ import annotations

from collections.abc import Iterable

from jabberd_tx.link.frames import Bounce, Confirm, Route, Working, confirmation
from jabberd_tx.routing.policies import IWatchingChooser

# Frames that are watched at a time; the longest watched is let go beyond.
MOST = 65536


class WatchedFrames:
    """frames   uid, as a CONFIRM will list it, -> chooser; empty while there are none, which is all that the stanza
    path asks"""

    __slots__ = ('frames',)

    def __init__(self) -> None:
        self.frames: dict[bytes, IWatchingChooser] = {}

    def watch(self, frame: Route, chooser: IWatchingChooser) -> None:
        """Tell this chooser of it.  Of a frame that is sent again only whoever watched it last."""
        frames = self.frames
        if len(frames) >= MOST:
            del frames[next(iter(frames))]
        frames[confirmation(frame)] = chooser

    def came_back(self, frame: Confirm | Working | Bounce) -> None:
        """A node has confirmed frames, or sends one back."""
        if isinstance(frame, Confirm):
            self._settle(frame.source, frame.uids)
        elif isinstance(frame, Bounce):
            self._settle(frame.source, (frame.uid,))

    def returned(self, frame: Route) -> None:
        """The router itself sends it back."""
        self._settle('', (confirmation(frame),))

    def _settle(self, node: str, uids: Iterable[bytes]) -> None:
        for uid in uids:
            chooser = self.frames.pop(uid, None)
            if chooser is not None:
                chooser.settled(node, uid)
