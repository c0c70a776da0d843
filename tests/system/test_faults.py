"""2,000 messages a second over stream-managed streams while processes end: nothing lost, doubled or reordered."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
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


async def under_load(site: Site, fault: Callable[[Load], Awaitable[None]]) -> Load:
    """The load before, during and after the fault; all streams online again, and quiet, at the end."""
    load = Load([f'user{n}' for n in range(CLIENTS)], 'secret', site.ports)
    try:
        await load.start()
        sending = asyncio.create_task(load.send(RATE, BEFORE_S + AFTER_S))
        await asyncio.sleep(BEFORE_S)
        await fault(load)
        await sending
        await load.all_online()
        await load.quiet()
        return load
    finally:
        await load.stop()


def check(load: Load, share: float = 0.5) -> None:
    """The checker's word; and that there was a load: that share of what was to be sent."""
    report = load.checker.report()
    print(report, f'longest pause {max(client.longest_gap for client in load.clients):.3f} s')
    assert report.ok, str(report)
    assert report.accepted >= share * RATE * (BEFORE_S + AFTER_S), f'{report}: too little load'
    assert not [client.name for client in load.clients if client.waiting], 'messages that were never counted'


async def ended(site: Site, name: str, number: int, again: bool) -> None:
    """End one process, off the loop; start it again if asked."""
    process = site.processes[name]
    await asyncio.to_thread(process.stop, number)
    if again:
        await asyncio.to_thread(process.start)
        await asyncio.to_thread(wait_for, f'{name} is ready', process.ready)


@pytest.mark.parametrize(
    ('name', 'number', 'again'),
    [
        ('router-a', signal.SIGKILL, True),
        ('router-b', signal.SIGTERM, True),
        ('c2s-b', signal.SIGTERM, True),
        ('sm-a', signal.SIGTERM, True),
    ],
    ids=['kill -9 of a router', 'SIGTERM of a router', 'SIGTERM of a c2s', 'SIGTERM of the sm'],
)
def test_a_process_of_a_site_apart_ends(tmp_path: Path, name: str, number: int, again: bool) -> None:
    """Nothing accepted is lost, nothing doubled, and the order of each pair is kept."""
    with start(tmp_path, 'apart') as site:
        check(asyncio.run(under_load(site, lambda load: ended(site, name, number, again))))
        for process in site.processes.values():
            assert process.metric('jabberd_turn_cpu_longest_seconds') <= 0.1, process.name


def test_the_one_process_ends(tmp_path: Path) -> None:
    """SIGTERM, and a new start: what was accepted and not delivered comes from the offline store."""
    with start(tmp_path, 'one process') as site:
        # While it is away nothing is sent.
        check(asyncio.run(under_load(site, lambda load: ended(site, 'jabberd', signal.SIGTERM, True))), share=0.2)
        assert site.processes['jabberd'].metric('jabberd_turn_cpu_longest_seconds') <= 0.1


def test_a_site_apart_ends_all_at_once(tmp_path: Path) -> None:
    """SIGTERM to every process in the same moment, and a new start: each waits for those that it serves."""
    with start(tmp_path, 'apart') as site:

        async def all_at_once(load: Load) -> None:
            await asyncio.gather(*(ended(site, name, signal.SIGTERM, True) for name in site.processes))

        check(asyncio.run(under_load(site, all_at_once)), share=0.2)
        for process in site.processes.values():
            assert 'not ended' not in process.log.read_text(), process.name
