"""The examples as they stand, in real processes: a server inside a web application, and a bot of its own."""

from __future__ import annotations

import asyncio
import itertools
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from processes import DOMAIN, Site, wait_for
from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET
from slixmpp_client import Client

from jabberd_tx.testing.ports import free_port

EXAMPLES = Path(__file__).parents[2] / 'examples'
BOT = f'echo.{DOMAIN}'


class Example:
    """One of examples/*.py at work, in a folder of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.log = folder / 'example.log'
        with self.log.open('ab') as log:
            self.mark = log.tell()
            self.popen = subprocess.Popen(
                [sys.executable, *arguments], cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def text(self) -> str:
        """What it has said."""
        return self.log.read_bytes()[self.mark :].decode(errors='replace')

    def until(self, words: str) -> None:
        """It has said that."""

        def said() -> bool:
            assert self.popen.poll() is None, self.text()
            return words in self.text()

        wait_for(f'{words!r} in the log', said)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; its status."""
        self.popen.send_signal(number)
        try:
            return self.popen.wait(20)
        finally:
            self.popen.kill()


@pytest.fixture(scope='module')
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """examples/embedded.py with its own configuration, but for ports and the folder of its data."""
    folder = tmp_path_factory.mktemp('embedded')
    port, web = free_port(), free_port()
    (folder / 'embedded.toml').write_text((EXAMPLES / 'embedded.toml').read_text())
    example = Example(
        folder, str(EXAMPLES / 'embedded.py'), 'embedded.toml', str(web), 'server.data=data', f'c2s.port={port}',
        'c2s.tls_port=0', 'modules.count.first=100',
    )  # fmt: skip
    try:
        example.until('all is ready')
        yield SimpleNamespace(folder=folder, ports=[port], web=web, example=example)
        assert example.stop() == 0, example.text()
        assert 'Traceback' not in example.text()
    finally:
        example.popen.kill()


def login(site: Any, name: str) -> Client:
    return Client(site, name, site.ports[0], password='secret')


async def leave(client: Client) -> None:
    """Close the stream, and say first what has come: what is not acked waits for the next login."""
    client.plugin['xep_0198'].send_ack()
    await client.leave()


async def count_of(client: Client) -> int:
    """What the module answers."""
    iq = client.make_iq_get(ito=DOMAIN)
    iq.append(ET.Element('{urn:example:count}count'))
    answer = await iq.send(timeout=10)
    return int(answer.xml.find('{urn:example:count}count').text)


def test_the_bot_and_the_module_of_the_embedded_server_answer(application: SimpleNamespace) -> None:
    """Echoes come in order, to bare name and address at it; the module counts, is advertised, has its option."""

    async def talk() -> None:
        juliet = await login(application, 'juliet').login()
        assert 'urn:example:count' in (await juliet.plugin['xep_0030'].get_info(DOMAIN))['disco_info']['features']
        before = await count_of(juliet)
        assert before >= 100
        for n in range(30):
            juliet.send_message(f'bot@{BOT}' if n % 2 else BOT, f'«{n}» <&>', mtype='chat')
        for address in (BOT, f'bot@{BOT}'):
            for n in range(address != BOT, 30, 2):
                echo = await juliet.until('message', lambda m, a=address: m['from'].full == a)
                assert (echo['body'], echo['type']) == (f'«{n}» <&>', 'chat')
        assert await count_of(juliet) == before + 30
        with urllib.request.urlopen(f'http://127.0.0.1:{application.web}/', timeout=10) as page:
            assert page.read() == f'{before + 30} messages, 30 echoed\n'.encode()
        await leave(juliet)

    asyncio.run(talk())


def test_users_of_the_embedded_server_chat(application: SimpleNamespace) -> None:
    """It is a whole server: two users, and messages that wait."""

    async def talk() -> None:
        juliet = await login(application, 'juliet').login()
        juliet.send_message(f'romeo@{DOMAIN}', 'are you there?', mtype='chat')
        await juliet.plugin['xep_0199'].ping(DOMAIN)
        romeo = await login(application, 'romeo').login()
        assert (await romeo.until('message'))['body'] == 'are you there?'
        romeo.send_message(juliet.boundjid.full, 'here', mtype='chat')
        assert (await juliet.until('message'))['body'] == 'here'
        await asyncio.gather(leave(juliet), leave(romeo))

    asyncio.run(talk())


def test_what_a_component_does_not_do_is_refused(application: SimpleNamespace) -> None:
    """An IQ to the bot gets service-unavailable; a name that nobody serves, remote-server-not-found."""

    async def talk() -> None:
        juliet = await login(application, 'juliet').login()
        for address, condition in ((BOT, 'service-unavailable'), ('nobody.localhost', 'remote-server-not-found')):
            with pytest.raises(IqError) as refused:
                await juliet.plugin['xep_0199'].ping(address, timeout=10)
            assert refused.value.condition == condition
        await leave(juliet)

    asyncio.run(talk())


KNOCKS = itertools.count()


async def knock(client: Client, kind: str) -> Any:
    """Messages to the bot until one is answered by that type of message; the answer."""
    for _ in range(200):
        text = f'knock {next(KNOCKS)}'
        client.send_message(BOT, text, mtype='chat')
        # An error holds what it answers, so that slixmpp tells of it as of a message.  One that was killed may have
        # left others unconfirmed that it had answered.
        answer = await client.until('message', lambda message, text=text: message['body'] == text)
        if answer['type'] == kind:
            return answer
        await asyncio.sleep(0.05)
    raise AssertionError(f'no {kind}')


def test_the_bot_in_a_process_of_its_own_comes_and_goes(tmp_path: Path) -> None:
    """Linked to both routers it echoes; while it is gone messages come back with an error; a new one is found."""
    with Site.start(tmp_path / 'site', 'apart') as site:
        site.add_user('juliet', 'secret')
        command = (str(EXAMPLES / 'echo.py'), 'jabberd.toml', 'server.node=a', 'http.enabled=false')

        async def talk(juliet: Client, bot: Example, ending: int) -> None:
            await knock(juliet, 'chat')
            for n in range(10):
                juliet.send_message(BOT, str(n), mtype='chat')
            for n in range(10):
                assert (await juliet.until('message', lambda message: message['type'] == 'chat'))['body'] == str(n)
            await asyncio.to_thread(bot.stop, ending)
            refused = await knock(juliet, 'error')
            assert refused['error']['condition'] == 'remote-server-not-found'

        async def run() -> None:
            juliet = await login(site, 'juliet').login()
            for ending in (signal.SIGKILL, signal.SIGTERM):
                bot = Example(site.folder, *command)
                try:
                    await talk(juliet, bot, ending)
                finally:
                    bot.popen.kill()
            await leave(juliet)

        asyncio.run(run())
