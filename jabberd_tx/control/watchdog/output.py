"""Where goes what a process says on its standard output and standard error."""

from __future__ import annotations

import os
from typing import Any, Protocol

from twisted.logger import Logger
from twisted.python.logfile import LogFile

# A line that is longer is written in pieces.
MOST_LINE = 65536


class Output(Protocol):
    """One process's."""

    def write(self, data: bytes) -> None:
        """Some more of it.  Never raises."""

    def reopen(self) -> None:
        """Somebody may have moved files away."""

    def close(self) -> None:
        """No more comes."""


class FileOutput:
    """A file of its own, which is rotated."""

    log = Logger()

    def __init__(self, folder: str, name: str, most_bytes: int, most_files: int) -> None:
        """`folder` is made, for its owner alone, if it is not there.  OSError."""
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self.path = os.path.join(folder, f'{name}.log')
        self._failed = False
        # Twisted opens it with what the umask leaves and changes that later; here it has the right mode from the start.
        os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._file = LogFile(f'{name}.log', folder, most_bytes, 0o600, most_files)

    def write(self, data: bytes) -> None:
        """See Output.  What can't be written is lost, which is logged once."""
        try:
            self._file.write(data)
            self._file.flush()
            self._failed = False
        except (OSError, ValueError) as error:
            if not self._failed:
                self._failed = True
                self.log.error('{path}: {error}', path=self.path, error=str(error))

    def reopen(self) -> None:
        """See Output."""
        try:
            self._file.reopen()
        except OSError as error:
            self.log.error('{path}: {error}', path=self.path, error=str(error))

    def close(self) -> None:
        """See Output."""
        self._file.close()


class PrefixedOutput:
    """One stream for all, with the process's name before each line."""

    def __init__(self, name: str, stream: Any) -> None:
        """`stream`: a binary file."""
        self._prefix, self._stream, self._rest = f'{name}: '.encode(), stream, b''

    def write(self, data: bytes) -> None:
        """See Output."""
        *lines, self._rest = (self._rest + data).split(b'\n')
        if len(self._rest) > MOST_LINE:
            lines.append(self._rest)
            self._rest = b''
        self._write(lines)

    def _write(self, lines: list[bytes]) -> None:
        if lines:
            try:
                self._stream.write(b''.join([self._prefix + line + b'\n' for line in lines]))
                self._stream.flush()
            except (OSError, ValueError):
                # Nobody reads: there is nowhere left to say so.
                pass

    def reopen(self) -> None:
        """See Output."""

    def close(self) -> None:
        """See Output."""
        self._write([self._rest] if self._rest else [])
        self._rest = b''
