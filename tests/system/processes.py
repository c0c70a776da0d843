"""A site of real processes for the system tests: all in one, or router x2, c2s x2 and sm apart.

    with Site.start(folder, 'apart') as site:
        site.add_user('romeo', 'secret')
        connect to 127.0.0.1, site.ports[0] or site.ports[1]
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from jabberd_tx.control.http import port_option
from jabberd_tx.testing.ports import free_port

SHAPES = ('one process', 'apart')
READY_S = 30.0
DOMAIN = 'localhost'
TWISTD = [sys.executable, '-c', 'from twisted.scripts.twistd import run; run()', '--nodaemon', '--pidfile=']
CTL = [sys.executable, '-c', 'from jabberd_tx.services.ctl import main; main()']

CONFIG = """
[server]
domains = ["{domain}"]
data = "data"

[[certificate]]
domains = ["{domain}"]
chain = "cert.pem"
key = "key.pem"

[c2s]
interface = "127.0.0.1"
tls_port = 0
idle_timeout = 0

[link]
secret = "{secret}"
routers = [{routers}]
"""


def wait_for(what: str, true: Callable[[], bool], seconds: float = READY_S) -> None:
    """Until it is true; AssertionError after so many seconds."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f'not within {seconds} s: {what}'
        time.sleep(0.02)


class Process:
    """One twistd process."""

    def __init__(self, site: Site, name: str, arguments: Sequence[str]) -> None:
        self.name, self.site, self.arguments = name, site, list(arguments)
        self.log = site.folder / f'{name}.log'
        self.http_port = free_port()
        self.start()

    def start(self) -> None:
        """Start (again)."""
        option = port_option(self.arguments[0].removeprefix('jabberd-'))
        with self.log.open('ab') as log:
            self.mark = log.tell()
            self.popen = subprocess.Popen(
                [*TWISTD, *self.arguments, '-c', 'jabberd.toml', '--set', f'http.{option}={self.http_port}'],
                cwd=self.site.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def ready(self) -> bool:
        """It has said so.  AssertionError with its log's end when it has ended instead."""
        text = self.text()
        assert self.popen.poll() is None, f'{self.name} ended with {self.popen.returncode}:\n{text[-3000:]}'
        return 'is ready' in text

    def linked(self) -> bool:
        """It has links to both routers."""
        return self.metric('jabberd_link_up') >= 2

    def text(self) -> str:
        """What it has logged since its last start."""
        with self.log.open('rb') as log:
            log.seek(self.mark)
            return log.read().decode(errors='replace')

    def scrape(self) -> str:
        """/metrics, as Prometheus gets it."""
        with urllib.request.urlopen(f'http://127.0.0.1:{self.http_port}/metrics', timeout=10) as answer:
            text: str = answer.read().decode()
        return text

    def metric(self, name: str) -> float:
        """The sum of a metric's samples, by the start of their lines."""
        return sum(float(line.rpartition(' ')[2]) for line in self.scrape().splitlines() if line.startswith(name))

    def stop(self, number: int = signal.SIGTERM, seconds: float = 20.0) -> int:
        """End it; its status."""
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f'{self.name} did not end:\n{self.text()[-3000:]}') from None


class Site:
    """See the module's text."""

    def __init__(self, folder: Path, shape: str, settings: str = '') -> None:
        self.folder, self.shape = folder, shape
        self.processes: dict[str, Process] = {}
        self.router_ports = [free_port(), free_port()]
        self.ports = [free_port()] if shape == 'one process' else [free_port(), free_port()]
        routers = ', '.join(f'"127.0.0.1:{port}"' for port in self.router_ports)
        config = CONFIG.format(domain=DOMAIN, secret=secrets.token_hex(16), routers=routers)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / 'jabberd.toml').write_text(config + settings)
        (folder / 'jabberd.toml').chmod(0o600)
        (folder / 'data').mkdir(mode=0o700)
        self.make_certificate()

    def make_certificate(self) -> None:
        """Self-signed, for the domain."""
        from jabberd_tx.base.certificates import self_signed

        self_signed([DOMAIN], str(self.folder / 'data' / 'cert.pem'), str(self.folder / 'data' / 'key.pem'))

    @classmethod
    def start(cls, folder: Path, shape: str, settings: str = '') -> Site:
        """All processes, ready."""
        site = cls(folder, shape, settings)
        site.run_all()
        return site

    def run_all(self) -> None:
        """Start what belongs to the shape, and wait until it is ready."""
        if self.shape == 'one process':
            self.run('jabberd', 'jabberd', '--node', 'a', '--set', f'c2s.port={self.ports[0]}')
        else:
            for name, port in zip('ab', self.router_ports, strict=True):
                listen = f'router.listen=127.0.0.1:{port}'
                self.run(f'router-{name}', 'jabberd-router', '--node', name, '--set', listen)
            self.run('sm-a', 'jabberd-sm', '--node', 'a')
            for name, port in zip('ab', self.ports, strict=True):
                self.run(f'c2s-{name}', 'jabberd-c2s', '--node', name, '--set', f'c2s.port={port}')
        self.wait_ready()

    def run(self, name: str, *arguments: str) -> Process:
        """One more process."""
        process = self.processes[name] = Process(self, name, arguments)
        return process

    def wait_ready(self) -> None:
        """All have said that they are, and all c2s and sm have links to both routers."""
        for process in self.processes.values():
            wait_for(f'{process.name} is ready', process.ready)
            if process.name.startswith(('sm', 'c2s')):
                wait_for(f'{process.name} has its links', process.linked)

    def ctl(self, *arguments: str, stdin: str = '') -> subprocess.CompletedProcess[str]:
        """jabberd-ctl, as an operator would."""
        return subprocess.run(
            [*CTL, '-c', 'jabberd.toml', *arguments],
            cwd=self.folder, input=stdin, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def add_user(self, name: str, password: str = 'secret') -> str:
        """An account; its bare JID."""
        done = self.ctl('user', 'add', f'{name}@{DOMAIN}', '--password-stdin', stdin=password + '\n')
        assert done.returncode == 0, done.stderr
        return f'{name}@{DOMAIN}'

    def add_users(self, pattern: str, count: int, password: str = 'secret') -> None:
        """Accounts pattern0 … by `jabberd-ctl user import`."""
        rows = ''.join(f'{pattern}{n},{DOMAIN},{password}\n' for n in range(count))
        (self.folder / 'users.csv').write_text(rows)
        done = self.ctl('user', 'import', 'users.csv')
        assert done.returncode == 0, done.stderr

    def stop(self) -> None:
        """End what was started, clients' side first."""
        for name in sorted(self.processes, key=lambda name: ('c2s' not in name, 'sm' not in name)):
            self.processes[name].stop()

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self.stop()
        finally:
            for process in self.processes.values():
                if process.popen.poll() is None:
                    os.kill(process.popen.pid, signal.SIGKILL)
                    process.popen.wait()
