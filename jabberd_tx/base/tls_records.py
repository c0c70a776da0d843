"""Where TLS records end in what comes from a socket, told from their headers alone (RFC 8446 §5.1)."""

from __future__ import annotations

HEADER = 5  # type, version (2), length (2)


class RecordCounter:
    """For one direction of one connection, fed from its first byte on."""

    __slots__ = ('_header', '_missing')

    def __init__(self) -> None:
        self._missing = 0  # bytes to come of a record that has begun
        self._header = b''  # or the part of its header that has come

    def complete(self, data: bytes) -> int:
        """How many records end in `data`, if its last byte is the last of a record; else 0."""
        at, count = (self._missing, 1) if self._missing else (0, 0)
        if self._header:
            data = self._header + data
            self._header = b''
        end = len(data)
        while at + HEADER <= end:
            at += HEADER + (data[at + 3] << 8 | data[at + 4])
            count += 1
        if at == end:
            self._missing = 0
            return count
        if at > end:
            self._missing = at - end
        else:
            self._missing = 0
            self._header = data[at:]
        return 0
