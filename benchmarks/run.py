#!/usr/bin/env python3
"""Measures jabberd-tx, in one process and apart, beside Debian's servers, and prints one table (`make bench`).

    python benchmarks/run.py --quick                 does it work?  one short round, coarse figures
    python benchmarks/run.py --json var/bench.json   three rounds, all peers

What is passed on to yardstick/compare.py: --quick, --rounds, --scenarios, --peers, --json.  Run as root, since each
peer runs as its package's own user; Debian's packages: see yardstick/README.md.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONFIG = HERE.parent / 'etc' / 'bench.toml'
ACCOUNTS = 1100  # as in yardstick/compare.py

SERVERS = """
[[server]]
name = "one process"
start = "exec twistd --nodaemon --pidfile= jabberd -c {config} --node bench"
port = 15222
domain = "bench.test"
starttls = true
muc = ""

[[server]]
name = "router, sm, c2s"
start = "exec {here}/apart.sh {config}"
port = 15222
domain = "bench.test"
starttls = true
muc = ""
"""


def prepare(work: Path, environment: dict[str, str]) -> Path:
    """Certificate, accounts and the list of servers to measure; the list's path."""
    subprocess.run([HERE / 'yardstick/peers/certificate.sh'], env=environment, check=True)
    table = work / 'accounts.csv'
    table.write_text(''.join(f'user{n},bench.test,secret\n' for n in range(ACCOUNTS)))
    subprocess.run(['jabberd-ctl', '-c', str(CONFIG), 'user', 'import', str(table)], env=environment, check=True)
    servers = work / 'servers.toml'
    servers.write_text(SERVERS.format(here=HERE, config=CONFIG))
    return servers


def work_folder() -> Path:
    """Where the peers' own users may enter."""
    work = Path(os.environ.get('BENCH_WORK') or Path(tempfile.gettempdir()) / 'jabberd-tx-bench')
    work.mkdir(mode=0o755, parents=True, exist_ok=True)
    return work


def environment() -> dict[str, str]:
    """Of all commands: this checkout's twistd and jabberd-ctl are found first."""
    path = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
    return {**os.environ, 'BENCH_WORK': str(work_folder()), 'PATH': path}


def main() -> int:
    """Exit status 1 when a run failed."""
    servers = prepare(work_folder(), environment())
    command = [sys.executable, str(HERE / 'yardstick/compare.py'), '--servers', str(servers), *sys.argv[1:]]
    return subprocess.run(command, env=environment(), check=False).returncode


if __name__ == '__main__':
    sys.exit(main())
