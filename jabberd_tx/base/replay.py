"""Which uids have been here: told exactly for the last 64 of each stream, in the space of two integers.

A sender keeps no more than 64 stanzas of one stream unconfirmed (the window of c2s), so that
whatever it may repeat is inside.  Numbers of one stream may come out of order.
"""

from __future__ import annotations

WIDTH = 64
_MASK = (1 << WIDTH) - 1
_State = tuple[int, int]  # the highest number seen, and a bit for each of the 64 up to it


class ReplayWindow:
    """Remembers no more than `most_streams` streams.

    They stand in two halves.  When the young one is full it becomes the old one, and what was old is
    forgotten; a stream that says something is young again.  So a stream is forgotten only after
    `most_streams` / 2 others have spoken since it did, and keeping that order costs nothing a mark.
    """

    __slots__ = ('_half', '_old', '_young')

    def __init__(self, most_streams: int = 4096) -> None:
        self._young: dict[bytes, _State] = {}
        self._old: dict[bytes, _State] = {}
        self._half = max(most_streams // 2, 1)

    def seen(self, uid: bytes) -> bool:
        """Whether this uid was marked.  False for one too old to tell: passing on twice beats losing."""
        stream = uid[:16]
        state = self._young.get(stream) or self._old.get(stream)
        if state is None:
            return False
        behind = state[0] - int.from_bytes(uid[16:], 'big')
        return 0 <= behind < WIDTH and bool(state[1] >> behind & 1)

    def mark(self, uid: bytes) -> bool:
        """Note that it was here; whether it was marked before, as `seen` would have said."""
        young, stream = self._young, uid[:16]
        number = int.from_bytes(uid[16:], 'big')
        state = young.get(stream)
        if state is None:
            state = self._old.pop(stream, None)
            if len(young) >= self._half:
                self._old = young
                young = self._young = {}
            if state is None:
                young[stream] = (number, 1)
                return False
        highest, seen = state
        ahead = number - highest
        if ahead > 0:
            young[stream] = (number, ((seen << ahead) | 1) & _MASK if ahead < WIDTH else 1)
            return False
        bit = 1 << -ahead if -ahead < WIDTH else 0
        young[stream] = (highest, seen | bit)
        return bool(seen & bit)

    def states(self) -> list[tuple[bytes, int, int]]:
        """What is remembered, for `restore`: stream id, highest number, and a bit for each of the 64 up to it."""
        return [(stream, *state) for half in (self._old, self._young) for stream, state in half.items()]

    def restore(self, stream: bytes, highest: int, seen: int) -> None:
        """Remember that as well."""
        self._young[stream] = (highest, seen & _MASK)

    def forget(self, stream: bytes) -> None:
        """The stream is over."""
        self._young.pop(stream, None)
        self._old.pop(stream, None)
