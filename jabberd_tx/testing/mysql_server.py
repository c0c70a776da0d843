"""A real MariaDB server for tests: in a folder of its own, on a port of its own, ended with the tests."""

from __future__ import annotations

import getpass
import shutil
import subprocess
import time
from pathlib import Path

import pymysql

from jabberd_tx.testing.ports import free_port

# What makes a test server quick: nothing of it outlives the test.
_QUICK = (
    '--innodb-flush-log-at-trx-commit=0', '--innodb-buffer-pool-size=32M', '--innodb-log-file-size=16M',
    '--performance-schema=OFF', '--skip-log-bin', '--max-connections=200',
)  # fmt: skip


class MysqlServer:
    """mariadbd, as it comes from the distribution.  `more`: its own options, such as '--server-id=2'."""

    user, password = 'jabberd', 'opensesame'

    def __init__(self, folder: Path, *more: str) -> None:
        self.folder, self._more = folder, more
        self.port = free_port()
        # A Unix socket's path may not be long.
        self.socket = str(folder / 's')
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns when it answers; TimeoutError after 30 s."""
        data = self.folder / 'data'
        me = getpass.getuser()
        if not data.exists():
            data.mkdir(parents=True)
            subprocess.run(
                [
                    _program('mariadb-install-db'), '--no-defaults', f'--datadir={data}', f'--user={me}',
                    '--auth-root-authentication-method=normal', '--skip-test-db', '--innodb-log-file-size=16M',
                ],
                check=True, capture_output=True, timeout=120,
            )  # fmt: skip
        with (self.folder / 'log').open('ab') as log:
            self._process = subprocess.Popen(
                [
                    _program('mariadbd'), '--no-defaults', f'--datadir={data}', f'--user={me}',
                    f'--socket={self.socket}', '--bind-address=127.0.0.1', f'--port={self.port}', *_QUICK, *self._more,
                ],
                stdout=log, stderr=log,
            )  # fmt: skip
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + 30
        while True:
            try:
                self.sql(f"CREATE USER IF NOT EXISTS {self.user}@'%' IDENTIFIED BY '{self.password}'")
                break
            except pymysql.Error:
                if time.monotonic() > end:
                    raise TimeoutError((self.folder / 'log').read_text()[-2000:]) from None
                time.sleep(0.02)
        self.sql(f"GRANT ALL ON *.* TO {self.user}@'%'")

    def sql(self, *statements: str, database: str | None = None) -> list[tuple[object, ...]]:
        """Run statements as root; the rows of the last."""
        connection = pymysql.connect(unix_socket=self.socket, user='root', database=database, autocommit=True)
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def new_database(self, name: str) -> None:
        """An empty one; what had that name is gone."""
        self.sql(f'DROP DATABASE IF EXISTS {name}', f'CREATE DATABASE {name} CHARACTER SET utf8mb4')

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _program(name: str) -> str:
    found = shutil.which(name, path='/usr/sbin:/usr/bin:/usr/local/bin')
    assert found, f'{name} is not installed'
    return found
