"""A process that stood still for so long that others have taken it for gone begins anew (docs/delivery.md).

It may have been stopped (SIGSTOP), or the machine paused, or without a moment for it.  Others have what it had accepted
by then; whatever it still said would come too late.  So it says nothing more, but starts again in its own place: the
same program, arguments and process id, another incarnation.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from twisted.logger import Logger

log = Logger()


def begin_anew(
    seconds: float,
    command: Sequence[str] = tuple(sys.orig_argv),
    execute: Callable[[str, list[str]], object] = os.execv,
) -> None:
    """Does not return.  `command`: how this process was started by twistd."""
    log.critical('stood still for {seconds:.1f} s, and begins anew', seconds=seconds)
    # twistd would find itself running.
    pid_file = pid_file_of(command)
    if pid_file is not None and pid_file.is_file() and pid_file.read_text().strip() == str(os.getpid()):
        pid_file.unlink()
    execute(sys.executable, list(command))


def pid_file_of(command: Sequence[str]) -> Path | None:
    """Where twistd writes its process id."""
    for at, argument in enumerate(command):
        if argument.startswith('--pidfile='):
            name = argument.partition('=')[2]
            return Path(name) if name else None
        if argument == '--pidfile' and at + 1 < len(command):
            return Path(command[at + 1]) if command[at + 1] else None
    return Path('twistd.pid')
