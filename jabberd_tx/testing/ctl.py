"""jabberd-ctl in this process, for tests: a site in a folder of its own, and what the command says and leaves."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

from click.testing import CliRunner

from jabberd_tx.base import site, tls
from jabberd_tx.base.options import Config, load
from jabberd_tx.components.c2s import options as c2s
from jabberd_tx.components.gateway import options as gateway
from jabberd_tx.control import http
from jabberd_tx.control import options as admin
from jabberd_tx.control.ctl.main import command
from jabberd_tx.control.watchdog import options as watchdog
from jabberd_tx.link import options as link
from jabberd_tx.routing import options as routing
from jabberd_tx.storage.sql import mysql, sqlite

SECTIONS = [
    site.OPTIONS,
    tls.OPTIONS,
    c2s.OPTIONS,
    gateway.OPTIONS,
    gateway.EXTERNAL,
    sqlite.OPTIONS,
    mysql.OPTIONS,
    routing.OPTIONS,
    link.OPTIONS,
    http.OPTIONS,
    admin.OPTIONS,
    watchdog.OPTIONS,
]

# Serves two domains; the ports are of the system's choosing, and so are not looked at by `check`.
PLAIN = """
[server]
domains = ['example.net', 'example.org']
data = 'data'
[c2s]
port = 0
tls_port = 0
[router]
listen = '127.0.0.1:0'
[http]
enabled = false
"""


class Said(NamedTuple):
    """status: 0, 1, or 2 for a wrong command line; out, err: what was printed."""

    status: int
    out: str
    err: str


class CtlSite:
    """A configuration file in a folder, and jabberd-ctl run with it."""

    def __init__(self, folder: str | os.PathLike[str], text: str = PLAIN) -> None:
        """`folder`: made if it is not there; `text`: the TOML."""
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file = self.folder / 'jabberd.toml'
        self.file.write_text(text)
        self.data = self.folder / 'data'

    @property
    def config(self) -> Config:
        """As the file is now."""
        return load(self.file, SECTIONS)

    @property
    def admin(self) -> SimpleNamespace:
        """The values of [admin]."""
        options: SimpleNamespace = self.config.section(admin.OPTIONS)
        return options

    @property
    def database(self) -> str:
        """The path of the database file."""
        path: str = self.config.section(sqlite.OPTIONS).path
        return path

    def run(self, *arguments: str, stdin: str | bytes = '') -> Said:
        """`jabberd-ctl -c FILE arguments…`; an exception that the command did not expect is raised here."""
        made = command(lambda: SECTIONS, lambda: None)
        done = CliRunner().invoke(made, ['-c', str(self.file), *arguments], input=stdin)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Said(done.exit_code, done.stdout, done.stderr)
