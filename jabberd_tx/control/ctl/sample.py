"""What all running processes say of themselves at a moment, and what the kernel says of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from jabberd_tx.control.admin_client import find_running
from jabberd_tx.control.admin_wire import AdminError

# How long a process may take to answer.
PATIENCE = 3.0


class Sample(NamedTuple):
    """at: the clock's seconds; told: by node, its `status`; failed: by node, why there is none."""

    at: float
    told: dict[str, dict[str, Any]]
    failed: dict[str, str]


def sample(options: SimpleNamespace) -> Sample:
    """Ask everybody in the admin folder.  PermissionError: a process is there, and it is another user's."""
    told, failed = {}, {}
    running = find_running(options, PATIENCE)
    try:
        for link in running.links:
            try:
                told[link.node] = {**link.ask('status'), **of_process(link.peer.pid)}
            except AdminError as error:
                failed[link.node] = str(error)
    finally:
        running.close()
    return Sample(time.monotonic(), told, failed)


def of_process(pid: int) -> dict[str, Any]:
    """Seconds since its start and of CPU time, its memory in KiB, as the kernel says (proc(5)); {} if it is gone."""
    try:
        # The command's name, in brackets, may hold anything: fields are counted from behind it.
        fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
        pages = int(Path(f'/proc/{pid}/statm').read_text().split()[1])
    except OSError:
        return {}
    tick = os.sysconf('SC_CLK_TCK')
    uptime = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / tick
    return {
        'uptime_seconds': round(uptime, 1),
        'cpu_seconds': (int(fields[11]) + int(fields[12])) / tick,
        'memory_kib': pages * os.sysconf('SC_PAGE_SIZE') // 1024,
    }


def rates(before: Sample, now: Sample, node: str) -> dict[str, float]:
    """How much its counts, and its CPU time as 'cpu', have grown a second; {} for one that was not there before."""
    then, told = before.told.get(node), now.told[node]
    if then is None or then.get('pid') != told.get('pid') or now.at <= before.at:
        return {}
    return dict(_grown(then, told, now.at - before.at))


def _grown(then: dict[str, Any], told: dict[str, Any], seconds: float) -> Iterator[tuple[str, float]]:
    counted = then.get('counts', {})
    for words, number in told.get('counts', {}).items():
        if words in counted:
            yield words, (number - counted[words]) / seconds
    if 'cpu_seconds' in told and 'cpu_seconds' in then:
        yield 'cpu', (told['cpu_seconds'] - then['cpu_seconds']) / seconds
