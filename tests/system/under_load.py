"""A load of numbered messages while a process of a site ends, and the checker's word on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from load import Load
from processes import Site, wait_for

CLIENTS = 40
RATE = 2000
BEFORE_S, AFTER_S = 1.5, 3.0
SETTINGS = """plaintext_on_loopback = true
plain_without_tls = true
password_threads = 2
"""


def start(tmp_path: Path, shape: str) -> Site:
    """A site for the load: logins without TLS on loopback."""
    site = Site(tmp_path / 'site', shape)
    config = site.folder / 'jabberd.toml'
    config.write_text(config.read_text().replace('[c2s]\n', '[c2s]\n' + SETTINGS))
    site.run_all()
    site.add_users('user', CLIENTS)
    return site


async def under_load(
    site: Site,
    fault: Callable[[Load], Awaitable[None]],
    rate: int = RATE,
    after: float = AFTER_S,
    resumes: bool = False,
) -> Load:
    """The load before, during and after the fault; all streams online again, and quiet, at the end."""
    load = Load([f'user{n}' for n in range(CLIENTS)], 'secret', site.ports, resumes)
    try:
        await load.start()
        sending = asyncio.create_task(load.send(rate, BEFORE_S + after))
        await asyncio.sleep(BEFORE_S)
        await fault(load)
        await sending
        await load.all_online()
        await load.quiet()
        return load
    finally:
        await load.stop()


def check(load: Load, share: float = 0.5, rate: int = RATE, after: float = AFTER_S) -> None:
    """The checker's word; and that there was a load: that share of what was to be sent."""
    report = load.checker.report()
    print(report, f'longest pause {max(client.longest_gap for client in load.clients):.3f} s')
    assert report.ok, str(report)
    assert report.accepted >= share * rate * (BEFORE_S + after), f'{report}: too little load'
    assert not [client.name for client in load.clients if client.waiting], 'messages that were never counted'


async def ended(site: Site, name: str, number: int, again: bool) -> None:
    """End one process, off the loop; start it again if asked."""
    process = site.processes[name]
    await asyncio.to_thread(process.stop, number)
    if again:
        await asyncio.to_thread(process.start)
        await asyncio.to_thread(wait_for, f'{name} is ready', process.ready)
