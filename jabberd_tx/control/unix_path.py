"""Unix sockets in folders with long names."""

from __future__ import annotations

import os
from types import TracebackType

# sockaddr_un: 108 bytes with the one that ends the path (unix(7)).
MOST_BYTES = 107


class UnixPath:
    """A path to bind or connect to: the path itself, or, where that is too long, one by way of a descriptor of its
    folder.  `name` is good until `close`."""

    def __init__(self, path: str) -> None:
        """OSError when the folder is not there, or the name of the socket alone is too long."""
        self.name = path
        self._folder: int | None = None
        if len(os.fsencode(path)) > MOST_BYTES:
            self._folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            self.name = f'/proc/self/fd/{self._folder}/{os.path.basename(path)}'
            if len(os.fsencode(self.name)) > MOST_BYTES:
                self.close()
                raise OSError(f'{path}: the name of a socket has at most {MOST_BYTES - 30} bytes')

    def close(self) -> None:
        """Give the descriptor back."""
        if self._folder is not None:
            os.close(self._folder)
            self._folder = None

    def __enter__(self) -> UnixPath:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
