"""`twistd jabberd` as the supervisor: what is killed, hangs, or is to be restarted comes back; nothing is left over."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import DOMAIN, Site, wait_for
from slixmpp_client import Client

from jabberd_tx.control.admin_client import AdminLink
from jabberd_tx.testing.ports import free_port

NAMES = ['c2s-1', 'c2s-2', 'component-1', 'sm-1', 'router-1', 'router-2']
LINKED = ['c2s-1', 'c2s-2', 'sm-1']
PAGE = (Path(__file__).parents[2] / 'docs' / 'operating.md').read_text()
LISTING = PAGE.partition('```toml')[2].partition('```')[0]
SETTINGS = """
[router]
listen = "127.0.0.1:{router}"

[processes]{listing}
heartbeat = 0.5
heartbeat_timeout = 3.0
restart_initial = 0.1
"""


def settings() -> str:
    """The processes of the page, with less patience."""
    return SETTINGS.format(router=free_port(), listing=LISTING.partition('[processes]')[2])


class Supervised(Site):
    """The supervisor is the only process that the test starts itself."""

    def run_all(self) -> None:
        """Start it, and wait until all that it starts are linked."""
        ports = [f'http.{kind}_port={free_port()}' for kind in ('router', 'c2s', 'sm', 'component')]
        ports.append(f'c2s.port={self.ports[0]}')
        self.supervisor = self.run('jabberd', 'jabberd', *[part for text in ports for part in ('--set', text)])
        wait_for('the supervisor is ready', self.supervisor.ready)
        wait_for('all run', lambda: all(one['state'] == 'running' for one in self.told().values()))
        wait_for('all are linked', self.all_linked)

    def told(self) -> dict[str, dict[str, Any]]:
        """What the supervisor says of each process."""
        with AdminLink(str(self.folder / 'data' / 'run' / 'supervisor-1.sock')) as link:
            return {process['name']: process for process in link.ask('status')['processes']}

    def all_linked(self) -> bool:
        """c2s and sm have links to both routers."""
        text = ''.join([self.log_of(name) for name in LINKED])
        return all(re.search(f'link of {name} to {router} is up', text) for name in LINKED for router in NAMES[4:])

    def log_of(self, name: str) -> str:
        """What a process has said."""
        file = self.folder / 'data' / 'log' / f'{name}.log'
        return file.read_text() if file.exists() else ''

    def comes_back(self, name: str, before: int) -> dict[str, Any]:
        """Wait until it runs as another process."""
        wait_for(f'{name} is back', lambda: (one := self.told()[name])['state'] == 'running' and one['pid'] != before)
        return self.told()[name]


@pytest.fixture(scope='module')
def supervised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    """A supervisor with six processes, and two accounts.  It has no secret in its configuration."""
    folder = tmp_path_factory.mktemp('supervised')
    site = Supervised(folder, 'one process', settings())
    file = folder / 'jabberd.toml'
    # The ports after each other are whoever's: the kernel hands out others for a while.
    file.write_text(re.sub(r'(?m)^(secret|routers = \[).*$', '', file.read_text()))
    with site:
        site.run_all()
        for name in ('juliet', 'romeo'):
            site.add_user(name, f'{name}-secret')
        yield site


async def _talk(site: Supervised, text: str) -> None:
    juliet, romeo = [await Client(site, name, site.ports[0]).login() for name in ('juliet', 'romeo')]
    juliet.send_message(romeo.boundjid.bare, text, mtype='chat')
    # A client that left without a last ack gets its last message again.
    while (await romeo.until('message'))['body'] != text:
        pass
    await asyncio.gather(juliet.leave(), romeo.leave())


def test_all_are_up_and_serve_clients(supervised: Supervised) -> None:
    """With logs and a secret that nobody else can read; the health page says so."""
    told = supervised.told()
    assert list(told) == NAMES and {one['restarts'] for one in told.values()} == {0}
    asyncio.run(_talk(supervised, 'by way of them all'))
    data = supervised.folder / 'data'
    files = [*(data / 'log').iterdir(), data / 'link.secret']
    assert len(files) == 7 and {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert supervised.supervisor.metric('jabberd_process_up') == 6


def test_what_is_killed_or_hangs_is_started_again(supervised: Supervised) -> None:
    """kill -9 of a router and a worker; SIGSTOP of the sm, which nobody but the heartbeat sees."""
    before = {name: one['pid'] for name, one in supervised.told().items()}
    os.kill(before['sm-1'], signal.SIGSTOP)
    os.kill(before['router-2'], signal.SIGKILL)
    os.kill(before['c2s-1'], signal.SIGKILL)
    killed = ('sm-1', 'router-2', 'c2s-1')
    for name in killed:
        one = supervised.comes_back(name, before[name])
        assert (one['restarts'], one['last_end']) == (1, 'signal SIGKILL')
    assert f'sm-1 (process {before["sm-1"]}) has not answered for 3 s' in supervised.supervisor.text()
    shown = supervised.ctl('status').stdout
    assert all(re.search(rf'(?m)^{name} +running, restarted once +\d+ ', shown) for name in killed), shown
    wait_for('clients can talk', supervised.all_linked)
    asyncio.run(_talk(supervised, 'after the storm'))


def test_processes_are_restarted_in_turn(supervised: Supervised) -> None:
    """As the page says: those named, and not before the last is ready."""
    before = {name: one['pid'] for name, one in supervised.told().items()}
    [line] = re.findall(r'(?m)^    jabberd-ctl (restart c2s.*?) *#', PAGE)
    done = supervised.ctl(*line.split())
    assert done.returncode == 0, done.stderr
    after = {name: one['pid'] for name, one in supervised.told().items()}
    assert done.stdout == ''.join(f'{name} runs again, process {after[name]}\n' for name in ('c2s-1', 'c2s-2'))
    assert {name for name in NAMES if before[name] != after[name]} == {'c2s-1', 'c2s-2'}
    unknown = supervised.ctl('restart', 'nobody')
    assert (unknown.returncode, unknown.stderr.startswith('Error: nobody: no such process; there are:')) == (1, True)


def test_sighup_is_passed_on(supervised: Supervised) -> None:
    """All of them read the configuration again."""
    file = supervised.folder / 'jabberd.toml'
    file.write_text(file.read_text().replace('[server]', "[server]\nlog_level = 'debug'"))
    supervised.supervisor.popen.send_signal(signal.SIGHUP)
    said = "applied server.log_level: 'info' -> 'debug'"
    for name in NAMES:
        wait_for(f'{name} has reloaded', lambda name=name: said in supervised.log_of(name))
    wait_for('the supervisor has as well', lambda: said in supervised.supervisor.text())


def test_a_second_supervisor_does_not_start(supervised: Supervised) -> None:
    """It finds the first one's socket."""
    second = supervised.run('second', 'jabberd', '--set', 'http.enabled=false')
    assert second.popen.wait(20) == 1
    assert 'supervisor-1 cannot start' in second.text()
    del supervised.processes['second']


def test_an_ordered_end_loses_nothing(supervised: Supervised) -> None:
    """Workers, then components, then the sm, then routers; what was just sent is delivered after the next start."""

    async def send() -> None:
        juliet = await Client(supervised, 'juliet', supervised.ports[0]).login()
        for number in range(20):
            juliet.send_message(f'romeo@{DOMAIN}', f'late {number}', mtype='chat')
        await juliet.plugin['xep_0199'].ping()
        await asyncio.to_thread(supervised.supervisor.stop)
        juliet.abort()

    async def receive() -> None:
        romeo = await Client(supervised, 'romeo', supervised.ports[0]).login()
        while (first := (await romeo.until('message'))['body']) != 'late 0':
            assert not first.startswith('late')
        assert [(await romeo.until('message'))['body'] for _ in range(19)] == [f'late {n}' for n in range(1, 20)]
        await romeo.leave()

    asyncio.run(send())
    ends = re.findall(r'(\S+) has ended \((.*)\)', supervised.supervisor.text())[-6:]
    order = [name for name, _ in ends]
    # twistd ends in good order, and then by the signal that it was sent.
    assert {how for _, how in ends} == {'signal SIGTERM'} and set(order[:2]) == {'c2s-1', 'c2s-2'}
    assert order[2:4] == ['component-1', 'sm-1'] and set(order[4:]) == {'router-1', 'router-2'}
    supervised.run_all()
    asyncio.run(receive())


def test_nothing_outlives_the_supervisor(supervised: Supervised) -> None:
    """kill -9 of the supervisor ends them all, in good order."""
    pids = [one['pid'] for one in supervised.told().values()]
    supervised.supervisor.stop(signal.SIGKILL)
    wait_for('all are gone', lambda: not any(Path(f'/proc/{pid}').exists() for pid in pids))
    assert not list((supervised.folder / 'data' / 'run').glob('[!s]*.sock'))


def test_names_before_lines_when_there_is_no_log_folder(tmp_path: Path) -> None:
    """All that they say goes to standard output; a configuration that they refuse is told there."""
    site = Supervised(tmp_path, 'one process', settings())
    (tmp_path / 'data' / 'key.pem').write_text('no key')
    few = ['processes.routers=1', 'processes.sm=0', 'processes.c2s=1', 'processes.components=0']
    changes = [*few, 'processes.log_folder=', 'http.enabled=false', 'c2s.port=0']
    arguments = [part for text in changes for part in ('--set', text)]
    with site:
        process = site.run('jabberd', 'jabberd', *arguments)
        wait_for('they speak', lambda: 'router-1: ' in process.text() and 'c2s-1 cannot start' in process.text())
        wait_for('it is tried again', lambda: re.search('c2s-1 .* is started again in', process.text()) is not None)
        assert process.stop() == -signal.SIGTERM
    assert not (tmp_path / 'data' / 'log').exists()
    assert str(tmp_path) not in subprocess.run(['ps', '-eo', 'args'], capture_output=True, text=True, check=True).stdout
