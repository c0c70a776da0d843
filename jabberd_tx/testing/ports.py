"""TCP ports for tests that start processes, which must be told one before they listen."""

from __future__ import annotations

import os
import socket
from random import randrange

# Below the ports that Linux gives to connections, so that none of them takes a port that a process is about to listen
# at; test runs side by side (pytest-xdist) have ranges of their own.
FIRST, RANGE, RANGES = 10_000, 5_000, 4

# Those that this process has given out: whoever got one may not listen at it yet.
_given: set[int] = set()


def free_port() -> int:
    """A port on loopback that nobody has at the moment.  OSError when there is none."""
    worker = int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0').removeprefix('gw')) % RANGES
    for _ in range(RANGE):
        port = FIRST + worker * RANGE + randrange(RANGE)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(('127.0.0.1', port))
            except OSError:
                continue
            _given.add(port)
            return port
    raise OSError('no port is free')
