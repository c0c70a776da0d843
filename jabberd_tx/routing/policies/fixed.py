"""The policies `to` and `from` over a fixed number of slots, each of them one instance's, whether it is there or not.

While a slot is absent its keys either have nobody (the router holds or bounces their frames), or, with `spill`, a
stand-in for each: the present slot that rendezvous hashing gives the key.  When the slot is back, a key stays with its
stand-in until that has confirmed what it got for the key, so that the next frame does not overtake it; LAPSE
seconds at most.
"""

from __future__ import annotations

from collections.abc import Callable

from zope.interface import implementer

from jabberd_tx.base.hashing import rendezvous, slot_among
from jabberd_tx.link.frames import Route, confirmation
from jabberd_tx.routing.policies.interface import ISharingChooser, IWatchingChooser, Settings
from jabberd_tx.routing.policies.keys import key_of

# Keys whose stand-in is remembered, and keys of which frames are with a stand-in.
MOST_KEYS = 65536
# Frames of one key that are waited for.
MOST_OUT = 256
# How long a key stays away for frames that its stand-in does not confirm, in seconds.
LAPSE = 2.0


class _Lent:
    """A key that is with a stand-in: which, the frames that are not confirmed, and until when it stays (0: its own slot
    is not back)."""

    __slots__ = ('node', 'out', 'until')

    def __init__(self, node: str) -> None:
        self.node, self.until = node, 0.0
        self.out: set[bytes] = set()


@implementer(IWatchingChooser, ISharingChooser)
class FixedSlotChooser:
    """`pick` answers '' for a key whose slot is absent."""

    def __init__(self, attribute: str, settings: Settings, slots: int, spill: bool) -> None:
        """attribute: 'to' or 'from', as for SlotChooser."""
        self._attribute, self._whole = attribute, settings.whole
        self._seconds, self._watch = settings.clock.seconds, settings.watch
        self._slots, self._spill = slots, spill
        self._nodes = [''] * slots
        self._present: list[str] = []  # the numbers of the slots that are there, as text
        self._stand_ins: dict[str, int] = {}  # key -> slot, while nobody comes or goes
        self._lent: dict[str, _Lent] = {}
        self._keys: dict[bytes, str] = {}  # of the frames in _lent

    def sit(self, node: str, slot: int) -> None:
        """The instance has this slot, and takes frames."""
        self._nodes[slot] = node
        self._count()

    def join(self, node: str, weight: float) -> None:
        """Each slot is as large as any other: `sit` says all."""

    def leave(self, node: str) -> None:
        self._nodes = ['' if there == node else there for there in self._nodes]
        for key in [key for key, lent in self._lent.items() if lent.node == node]:
            self._forget(key)
        self._count()

    def slot(self, frame: Route) -> int | None:
        """The slot of the frame's key; None: it has no key."""
        key = key_of(frame, self._attribute, self._whole)
        return None if key is None else slot_among(key, self._slots)

    def share(self, node: str) -> Callable[[Route], bool]:
        slots = {slot for slot, there in enumerate(self._nodes) if there == node}
        return lambda frame: self.slot(frame) in slots

    def pick(self, frame: Route) -> str | None:
        key = key_of(frame, self._attribute, self._whole)
        if key is None:
            return None
        node = self._nodes[slot_among(key, self._slots)]
        if self._lent:
            lent = self._lent.get(key)
            if lent is not None and self._stays(key, lent, back=bool(node)):
                self._note(key, lent, frame)
                return lent.node
        if node or not self._spill or not self._present:
            return node
        node = self._stand_in(key)
        if len(self._lent) < MOST_KEYS:
            lent = self._lent[key] = _Lent(node)
            self._note(key, lent, frame)
        return node

    def settled(self, node: str, uid: bytes) -> None:
        key = self._keys.pop(uid, None)
        lent = self._lent.get(key) if key is not None else None
        if key is not None and lent is not None:
            lent.out.discard(uid)
            if not lent.out:
                del self._lent[key]

    def close(self) -> None:
        """Holds nothing that outlives it."""

    # ---- inside

    def _count(self) -> None:
        self._present = [str(slot) for slot, node in enumerate(self._nodes) if node]
        self._stand_ins.clear()

    def _stand_in(self, key: str) -> str:
        slot = self._stand_ins.get(key)
        if slot is None:
            if len(self._stand_ins) >= MOST_KEYS:
                self._stand_ins.clear()
            slot = self._stand_ins[key] = int(rendezvous(key, self._present))
        return self._nodes[slot]

    def _stays(self, key: str, lent: _Lent, back: bool) -> bool:
        """Whether the key is still its stand-in's; `back`: its own slot is there again."""
        if back and not lent.until:
            lent.until = self._seconds() + LAPSE
        elif not back:
            lent.until = 0.0
        if lent.until and self._seconds() >= lent.until:
            self._forget(key)
            return False
        return True

    def _note(self, key: str, lent: _Lent, frame: Route) -> None:
        if len(lent.out) >= MOST_OUT:
            return
        uid = confirmation(frame)
        lent.out.add(uid)
        self._keys[uid] = key
        self._watch(frame, self)

    def _forget(self, key: str) -> None:
        for uid in self._lent.pop(key).out:
            self._keys.pop(uid, None)
