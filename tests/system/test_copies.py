"""Workers for clients that are killed or stand still, over one Redis: their clients resume their streams."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator

import pytest
from load import Load
from processes import Site, wait_for
from under_load import CLIENTS, SETTINGS, check, ended, under_load

from jabberd_tx.testing.redis_server import RedisServer

pytestmark = pytest.mark.load

RATE, LASTS_S = 400, 6.0
# How long no client may have been without a message because of the kill of its worker.
PAUSE_S = 2.0
# How long others wait for a sign of life, and how long a process stands still.
HEARTBEAT_S, STOPPED_S = 1.5, 2.5

REDIS = """
[redis]
masters = ["{address}"]
lease = 0.5
"""
LINK = f"""[link]
heartbeat = 0.5
heartbeat_timeout = {HEARTBEAT_S}
"""


@pytest.fixture(scope='module')
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis server."""
    server = RedisServer(tmp_path_factory.mktemp('redis'))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope='module')
def site(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two routers, two session managers, two c2s."""
    site = Site(tmp_path_factory.mktemp('site'), 'apart', REDIS.format(address=redis.address))
    config = site.folder / 'jabberd.toml'
    text = config.read_text().replace('[c2s]\n', '[c2s]\n' + SETTINGS).replace('[link]\n', LINK)
    config.write_text(text)
    site.run_all()
    site.run('sm-b', 'jabberd-sm', '--node', 'b')
    site.wait_ready()
    with site:
        site.add_users('user', CLIENTS)
        yield site


def sessions(redis: RedisServer) -> int:
    """Users who are online, as the session store has it."""
    answer = redis.command('EVAL', "return #redis.call('KEYS', 'jabberd:u:*')", '0')
    return int(answer[1:])


async def is_linked(site: Site, name: str) -> None:
    """It has said that it is ready, and has links to both routers."""
    process = site.processes[name]
    await asyncio.to_thread(wait_for, f'{name} is ready', process.ready)
    await asyncio.to_thread(wait_for, f'{name} has its links', process.linked)


async def stand_still(site: Site, name: str) -> None:
    """Stop a process for long enough that others take it for gone, and let it go on."""
    process = site.processes[name]
    process.popen.send_signal(signal.SIGSTOP)
    await asyncio.sleep(STOPPED_S)
    with process.log.open('rb') as log:
        process.mark = log.seek(0, 2)
    process.popen.send_signal(signal.SIGCONT)
    await is_linked(site, name)


def all_resumed(load: Load) -> None:
    """No client had to begin anew."""
    assert [client.streams for client in load.clients] == [1] * CLIENTS


def test_a_process_that_stood_still_comes_back_as_another_one(site: Site, redis: RedisServer) -> None:
    """A session manager and a worker, under load: nothing is lost, doubled or reordered, all streams are resumed."""

    async def fault(load: Load) -> None:
        await stand_still(site, 'sm-a')
        await stand_still(site, 'c2s-a')
        await load.all_online()

    load = asyncio.run(under_load(site, fault, RATE, LASTS_S, resumes=True))
    check(load, share=0.3, rate=RATE, after=LASTS_S)
    all_resumed(load)
    wait_for('stale presence is gone', lambda: not sessions(redis), 10)


def test_workers_are_killed_in_turn(site: Site, redis: RedisServer) -> None:
    """All their streams are resumed at the other worker; when all clients have left nobody is seen any more."""
    online = []

    async def fault(load: Load) -> None:
        await ended(site, 'c2s-a', signal.SIGKILL, True)
        await is_linked(site, 'c2s-a')
        await ended(site, 'c2s-b', signal.SIGKILL, False)
        await load.all_online()
        online.append(sessions(redis))

    load = asyncio.run(under_load(site, fault, RATE, LASTS_S, resumes=True))
    check(load, rate=RATE, after=LASTS_S)
    all_resumed(load)
    assert online == [CLIENTS]
    assert sum([client.resumptions for client in load.clients]) >= CLIENTS
    assert max(client.longest_gap for client in load.clients) <= PAUSE_S
    wait_for('stale presence is gone', lambda: not sessions(redis), 10)
