"""What the system allows: file descriptors, and the sysctls that many connections need."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from jabberd_tx.control.check.finding import FAIL, OK, WARN, Finding

# What a process needs besides its clients: links, databases, logs, the reactor.
OTHERS = 100
FEW, ENOUGH = 1024, 10_000


class Sysctl(NamedTuple):
    """A setting of the kernel (sysctl(8)): its least value that serves, and what happens below it."""

    name: str
    least: int
    otherwise: str


def check_descriptors(limits: dict[str, int]) -> Iterator[Finding]:
    """`limits`: the soft limit of each process, by its name."""
    for name, limit in limits.items():
        clients = max(0, limit - OTHERS)
        text = f'{limit}: for {clients} connections'
        if limit >= ENOUGH:
            yield Finding(OK, f'file descriptors of {name}', text)
            continue
        level = FAIL if limit < FEW else WARN
        yield Finding(level, f'file descriptors of {name}', text, 'LimitNOFILE= of the service, or ulimit -n')


def descriptor_limit(pid: int) -> int:
    """The soft limit of a process; of this one where it can't be told (OSError is not raised)."""
    try:
        for line in Path(f'/proc/{pid}/limits').read_text().splitlines():
            if line.startswith('Max open files'):
                soft = line.split()[3]
                return 1 << 30 if soft == 'unlimited' else int(soft)
    except OSError:
        pass
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def needed(backlog: int) -> list[Sysctl]:
    """`backlog`: of the port for clients."""
    lost = f'of {backlog} connections that come at once (c2s.backlog), those beyond are dropped'
    return [
        Sysctl('net.core.somaxconn', backlog, lost),
        Sysctl('net.ipv4.tcp_max_syn_backlog', min(backlog, 1024), lost),
        Sysctl('fs.file-max', 100_000, 'all processes together run out of file descriptors'),
    ]


def check_sysctls(backlog: int, read: Callable[[str], str] | None = None) -> Iterator[Finding]:
    """`read`: the text of a setting by its name; OSError where there is none, as in some containers."""
    read = read or _read
    for name, least, otherwise in needed(backlog):
        try:
            value = int(read(name))
        except (OSError, ValueError):
            yield Finding(WARN, name, 'cannot be read here', f'see that it is {least} or more')
            continue
        if value >= least:
            yield Finding(OK, name, str(value))
        else:
            yield Finding(WARN, name, f'{value}: {otherwise}', f'sysctl -w {name}={least}')
    yield _local_ports(read)


def _local_ports(read: Callable[[str], str]) -> Finding:
    name = 'net.ipv4.ip_local_port_range'
    try:
        low, high = (int(part) for part in read(name).split())
    except (OSError, ValueError):
        return Finding(WARN, name, 'cannot be read here', 'see that it spans 20,000 ports or more')
    text = f'{low}-{high}: {high - low + 1} outgoing connections to one address'
    if high - low + 1 >= 20_000:
        return Finding(OK, name, text)
    return Finding(WARN, name, text, f"sysctl -w {name}='32768 60999'")


def _read(name: str) -> str:
    return Path('/proc/sys', *name.split('.')).read_text()
