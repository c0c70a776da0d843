"""Debian's ngircd, an IRC server, and Debian's biboumi, a gateway to IRC; and somebody who is on IRC."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from component_site import SECRET, ComponentSite
from processes import DOMAIN, wait_for

# biboumi wants IRC's own port: an address that nobody else has it on.
IRC_HOST, IRC_PORT = '127.0.0.77', 6667
NGIRCD = """
[Global]
Name = irc.example.net
Info = for tests
Listen = {host}
Ports = {port}
MotdPhrase = hello
[Options]
DNS = no
Ident = no
PAM = no
"""
BIBOUMI = """
hostname=irc.{domain}
password={secret}
xmpp_server_ip=127.0.0.1
port={port}
fixed_irc_server={host}
db_name={folder}/biboumi.sqlite
identd_port=0
log_level=2
"""


@contextmanager
def irc_server(folder: Path) -> Iterator[None]:
    """ngircd, listening."""
    config = folder / 'ngircd.conf'
    config.write_text(NGIRCD.format(host=IRC_HOST, port=IRC_PORT))
    program = shutil.which('ngircd') or '/usr/sbin/ngircd'
    popen = subprocess.Popen([program, '-n', '-f', str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    try:
        wait_for('ngircd listens', _listens)
        yield
    finally:
        popen.terminate()
        popen.wait(10)


def _listens() -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((IRC_HOST, IRC_PORT)) == 0


@contextmanager
def biboumi(site: ComponentSite) -> Iterator[None]:
    """It serves irc.localhost."""
    program, folder = shutil.which('biboumi'), site.folder
    assert program is not None, 'biboumi is missing: apt-get install biboumi'
    config = folder / 'biboumi.cfg'
    config.write_text(BIBOUMI.format(domain=DOMAIN, secret=SECRET, port=site.port, host=IRC_HOST, folder=folder))
    with (folder / 'biboumi.log').open('wb') as log:
        popen = subprocess.Popen([program, str(config)], stdout=log, stderr=subprocess.STDOUT)
    try:
        site.wait_connections(f'irc.{DOMAIN}', 1)
        yield
    finally:
        popen.terminate()
        popen.wait(10)


class IrcUser:
    """mercutio, who speaks plain IRC."""

    async def join(self, channel: str) -> IrcUser:
        self.reader, self.writer = await asyncio.open_connection(IRC_HOST, IRC_PORT)
        self.say('NICK mercutio', 'USER mercutio 0 * :Mercutio', f'JOIN {channel}')
        await self.until('366')
        return self

    def say(self, *lines: str) -> None:
        self.writer.write(''.join(f'{line}\r\n' for line in lines).encode())

    async def until(self, what: str) -> str:
        """The first line with that in it."""
        while True:
            line = (await asyncio.wait_for(self.reader.readline(), 20)).decode()
            assert line, f'closed; no {what}'
            if line.startswith('PING'):
                self.say(line.replace('PING', 'PONG', 1).strip())
            if what in line:
                return line
