"""TCP ports: free, or taken by a process of this server."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Collection, Iterator
from typing import NamedTuple

from jabberd_tx.control.check.finding import FAIL, OK, Finding

_LISTENING = '0A'


class Port(NamedTuple):
    """What is to be listened on; `option` is where the configuration says so, `interface` '' for all."""

    option: str
    interface: str
    number: int


class Listener(NamedTuple):
    """A socket that listens: its address ('' for any) and inode."""

    address: str
    inode: str


def check_port(port: Port, ours: Collection[int]) -> Finding:
    """`ours`: the process ids of this server."""
    subject = f'port {port.number} ({port.option})'
    taken = [one for one in _listeners(port.number) if _overlaps(one.address, port.interface)]
    if taken:
        inodes = {one.inode for one in taken}
        for pid in ours:
            if inodes & _sockets_of(pid):
                return Finding(OK, subject, f'taken by this server (process {pid})')
        return Finding(FAIL, subject, f'taken by {_holder(inodes)}', f'stop that, or set {port.option}')
    try:
        _try(port)
    except PermissionError:
        return Finding(FAIL, subject, 'this user may not listen there', 'CAP_NET_BIND_SERVICE, or a port above 1023')
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            return Finding(FAIL, subject, f'{port.interface} is no address of this machine', 'see its interface option')
        return Finding(FAIL, subject, f'cannot be listened on: {error.strerror}')
    return Finding(OK, subject, 'free')


def _try(port: Port) -> None:
    """Bind and let go; OSError as the system says."""
    family = socket.AF_INET6 if ':' in port.interface else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((port.interface, port.number))


def _listeners(number: int) -> Iterator[Listener]:
    """From /proc/net/tcp and tcp6 (proc(5)): addresses in hexadecimal, each 32 bits in the machine's order."""
    for name, family in (('tcp', socket.AF_INET), ('tcp6', socket.AF_INET6)):
        try:
            with open(f'/proc/net/{name}') as file:
                rows = file.read().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            columns = row.split()
            address, _, port = columns[1].partition(':')
            if columns[3] == _LISTENING and int(port, 16) == number:
                words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
                text = socket.inet_ntop(family, b''.join(words))
                yield Listener('' if text in ('0.0.0.0', '::') else text.removeprefix('::ffff:'), columns[9])


def _overlaps(one: str, other: str) -> bool:
    any_ = ('', '0.0.0.0', '::')
    return one in any_ or other in any_ or one == other


def _sockets_of(pid: int) -> set[str]:
    """Inodes of the sockets that a process has open; none if that is not for us to know."""
    found = set()
    try:
        for name in os.listdir(f'/proc/{pid}/fd'):
            try:
                target = os.readlink(f'/proc/{pid}/fd/{name}')
            except FileNotFoundError:
                continue
            if target.startswith('socket:['):
                found.add(target[8:-1])
    except OSError:
        pass
    return found


def _holder(inodes: set[str]) -> str:
    """The process that has one of the sockets, in words."""
    for name in os.listdir('/proc'):
        if name.isdigit() and inodes & _sockets_of(int(name)):
            with open(f'/proc/{name}/comm') as file:
                return f'process {name} ({file.read().strip()})'
    return "another user's process"
