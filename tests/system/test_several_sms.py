"""Two session managers over one Redis: conversations, and messages while one of them, or Redis, goes away."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import Site, wait_for
from under_load import CLIENTS, SETTINGS, check, ended, under_load

from jabberd_tx.testing.redis_server import RedisServer

pytestmark = pytest.mark.load

RATE = 500
LASTS_S, ANNOUNCING_S = 14.0, 1.0

REDIS = """
[redis]
masters = ["{address}"]
announcing = {announcing}
"""

@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis server."""
    server = RedisServer(tmp_path / 'redis')
    server.start()
    yield server
    server.kill()


@pytest.fixture
def site(redis: RedisServer, tmp_path: Path) -> Iterator[Site]:
    """Two routers, two session managers, two c2s."""
    site = Site(tmp_path / 'site', 'apart', REDIS.format(address=redis.address, announcing=ANNOUNCING_S))
    config = site.folder / 'jabberd.toml'
    config.write_text(config.read_text().replace('[c2s]\n', '[c2s]\n' + SETTINGS))
    site.run_all()
    site.run('sm-b', 'jabberd-sm', '--node', 'b')
    site.wait_ready()
    with site:
        site.add_users('user', CLIENTS)
        yield site


async def all_faults(site: Site, redis: RedisServer) -> None:
    """One after another; each has healed before the next."""
    await ended(site, 'sm-a', signal.SIGKILL, True)
    await asyncio.to_thread(wait_for, 'sm-a has its links', site.processes['sm-a'].linked)
    await ended(site, 'sm-b', signal.SIGTERM, True)
    await asyncio.to_thread(wait_for, 'sm-b has its links', site.processes['sm-b'].linked)
    await ended(site, 'sm-a', signal.SIGKILL, True)
    redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await asyncio.sleep(0.5)
    redis.command('FLUSHALL')
    await asyncio.sleep(ANNOUNCING_S + 0.5)
    redis.kill()
    await asyncio.sleep(0.5)
    await asyncio.to_thread(redis.start)


def test_nothing_is_lost_doubled_or_reordered(site: Site, redis: RedisServer) -> None:
    """kill -9 and SIGTERM of session managers in turn; the word of changes cut off; Redis emptied; Redis killed."""
    load = asyncio.run(under_load(site, lambda load: all_faults(site, redis), RATE, after=LASTS_S))
    check(load, rate=RATE, after=LASTS_S)
    for name in ('sm-a', 'sm-b'):
        assert site.processes[name].metric('jabberd_turn_cpu_longest_seconds') <= 0.1, name
