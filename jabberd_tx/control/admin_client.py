"""jabberd-ctl's end of the admin link: asks and waits."""

from __future__ import annotations

import glob
import os
import socket
from collections.abc import Sequence
from types import SimpleNamespace, TracebackType
from typing import Any

from jabberd_tx.control.admin_wire import LENGTH, MOST_BYTES, AdminError, Peer, peer_of, read_reply, request
from jabberd_tx.control.unix_path import UnixPath

# Longer than an operation may take by default (control/options.py), so that the server's own word comes first.
TIMEOUT = 75.0


class AdminLink:
    """A connection to one process."""

    def __init__(self, path: str, timeout: float = TIMEOUT) -> None:
        """OSError when nobody listens there, or it is not for this user."""
        self.path = path
        self.node = os.path.basename(path).removesuffix('.sock')
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.settimeout(timeout)
            with UnixPath(path) as short:
                self._socket.connect(short.name)
        except OSError:
            self._socket.close()
            raise
        self.peer: Peer = peer_of(self._socket)

    def ask(self, operation: str, **arguments: Any) -> Any:
        """What the operation gives; AdminError: its condition and text, or 'gone' when the process went away."""
        try:
            self._socket.sendall(request(operation, arguments))
            (length,) = LENGTH.unpack(self._read(LENGTH.size))
            if length > MOST_BYTES:
                raise AdminError('bad-reply', f'{self.node}: a reply of {length} bytes')
            return read_reply(self._read(length))
        except OSError as error:
            raise AdminError('gone', f'{self.node}: {error or "no reply"}') from error

    def _read(self, size: int) -> bytes:
        data = b''
        while len(data) < size:
            more = self._socket.recv(size - len(data))
            if not more:
                raise ConnectionResetError('the connection was closed')
            data += more
        return data

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def __enter__(self) -> AdminLink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Running:
    """The processes of this machine that can be asked, by name."""

    def __init__(self, links: Sequence[AdminLink]) -> None:
        self.links = list(links)
        self._operations: dict[AdminLink, frozenset[str]] = {}

    def able(self, operation: str) -> list[AdminLink]:
        """Those that have the operation."""
        return [link for link in self.links if operation in self._names(link)]

    def _names(self, link: AdminLink) -> frozenset[str]:
        if link not in self._operations:
            self._operations[link] = frozenset(link.ask('operations'))
        return self._operations[link]

    def close(self) -> None:
        """Hang up on all."""
        for link in self.links:
            link.close()


def find_running(options: SimpleNamespace, timeout: float = TIMEOUT) -> Running:
    """All that answer in the admin folder; sockets that killed processes left are passed over.  timeout: of each
    request, in seconds.

    PermissionError: a process is there, and it is another user's.
    """
    links = []
    for path in sorted(glob.glob(os.path.join(glob.escape(options.folder), '*.sock'))):
        try:
            links.append(AdminLink(path, timeout))
        except (ConnectionRefusedError, FileNotFoundError):
            continue
    return Running(links)
