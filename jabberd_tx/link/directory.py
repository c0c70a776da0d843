"""Where the routers are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol


class Address(NamedTuple):
    """Host name or IP address, and TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f'[{self.host}]:{self.port}' if ':' in self.host else f'{self.host}:{self.port}'


def parse_address(text: str) -> Address:
    """'router1.example.net:5347', '192.0.2.1:5347' or '[2001:db8::1]:5347'; ValueError says what was expected."""
    host, colon, port = text.strip().rpartition(':')
    if host.startswith('[') and host.endswith(']'):
        host = host[1:-1]
    elif ':' in host:
        host = ''
    if not (colon and host and port.isascii() and port.isdigit() and 0 <= int(port) <= 65535):
        raise ValueError(f'expected host:port or [address]:port, not {text!r}')
    return Address(host, int(port))


class Directory(Protocol):
    """Names the routers: a list in the configuration, or registrations that come and go."""

    def start(self, changed: Callable[[frozenset[Address]], None]) -> None:
        """Call changed(all addresses) now, if they are known, and whenever they change."""

    def stop(self) -> None:
        """Call it no more."""


class StaticDirectory:
    """The addresses that the configuration names; `replace` them on a reload."""

    def __init__(self, addresses: Iterable[str]) -> None:
        """ValueError for what is no address."""
        self._addresses = frozenset(map(parse_address, addresses))
        self._changed: Callable[[frozenset[Address]], None] | None = None

    def start(self, changed: Callable[[frozenset[Address]], None]) -> None:
        """See Directory."""
        self._changed = changed
        changed(self._addresses)

    def stop(self) -> None:
        """See Directory."""
        self._changed = None

    def replace(self, addresses: Iterable[str]) -> None:
        """Other addresses from now on; ValueError, and no change, for what is no address."""
        self._addresses = frozenset(map(parse_address, addresses))
        if self._changed is not None:
            self._changed(self._addresses)
