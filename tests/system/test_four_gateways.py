"""Four instances of a component behind two routers, under load, ended and started again in turn: all is accounted for.

Three names with four instances each, and 200 users who send to all three of them: of one the slots wait, of one they
bounce, and one has no slots.  Every other instance closes its stream: nothing may be lost.  The others are killed, and
XEP-0114 has no acks: what was on its way into such a one's socket is lost with it (docs/gateways.md), and nothing else.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import signal
import time
from collections import defaultdict
from pathlib import Path

import pytest
from component_site import SECRET, ComponentSite
from load import BODY, Load, LoadClient
from processes import DOMAIN

from jabberd_tx.testing.checker import Checker
from jabberd_tx.testing.ports import free_port

pytestmark = pytest.mark.load

USERS, RATE, INSTANCES = 200, 600, 4
AWAY_S, BACK_S, CALM_S = 0.8, 0.8, 0.4
DYING_S = 2.0  # from a user to a component's socket
WAIT, BOUNCE, PLAIN = (f'{name}.{DOMAIN}' for name in ('wait', 'bounce', 'plain'))
NAMES = (WAIT, BOUNCE, PLAIN)
C2S = """plaintext_on_loopback = true
plain_without_tls = true
password_threads = 2
"""
NAME = """
[[external_component]]
name = "{name}"
secret = "{secret}"
connections = {count}
"""
ROUTE = """
[[route]]
name = "{name}"
slots = {count}
absent = "{absent}"
"""
FROM = re.compile(r'from=["\']([^"\'/]+)')


class Instance:
    """A component as small as it can be: it takes messages, and tells the checker."""

    def __init__(self, site: ComponentSite, name: str, slot: int, load: GatewayLoad) -> None:
        self.name, self.slot, self._site, self._load = name, slot, site, load
        self.users: set[str] = set()  # who has sent something here since it was last emptied
        self.everybody = load.everybody[name, slot]  # who ever has, to this one or those before it
        load.connections += 1
        self.stream = (name, slot, load.connections)
        self._reading: asyncio.Task[None]

    async def start(self) -> Instance:
        """Connect, and prove the name."""
        reader, self._writer = await asyncio.open_connection('127.0.0.1', self._site.port, limit=1 << 22)
        self._writer.write(
            f"<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' "
            f"to='{self.name}'>".encode()
        )
        header = (await asyncio.wait_for(reader.readuntil(b' id='), 10)) + await reader.readuntil(b'>')
        stream = re.search(rb' id=["\']([^"\']+)', header)
        assert stream is not None, header
        proof = hashlib.sha1(stream[1] + SECRET.encode()).hexdigest()
        self._writer.write(f'<handshake>{proof}</handshake>'.encode())
        await asyncio.wait_for(reader.readuntil(b'<handshake/>'), 10)
        self._reading = asyncio.create_task(self._read(reader))
        return self

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                element = (await reader.readuntil(b'</message>')).decode()
            except asyncio.IncompleteReadError:
                return
            body, sender = BODY.search(element.encode()), FROM.search(element)
            assert body is not None and sender is not None, element
            stream, _, number = body[1].decode().partition('#')
            self.users.add(sender[1])
            self.everybody.add(sender[1])
            self._load.arrived(self, stream, int(number))

    async def end(self) -> None:
        """Close the stream, and read it to its end."""
        self._writer.write(b'</stream:stream>')
        await asyncio.wait_for(self._reading, 10)
        self._writer.close()

    async def kill(self) -> None:
        """It is gone without a word, whatever its socket holds."""
        self._load.killed.append((self.name, self.everybody, time.monotonic()))
        self._reading.cancel()
        self._writer.transport.abort()


class User(LoadClient):
    """Sends to the three names in turn."""

    refused: dict[str, int]
    sent: dict[tuple[str, int], tuple[str, str, float]]

    def send(self) -> bool:
        name = NAMES[(self._number + int(self.name.removeprefix('user'))) % len(NAMES)]
        self.peer = f'friend-of-{self.name}@{name}'
        sent = super().send()
        if sent:
            self.sent[self.stream, self._number] = name, f'{self.name}@{DOMAIN}', time.monotonic()
        return sent

    def _message(self, xml: bytes) -> None:
        before = self.errors
        super()._message(xml)
        if self.errors > before:
            sender = FROM.search(xml.decode())
            assert sender is not None and b'recipient-unavailable' in xml, xml
            self.refused[sender[1].partition('@')[2]] += 1


class GatewayLoad(Load):
    def __init__(self, site: ComponentSite) -> None:
        super().__init__([], 'secret', site.ports)
        self.checker, self.slots_order = Checker(), Checker()
        self.connections = self.repeated = 0
        self.refused: dict[str, int] = defaultdict(int)
        self.sent_at: dict[tuple[str, int], tuple[str, str, float]] = {}
        self.killed: list[tuple[str, set[str], float]] = []
        self.everybody: dict[tuple[str, int], set[str]] = defaultdict(set)
        self._seen: set[tuple[str, int, str, int]] = set()
        for n in range(USERS):
            user = User(f'user{n}', 'secret', site.ports[:1], self.checker)
            user.refused, user.sent = self.refused, self.sent_at
            self.clients.append(user)

    def arrived(self, instance: Instance, stream: str, number: int) -> None:
        """For the order whoever has a slot is the same recipient, and takes nothing twice."""
        self.checker.received(instance.stream, stream, number)
        once = (instance.name, instance.slot, stream, number)
        if once in self._seen:
            self.repeated += 1
            return
        self._seen.add(once)
        self.slots_order.received(once[:2], stream, number)

    def died_with(self, stream: str, number: int) -> bool:
        """Whether it was on its way into the socket of one that was killed."""
        name, user, sent = self.sent_at[stream, number]
        return any(name == one and user in users and abs(sent - at) < DYING_S for one, users, at in self.killed)


class FourSite(ComponentSite):
    """Two routers, an sm, a c2s and a gateway, all started at once."""

    def run_all(self) -> None:
        """Started, ready, and linked."""
        for name, port in zip('ab', self.router_ports, strict=True):
            self.run(f'router-{name}', 'jabberd-router', '--node', name, '--set', f'router.listen=127.0.0.1:{port}')
        self.run('sm-a', 'jabberd-sm', '--node', 'a')
        self.run('c2s-a', 'jabberd-c2s', '--node', 'a', '--set', f'c2s.port={self.ports[0]}')
        self.gateway = self.run('component-a', 'jabberd-component', '--node', 'a')
        self.wait_ready()

    def stop(self) -> None:
        """How they end is shown elsewhere."""
        for process in self.processes.values():
            process.stop(signal.SIGKILL)


def start(folder: Path) -> FourSite:
    """All processes, ready, and the users."""
    settings = f'[gateway]\nport = {free_port()}\n'
    for name in NAMES:
        settings += NAME.format(name=name, secret=SECRET, count=INSTANCES)
    for name, absent in ((WAIT, 'wait'), (BOUNCE, 'bounce')):
        settings += ROUTE.format(name=name, count=INSTANCES, absent=absent)
    site = FourSite(folder, 'apart', '\n' + settings)
    site.port = int(re.search(r'port = (\d+)', settings)[1])  # type: ignore[index]
    config = site.folder / 'jabberd.toml'
    config.write_text(config.read_text().replace('[c2s]\n', '[c2s]\n' + C2S))
    site.run_all()
    site.add_users('user', USERS)
    return site


def note_anew(instances: dict[str, list[Instance]]) -> None:
    """Who sends to whom, from now on."""
    for some in instances.values():
        for instance in some:
            instance.users = set()


async def taking(instance: Instance) -> None:
    """Until something has come to it."""
    deadline = time.monotonic() + 10
    while not instance.users:
        assert time.monotonic() < deadline, f'nothing comes to {instance.stream}'
        await asyncio.sleep(0.02)


async def in_turn(site: ComponentSite, load: GatewayLoad) -> None:
    """Each slot's instances, of all three names at once."""
    instances = {name: [await Instance(site, name, slot, load).start() for slot in range(INSTANCES)] for name in NAMES}
    await load.start()
    sending = asyncio.create_task(load.send(RATE, 60))
    for instance in instances[PLAIN]:
        await taking(instance)
    note_anew(instances)
    for slot in range(INSTANCES):
        await asyncio.sleep(BACK_S)
        before = {instance.slot: instance.users for instance in instances[PLAIN]}
        assert not any(before[one] & before[other] for one in before for other in before if one < other)
        gone = [instances[name][slot] for name in NAMES]
        await asyncio.gather(*(instance.kill() if slot % 2 else instance.end() for instance in gone))
        await asyncio.to_thread(site.wait_connections, PLAIN, INSTANCES - 1)
        note_anew(instances)
        await asyncio.sleep(AWAY_S)
        after = {instance.slot: instance.users for instance in instances[PLAIN]}
        known = set().union(*before.values()) & set().union(*after.values())
        moved = {user for one, users in after.items() for user in users & known if user not in before[one]}
        share = f'{len(moved)} of {len(known)} users, {100 * len(moved) / len(known):.1f} %'
        print(f'slot {slot} died: {share}, moved; it had {len(before[slot])} of {USERS}')
        assert moved == before[slot] & known, 'its own users, and nobody else'
        assert 0 < len(moved) < 0.5 * len(known)
        assert [len(instances[name][slot].users) for name in NAMES] == [0, 0, 0]
        for name in NAMES:
            instances[name][slot] = await Instance(site, name, slot, load).start()
        await taking(instances[PLAIN][slot])
        await asyncio.sleep(CALM_S)
        note_anew(instances)
    sending.cancel()
    await load.quiet()
    for name in NAMES:
        for instance in instances[name]:
            await instance.end()


def test_each_of_four_instances_is_ended_and_started_again_under_load(tmp_path: Path) -> None:
    with start(tmp_path / 'site') as site:
        load = GatewayLoad(site)

        async def run() -> None:
            try:
                await in_turn(site, load)
            finally:
                await load.stop()

        asyncio.run(run())
        report = load.checker.report()
        lost = [one for one in report.lost if not load.died_with(*one)]
        print(report, dict(load.refused), f'{load.repeated} repeated to a successor')
        assert not lost and not report.doubled and not report.reordered, f'{lost} {report}'
        assert len(report.lost) + load.repeated <= 0.01 * report.accepted, report
        order = load.slots_order.report()
        assert not order.reordered, str(order)
        assert report.accepted >= 0.7 * RATE * INSTANCES * (AWAY_S + BACK_S), f'{report}: too little load'
        assert not [client.name for client in load.clients if client.waiting], 'messages that were never counted'
        assert set(load.refused) == {BOUNCE}, 'what waits is refused to nobody, nor what others can do'
        assert load.refused[BOUNCE] <= 0.5 * report.accepted / len(NAMES)
