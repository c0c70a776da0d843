"""A real Redis server or Sentinel for a test: on a port of its own, in a folder of its own, ended with the test."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from jabberd_tx.storage.redis.connection import encode
from jabberd_tx.testing.ports import free_port


class RedisServer:
    """redis-server, as it comes from the distribution.

    more      its own options, such as ('--replicaof', '127.0.0.1 6380')
    sentinel  the lines of a Sentinel's configuration: then it is one
    """

    def __init__(self, folder: Path, *more: str, sentinel: Sequence[str] = ()) -> None:
        self.folder, self._more, self._sentinel = folder, more, sentinel
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """As [redis] has it."""
        return f'tcp:127.0.0.1:{self.port}'

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns when it answers; TimeoutError after 10 s."""
        program = shutil.which('redis-server')
        assert program, 'redis-server is not installed'
        common = ['--port', str(self.port), '--bind', '127.0.0.1', '--dir', str(self.folder)]
        if self._sentinel:
            config = self.folder / 'sentinel.conf'
            config.write_text(''.join(f'{line}\n' for line in self._sentinel))
            command = [program, str(config), '--sentinel', *common]
        else:
            command = [program, *common, '--save', '', '--appendonly', 'no', *self._more]
        with (self.folder / 'redis.log').open('ab') as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                if self.command('PING') == b'+PONG\r\n':
                    return
            except OSError:
                time.sleep(0.01)
        raise TimeoutError('redis-server does not answer')

    def command(self, *words: str) -> bytes:
        """A command beside those of the connections under test; the reply's first bytes, as they come."""
        with socket.create_connection(('127.0.0.1', self.port), 2) as connection:
            connection.sendall(encode(tuple(word.encode() for word in words)))
            return connection.recv(65536)

    def kill(self) -> None:
        """kill -9: what it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
