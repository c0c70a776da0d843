"""docs/getting-started.md, done as it says: its configuration and its commands, on other ports."""

from __future__ import annotations

import asyncio
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from processes import CTL, DOMAIN, TWISTD, wait_for
from slixmpp_client import Client

from jabberd_tx.base.certificates import self_signed
from jabberd_tx.testing.ports import free_port

PAGE = (Path(__file__).parents[2] / 'docs' / 'getting-started.md').read_text()
APART = PAGE.partition('## Processes apart')[2].partition('\n## ')[0]
CONFIG = """
[server]
domains = ["localhost"]
data = "../data"

[[certificate]]
chain = "cert.pem"
key = "key.pem"

[c2s]
port = {port}
tls_port = 0

"""


class Terminal:
    """A command of the page, running in the foreground."""

    def __init__(self, folder: Path, command: str) -> None:
        self.folder, self.command = folder, command
        self.log = folder / (re.sub(r'\W+', '-', command)[-60:] + '.log')
        self.start()

    def start(self) -> None:
        words = shlex.split(self.command)
        assert words[0] == 'twistd'
        with self.log.open('wb') as log:
            arguments = [*TWISTD[:-2], *words[1:]]
            self.popen = subprocess.Popen(
                arguments, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def ready(self) -> bool:
        assert self.popen.poll() is None, self.log.read_text()
        return 'is ready' in self.log.read_text()

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        try:
            self.popen.wait(20)
        finally:
            self.popen.kill()


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[SimpleNamespace]:
    """The processes of 'Processes apart'."""
    toml = re.search(r'```toml\n(.*?)```', APART, re.S)
    lines = re.findall(r'^    (twistd .*)$', APART, re.M)
    assert toml is not None and len(lines) == 5
    ports = {number: str(free_port()) for number in sorted(set(re.findall(r'\b5\d\d\d\b', APART)))}

    def other_ports(text: str) -> str:
        return re.sub(r'\b5\d\d\d\b', lambda match: ports[match[0]], text)

    port = free_port()
    (tmp_path / 'etc').mkdir()
    (tmp_path / 'data').mkdir(mode=0o700)
    (tmp_path / 'etc' / 'jabberd.toml').write_text(CONFIG.format(port=port) + other_ports(toml[1]))
    (tmp_path / 'etc' / 'jabberd.toml').chmod(0o600)
    self_signed([DOMAIN], str(tmp_path / 'data' / 'cert.pem'), str(tmp_path / 'data' / 'key.pem'))
    with ExitStack() as stack:
        started = []
        for line in lines:
            terminal = Terminal(tmp_path, other_ports(line))
            stack.callback(terminal.stop)
            started.append(terminal)
        for terminal in started:
            wait_for(terminal.command, terminal.ready)
        yield SimpleNamespace(folder=tmp_path, port=port, terminals=started)


def ctl(site: SimpleNamespace, *arguments: str, stdin: str = '') -> str:
    """jabberd-ctl, which finds its configuration where the processes do."""
    done = subprocess.run(
        [*CTL, *arguments], cwd=site.folder, input=stdin, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def login(site: Any, name: str) -> Client:
    """A user, on the port that the workers share."""
    return await Client(site, name, site.port, password='secret').login()


async def chat(site: SimpleNamespace) -> None:
    """juliet and romeo, both ways."""
    juliet, romeo = await asyncio.gather(login(site, 'juliet'), login(site, 'romeo'))
    juliet.send_message(f'romeo@{DOMAIN}', 'wherefore?', mtype='chat')
    message = await romeo.until('message')
    assert message['body'] == 'wherefore?'
    romeo.send_message(message['from'], 'therefore', mtype='chat')
    assert (await juliet.until('message'))['body'] == 'therefore'
    for client in (juliet, romeo):
        client.plugin['xep_0198'].send_ack()
        await client.leave()


def test_processes_apart_as_the_page_starts_them(apart: SimpleNamespace) -> None:
    """They find each other; a router and a c2s are ended and started again, as the page says they may be."""
    for name in ('juliet', 'romeo'):
        ctl(apart, 'user', 'add', f'{name}@{DOMAIN}', '--password-stdin', stdin='secret\n')
    assert ctl(apart, 'user', 'list').split() == [f'juliet@{DOMAIN}', f'romeo@{DOMAIN}']
    for node in ('router-a', 'router-b', 'sm-a', 'c2s-a', 'c2s-b'):
        assert node in ctl(apart, 'status')
    asyncio.run(chat(apart))
    for index in (0, 4):
        terminal = apart.terminals[index]
        terminal.stop()
        asyncio.run(chat(apart))
        terminal.start()
        wait_for(terminal.command, terminal.ready)
        asyncio.run(chat(apart))
