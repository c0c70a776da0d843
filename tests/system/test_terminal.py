"""A terminal client from Debian's packages, profanity, in tmux: as somebody at a keyboard would use it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import DOMAIN, Site
from slixmpp_client import Client

WAIT_S = 20.0


class Terminal:
    """profanity in a tmux session of its own server."""

    def __init__(self, folder: Path) -> None:
        for program in ('tmux', 'profanity'):
            assert shutil.which(program), f'{program} is missing: apt-get install {program}'
        self.socket = str(folder / 'tmux')
        (folder / 'config').mkdir()
        (folder / 'data').mkdir()
        environment = {
            **os.environ, 'XDG_CONFIG_HOME': str(folder / 'config'), 'XDG_DATA_HOME': str(folder / 'data'),
            'HOME': str(folder), 'TERM': 'screen-256color', 'LC_ALL': 'C.UTF-8',
        }  # fmt: skip
        self._tmux('-f', '/dev/null', 'new-session', '-d', '-x', '160', '-y', '50', 'profanity', env=environment)

    def _tmux(self, *arguments: str, env: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            ['tmux', '-S', self.socket, *arguments], env=env, capture_output=True, text=True, timeout=20, check=True
        )
        return done.stdout

    def type(self, line: str) -> None:
        """One line, and Enter."""
        self._tmux('send-keys', '-l', line)
        self._tmux('send-keys', 'Enter')

    def screen(self) -> str:
        """What is to be seen."""
        return self._tmux('capture-pane', '-p')

    def until(self, text: str) -> None:
        """It is to be seen; AssertionError with the screen."""
        deadline = time.monotonic() + WAIT_S
        while text not in self.screen():
            assert time.monotonic() < deadline, f'no {text!r} on the screen:\n{self.screen()}'
            time.sleep(0.1)

    def close(self) -> None:
        """End it and its tmux server."""
        subprocess.run(['tmux', '-S', self.socket, 'kill-server'], capture_output=True, check=False)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A fresh profanity."""
    opened = Terminal(tmp_path)
    try:
        opened.until('Profanity')
        yield opened
    finally:
        opened.close()


def login(terminal: Terminal, site: Site, name: str, password: str) -> None:
    """/connect, and the password when it asks."""
    terminal.type(f'/connect {name}@{DOMAIN} server 127.0.0.1 port {site.ports[0]} tls trust')
    terminal.until('Enter password')
    terminal.type(password)


def test_chat_roster_and_presence(site: Site, terminal: Terminal) -> None:
    """Log in with STARTTLS, chat with slixmpp both ways, subscribe, see the contact come and go."""
    login(terminal, site, 'juliet', 'juliet-secret')
    terminal.until(f'juliet@{DOMAIN}/')

    async def talk() -> None:
        romeo = await Client(site, 'romeo', site.ports[-1]).login()
        terminal.type(f'/msg romeo@{DOMAIN} wherefore art thou?')
        message = await romeo.until('message', lambda m: m['body'])
        assert message['body'] == 'wherefore art thou?'
        romeo.send_message(message['from'], 'by a name I know not how to tell thee', mtype='chat')
        await asyncio.to_thread(terminal.until, 'by a name I know not how to tell thee')
        terminal.type(f'/sub request romeo@{DOMAIN}')
        await romeo.until('presence', lambda p: p['type'] == 'subscribed' or p['from'].bare == f'juliet@{DOMAIN}')
        terminal.type('/roster')
        await asyncio.to_thread(terminal.until, f'romeo@{DOMAIN}')
        terminal.type(f'/roster remove romeo@{DOMAIN}')
        await romeo.del_roster_item(f'juliet@{DOMAIN}')
        await romeo.leave()

    asyncio.run(talk())
    terminal.type('/disconnect')
    terminal.until('logged out successfully')


def test_offline_message_is_there_at_login(site: Site, terminal: Terminal) -> None:
    """What was sent while nobody was there is shown after the login."""

    async def send() -> None:
        romeo = await Client(site, 'romeo', site.ports[-1]).login()
        romeo.send_message(f'nurse@{DOMAIN}', 'three words, dear nurse', mtype='chat')
        await romeo['xep_0199'].ping(DOMAIN)
        await romeo.leave()

    asyncio.run(send())
    login(terminal, site, 'nurse', 'nurse-secret')
    terminal.until(f'nurse@{DOMAIN}/')
    terminal.type(f'/msg romeo@{DOMAIN}')
    terminal.until('three words, dear nurse')


def test_wrong_password(site: Site, terminal: Terminal) -> None:
    """It is told that the login failed."""
    login(terminal, site, 'juliet', 'not hers')
    terminal.until('Login failed')
