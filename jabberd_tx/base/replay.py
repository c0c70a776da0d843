"""Which uids have been here: told exactly for the last 64 of each stream, in the space of two integers.

A sender keeps no more than 64 stanzas of one stream unconfirmed (the window of c2s), so that
whatever it may repeat is inside.  Numbers of one stream may come out of order.
"""

from __future__ import annotations

WIDTH = 64
_MASK = (1 << WIDTH) - 1


class ReplayWindow:
    """For each stream id: the highest number seen, and a bit for each of the 64 up to it."""

    __slots__ = ('_most', '_streams')

    def __init__(self, most_streams: int = 4096) -> None:
        """Streams that have said nothing for longest are forgotten beyond `most_streams`."""
        self._streams: dict[bytes, tuple[int, int]] = {}
        self._most = most_streams

    def seen(self, uid: bytes) -> bool:
        """Whether this uid was marked.  False for one too old to tell: passing on twice beats losing."""
        state = self._streams.get(uid[:16])
        if state is None:
            return False
        behind = state[0] - int.from_bytes(uid[16:], 'big')
        return 0 <= behind < WIDTH and bool(state[1] >> behind & 1)

    def mark(self, uid: bytes) -> None:
        """Note that it was here."""
        streams, stream = self._streams, uid[:16]
        number = int.from_bytes(uid[16:], 'big')
        state = streams.get(stream)
        if state is None:
            if len(streams) >= self._most:
                del streams[next(iter(streams))]
            streams[stream] = (number, 1)
            return
        ahead = number - state[0]
        if ahead > 0:
            streams[stream] = (number, ((state[1] << ahead) | 1) & _MASK if ahead < WIDTH else 1)
        elif -ahead < WIDTH:
            streams[stream] = (state[0], state[1] | 1 << -ahead)

    def forget(self, stream: bytes) -> None:
        """The stream is over."""
        self._streams.pop(stream, None)
