"""A process that a supervisor keeps up ends with it.

Its standard input is a pipe that nothing is ever written to: when it ends, the supervisor has, however that came
about.  A thread waits for that, and not the reactor, which may be stuck.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable


def end_with_supervisor(stop_timeout: float, descriptor: int = 0, kill: Callable[[int, int], None] = os.kill) -> None:
    """When `descriptor` ends, this process gets SIGTERM, and is killed if that has not ended it in so many seconds."""
    try:
        # Ctrl-C at a terminal is for the supervisor, which ends the processes in their order.
        os.setsid()
    except PermissionError:
        pass

    def watch() -> None:
        try:
            while os.read(descriptor, 512):
                pass
        except OSError:
            pass
        # Nobody reads any more what is said here; to say it must not fail.
        null = os.open(os.devnull, os.O_WRONLY)
        for output in (sys.__stdout__, sys.__stderr__):
            if output is not None:
                os.dup2(null, output.fileno())
        kill(os.getpid(), signal.SIGTERM)
        time.sleep(stop_timeout)
        kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name='lifeline', daemon=True).start()
