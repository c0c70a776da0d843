"""docs/gateways.md, done as it says: four instances of a component behind two routers."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
from processes import CTL, DOMAIN, wait_for
from slixmpp import ComponentXMPP
from slixmpp_client import Client
from test_getting_started import Terminal

from jabberd_tx.base.certificates import self_signed
from jabberd_tx.testing.ports import free_port

PAGE = (Path(__file__).parents[2] / 'docs' / 'gateways.md').read_text()
PART = PAGE.partition('## Four instances behind two routers')[2].partition('\n## ')[0]
# What the page leaves at its defaults, and would be somebody else's here.
MORE = """
[[certificate]]
chain = "cert.pem"
key = "key.pem"

[c2s]
port = {port}
tls_port = 0
"""
NAME, WAIT_S, USERS = f'irc.{DOMAIN}', 20.0, 8


@pytest.fixture(scope='module')
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The processes of the page, on other ports and for another domain."""
    folder = tmp_path_factory.mktemp('page')
    toml = re.search(r'```toml\n(.*?)```', PART, re.S)
    lines = re.findall(r'^    (twistd .*)$', PART, re.M)
    assert toml is not None and len(lines) == 5
    ports = {number: str(free_port()) for number in sorted(set(re.findall(r'\b5\d\d\d\b', PART)))}

    def ours(text: str) -> str:
        return re.sub(r'\b5\d\d\d\b', lambda match: ports[match[0]], text).replace('example.net', DOMAIN)

    port = free_port()
    (folder / 'etc').mkdir()
    data = folder / 'etc' / 'var'
    data.mkdir(mode=0o700)
    file = folder / 'etc' / 'jabberd.toml'
    file.write_text(ours(toml[1]) + MORE.format(port=port))
    file.chmod(0o600)
    self_signed([DOMAIN], str(data / 'cert.pem'), str(data / 'key.pem'))
    listen = f' --set router.listen=127.0.0.1:{ports["5347"]}'
    with ExitStack() as stack:
        started, http = [], {}
        for line in lines:
            kind = line.split('jabberd-')[1].split()[0]
            http[kind] = free_port()
            line = ours(line) + f' --set http.{kind}_port={http[kind]}'
            line += listen if kind == 'router' and 'router.listen' not in line else ''
            terminal = Terminal(folder, line)
            stack.callback(terminal.stop)
            started.append(terminal)
        for terminal in started:
            wait_for(terminal.command, terminal.ready)
        running = SimpleNamespace(folder=folder, port=port, http=http, terminals=started)
        running.component_port = int(ports['5275'])
        rows = ''.join(f'user{n},{DOMAIN},secret\n' for n in range(USERS))
        (folder / 'users.csv').write_text(rows)
        ctl(running, 'user', 'import', 'users.csv')
        (folder / 'data').symlink_to(data)
        yield running


def ctl(site: SimpleNamespace, *arguments: str) -> str:
    done = subprocess.run(
        [*CTL, *arguments], cwd=site.folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def served(site: SimpleNamespace) -> list[str]:
    """The slots that somebody has, as `jabberd-ctl status` says."""
    told = [json.loads(line) for line in ctl(site, 'status', '--json').splitlines()]
    (gateway,) = [process['gateway'] for process in told if process['kind'] == 'component']
    return [slot for slot, seat in gateway['components'][NAME].items() if seat['peer'] is not None]


def metric(site: SimpleNamespace, kind: str, name: str) -> float:
    """Of the process of that kind."""
    with urllib.request.urlopen(f'http://127.0.0.1:{site.http[kind]}/metrics', timeout=10) as answer:
        match = re.search(rf'^{name}(?:\{{[^}}]*\}})? (\S+)$', answer.read().decode(), re.M)
    assert match is not None, name
    return float(match[1])


def connections(site: SimpleNamespace) -> float:
    return metric(site, 'component', 'jabberd_gateway_connections')


class Instance(ComponentXMPP):
    """Answers with its number, and what it was told."""

    def __init__(self, site: SimpleNamespace, number: int) -> None:
        super().__init__(NAME, 'what the component knows', '127.0.0.1', site.component_port)
        self.number = number
        self.online = asyncio.Event()
        self.add_event_handler('session_start', lambda event: self.online.set())
        self.add_event_handler('message', lambda message: message.reply(f'{self.number} {message["body"]}').send())

    async def start(self) -> Instance:
        self.connect()
        await asyncio.wait_for(self.online.wait(), WAIT_S)
        return self


async def answers(client: Client, count: int) -> list[list[str]]:
    """The next ones: number of the instance, and what it was told."""
    return [(await client.until('message'))['body'].split(' ', 1) for _ in range(count)]


async def start(site: SimpleNamespace) -> tuple[list[Client], list[Instance]]:
    """All users, and the four instances."""
    instances = [await Instance(site, n).start() for n in range(4)]
    clients = [Client(site, f'user{n}', site.port, password='secret') for n in range(USERS)]
    await asyncio.gather(*(client.login() for client in clients))
    return clients, instances


async def leave(clients: list[Client], instances: list[Instance]) -> None:
    for client in clients:
        client.plugin['xep_0198'].send_ack()
    await asyncio.gather(*(one.disconnect() for one in [*clients, *instances]))


def test_each_user_has_an_instance_and_keeps_it(site: SimpleNamespace) -> None:
    """While one is away its users' messages wait, and nobody else's; it comes back to its slot, and gets them."""

    async def talk() -> None:
        clients, instances = await start(site)
        for client in clients:
            for nick in ('a', 'b', 'c'):
                client.send_message(f'{nick}@{NAME}', 'who are you?', mtype='chat')
        owners = []
        for client in clients:
            found = {number for number, _ in await answers(client, 3)}
            assert len(found) == 1, 'all that a user sends goes to one instance'
            owners.append(int(found.pop()))
        assert len(set(owners)) > 1

        lost = owners[0]
        await instances[lost].disconnect()
        await asyncio.to_thread(wait_for, 'it is gone', lambda: connections(site) == 3)
        for client in clients:
            client.send_message(f'd@{NAME}', 'and now?', mtype='chat')
        for client, owner in zip(clients, owners, strict=True):
            if owner != lost:
                assert await answers(client, 1) == [[str(owner), 'and now?']]
        assert not [note for note in clients[0].notes if note[0] in ('message', 'message_error')]
        instances[lost] = await Instance(site, lost).start()
        for client, owner in zip(clients, owners, strict=True):
            if owner == lost:
                assert await answers(client, 1) == [[str(owner), 'and now?']]
        assert await asyncio.to_thread(served, site) == ['0', '1', '2', '3']
        await leave(clients, instances)

    asyncio.run(talk())


def test_a_router_is_killed_while_they_talk(site: SimpleNamespace) -> None:
    """Each message is answered once, in order, by the same instance."""

    async def talk() -> None:
        clients, instances = await start(site)
        router = site.terminals[0]
        for n in range(30):
            for client in clients:
                client.send_message(f'a@{NAME}', f'message {n}', mtype='chat')
            if n == 10:
                router.popen.send_signal(signal.SIGKILL)
            await asyncio.sleep(0.01)
        for client in clients:
            found = await answers(client, 30)
            assert [text for _, text in found] == [f'message {n}' for n in range(30)]
            assert len({number for number, _ in found}) == 1
        await asyncio.gather(*(client.plugin['xep_0199'].ping(DOMAIN) for client in clients))
        assert not [note for client in clients for note in client.notes if note[0] in ('message', 'message_error')]
        await leave(clients, instances)
        await asyncio.to_thread(router.popen.wait)
        router.start()
        await asyncio.to_thread(wait_for, 'the router is back', router.ready)

    asyncio.run(talk())


def test_the_gateway_itself_is_killed(site: SimpleNamespace) -> None:
    """What is sent while it is away waits, and is answered once, in order, when it and its components are back."""

    async def talk() -> None:
        clients, instances = await start(site)
        for client in clients:
            client.send_message(f'a@{NAME}', 'before', mtype='chat')
        owners = [(await answers(client, 1))[0][0] for client in clients]
        # What was passed on, but not yet confirmed, may come again.
        await asyncio.to_thread(wait_for, 'all is settled', lambda: not metric(site, 'c2s', 'jabberd_c2s_unconfirmed'))
        gateway = site.terminals[-1]
        gateway.popen.send_signal(signal.SIGKILL)
        await asyncio.to_thread(gateway.popen.wait)
        for n in range(3):
            for client in clients:
                client.send_message(f'a@{NAME}', f'waiting {n}', mtype='chat')
        for instance in instances:
            instance.abort()
        await asyncio.to_thread(gateway.start)
        await asyncio.to_thread(wait_for, 'the gateway is back', gateway.ready)
        instances = [await Instance(site, n).start() for n in range(4)]
        for client, owner in zip(clients, owners, strict=True):
            assert await answers(client, 3) == [[owner, f'waiting {n}'] for n in range(3)]
        await asyncio.gather(*(client.plugin['xep_0199'].ping(DOMAIN) for client in clients))
        assert not [note for client in clients for note in client.notes if note[0] in ('message', 'message_error')]
        await leave(clients, instances)

    asyncio.run(talk())
