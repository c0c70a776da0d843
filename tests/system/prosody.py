"""Debian's Prosody with accounts, a chat room service, and names for external components.

    with prosody(folder, ('juliet',), {'shout.localhost': 'secret'}) as server:
        connect to 127.0.0.1, server.port; components to server.component_port
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from processes import DOMAIN, wait_for

from jabberd_tx.testing.ports import free_port

CONFIG = """
run_as_root = true
daemonize = false
pidfile = "{folder}/prosody.pid"
data_path = "{folder}/data"
interfaces = {{ "127.0.0.1" }}
component_interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {port} }}
component_ports = {{ {component_port} }}
modules_enabled = {{ "saslauth", "roster", "disco", "ping" }}
modules_disabled = {{ "s2s", "http" }}
c2s_require_encryption = false
authentication = "internal_plain"
log = {{ info = "{folder}/prosody.log" }}

VirtualHost "{domain}"

Component "rooms.{domain}" "muc"
    restrict_room_creation = false
    muc_room_locking = false
"""
COMPONENT = 'Component "{name}"\n    component_secret = "{secret}"\n'


class Prosody(NamedTuple):
    """Its ports for clients and for components."""

    port: int
    component_port: int


@contextmanager
def prosody(folder: Path, users: Sequence[str], components: Mapping[str, str]) -> Iterator[Prosody]:
    """Running; each user's password is `secret`, and rooms.localhost has chat rooms.  components: name to secret."""
    server = Prosody(free_port(), free_port())
    accounts = folder / 'data' / DOMAIN / 'accounts'
    accounts.mkdir(parents=True)
    for user in users:
        (accounts / f'{user}.dat').write_text('return { ["password"] = "secret"; };\n')
    text = CONFIG.format(folder=folder, domain=DOMAIN, **server._asdict())
    for name, secret in components.items():
        text += '\n' + COMPONENT.format(name=name, secret=secret)
    (folder / 'prosody.cfg.lua').write_text(text)
    with (folder / 'stdout.log').open('wb') as log:
        popen = subprocess.Popen(
            ['prosody', '--config', str(folder / 'prosody.cfg.lua'), '-F'], stdin=subprocess.DEVNULL, stdout=log,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        wait_for('Prosody listens', lambda: popen.poll() is not None or all(map(listens, server)))
        assert popen.poll() is None, (folder / 'stdout.log').read_text()
        yield server
    finally:
        popen.terminate()
        popen.wait(20)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(('127.0.0.1', port)) == 0
