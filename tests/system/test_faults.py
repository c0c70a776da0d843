"""2,000 messages a second over stream-managed streams while processes end: nothing lost, doubled or reordered."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from load import Load
from under_load import check, ended, start, under_load

pytestmark = pytest.mark.load


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
