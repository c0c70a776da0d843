#!/usr/bin/env python3
"""What a router costs beside a bare relay of the same frames, and how long it stands still when its instances change.

    python benchmarks/router.py                      both tables, half a minute
    python benchmarks/router.py --rounds 40 --only frames

Frames: a real router (`twistd jabberd-router`) and a relay that is no more than Twisted, a split at the length prefix,
one look into the CBOR and a write.  Both hand the same frames, with stanzas of 300 bytes, from one connection to
another: one at a time, and 16 in one write.  They take turns; µs of CPU a frame, all of the process, medians of the
rounds.  It may cost twice what the relay costs.

Membership: a router in this process, with 32 nodes that all serve the same names by the policy `to`.  One is lost,
comes back, says that it will leave: the longest turn while the tables of slots follow, medians of the rounds (and the
highest of all).  No turn may take 20 ms.
"""

from __future__ import annotations

import argparse
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from secrets import token_bytes
from statistics import median
from typing import Any

from twisted.internet.task import Clock

from jabberd_tx.base.metrics import Metrics
from jabberd_tx.base.turn import Turn
from jabberd_tx.link.auth import Handshake
from jabberd_tx.link.decoding import FrameSplitter
from jabberd_tx.link.frames import Bind, Credit, Route, encode, make_uid
from jabberd_tx.routing.options import OPTIONS as ROUTER_OPTIONS
from jabberd_tx.routing.router import Router
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.stanza import Child, Stanza
from jabberd_tx.xmpp.writer import to_xml

SECRET = 'for the benchmark on loopback alone'
CONFIG = """
[server]
domains = ['bench.test']
data = '{folder}'
log_level = 'warn'
[router]
listen = '127.0.0.1:{port}'
[http]
enabled = false
[link]
secret = '{secret}'
heartbeat = 60.0
heartbeat_timeout = 600.0
"""
NAME = 'bench.test'
NAMES = (1, 10, 50)
STANZA_BYTES, FRAMES, BATCHES = 300, 2000, (1, 16)
ALLOWED, ALLOWED_MS = 2.0, 20.0
INSTANCES = 32


def relay(port: int) -> None:
    """Hand each frame that comes to the connection whose node it names.  The first frame of each says which it is."""
    from cbor2 import loads
    from twisted.internet import epollreactor

    epollreactor.install()  # type: ignore[no-untyped-call]
    from twisted.internet import reactor as installed
    from twisted.internet.protocol import Factory, Protocol

    reactor: Any = installed
    nodes: dict[str, Any] = {}

    class Relay(Protocol):
        held = b''

        def connectionMade(self) -> None:
            transport: Any = self.transport
            transport.setTcpNoDelay(True)

        def dataReceived(self, data: bytes) -> None:
            data = self.held + data
            at, size = 0, len(data)
            while size - at >= 4:
                end = at + 4 + int.from_bytes(data[at : at + 4], 'big')
                if end > size:
                    break
                dest = loads(data[at + 4 : end])[1]
                if dest in nodes:
                    nodes[dest].write(data[at:end])
                else:
                    nodes[dest] = self.transport
                at = end
            self.held = data[at:]

    reactor.listenTCP(port, Factory.forProtocol(Relay), 128, '127.0.0.1')
    reactor.run()


class Node:
    """A connection to the router, or to the relay, under that name."""

    def __init__(self, name: str, port: int, is_router: bool, serves: str = '') -> None:
        self.is_router, self.granted = is_router, 0
        self.socket = socket.create_connection(('127.0.0.1', port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if is_router:
            self._prove(name)
            if serves:
                self.socket.sendall(encode(Bind(serves, {'policy': 'to'})))
            self.grant()
            time.sleep(0.2)
            self.socket.recv(1 << 20)  # who is there
        else:
            self.socket.sendall(encode(_frame(name, 0)))
            if serves:
                self.socket.sendall(encode(_frame(serves, 0)))

    def _prove(self, name: str) -> None:
        handshake, splitter = Handshake(True, SECRET, name, token_bytes(16)), FrameSplitter(1 << 20)
        answers = handshake.begin()
        while not handshake.done:
            self.socket.sendall(b''.join([encode(answer) for answer in answers]))
            found = splitter.feed(self.socket.recv(65536))
            answers = [answer for _, frame in found[:1] for answer in handshake.take(frame)]  # type: ignore[arg-type]

    def grant(self) -> None:
        """Whatever comes may come."""
        if self.is_router:
            self.socket.sendall(encode(Credit(1 << 26)))

    def receive(self, size: int) -> bytes:
        """Just so many bytes."""
        data = self.socket.recv(size)
        while len(data) < size:
            data += self.socket.recv(size - len(data))
        return data


def _frame(dest: str, number: int) -> Route:
    start, end = b'<body>', b'</body>'
    attrs = {'to': 'juliet@bench.test/balcony', 'type': 'chat', 'id': 'm00000001', 'from': 'romeo@bench.test/orchard'}
    rest = STANZA_BYTES - len(to_xml(Stanza('message', attrs, start + end)))
    inner = start + b'x' * rest + end
    stanza = Stanza('message', attrs, inner, (Child(ns.CLIENT, 'body', 0, len(inner)),))
    assert len(to_xml(stanza)) == STANZA_BYTES
    return Route(dest, b'k' * 16 if '.' not in dest else 'romeo@bench.test', 'from', 1, make_uid(b's' * 16, number), 8,
                 0, stanza.pack())  # fmt: skip


def cpu_seconds(pid: int) -> float:
    """Of all threads of the process, to the nanosecond."""
    total = 0
    for thread in Path(f'/proc/{pid}/task').iterdir():
        total += int((thread / 'schedstat').read_text().split()[0])
    return total / 1e9


class Served:
    """The router or the relay as a process of its own, and two nodes at it."""

    def __init__(self, is_router: bool, folder: Path) -> None:
        self.name = 'router' if is_router else 'bare relay'
        with socket.create_server(('127.0.0.1', 0)) as free:
            port = free.getsockname()[1]
        if is_router:
            config = folder / 'router.toml'
            config.write_text(CONFIG.format(folder=folder / 'data', port=port, secret=SECRET))
            twistd = str(Path(sys.executable).parent / 'twistd')
            command = [twistd, '--nodaemon', '--pidfile=', 'jabberd-router', '-c', str(config), '--node', 'bench']
        else:
            command = [sys.executable, __file__, '--relay', str(port)]
        self.process = subprocess.Popen(command, cwd=folder)
        self._wait(port)
        self.sender = Node('from', port, is_router)
        self.receiver = Node('to', port, is_router, NAME)

    def _wait(self, port: int) -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(('127.0.0.1', port)) == 0:
                    return
            time.sleep(0.05)
        raise SystemExit(f'the {self.name} does not listen')

    def measure(self, dest: str, batch: int) -> float:
        """µs of CPU a frame."""
        frames = [encode(_frame(dest, number)) for number in range(1, batch + 1)]
        data = b''.join(frames)
        self.receiver.grant()
        time.sleep(0.01)
        before = cpu_seconds(self.process.pid)
        for _ in range(FRAMES // batch):
            self.sender.socket.sendall(data)
            if self.receiver.receive(len(data)) != data:
                raise SystemExit(f'the {self.name} changed a frame')
        return (cpu_seconds(self.process.pid) - before) / (FRAMES // batch * batch) * 1e6

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)


def compare_frames(rounds: int) -> bool:
    """Print the table; whether no row is over."""
    with tempfile.TemporaryDirectory() as folder:
        both = []
        try:
            for is_router in (True, False):
                both.append(Served(is_router, Path(folder)))
            return _in_turns(both[0], both[1], rounds)
        finally:
            for served in both:
                served.stop()


def _in_turns(router: Served, bare: Served, rounds: int) -> bool:
    good = True
    print('| µs of CPU a frame | router | bare relay | router / relay |\n| --- | --- | --- | --- |')
    for batch in BATCHES:
        for what, dest in (('a node', 'to'), ('a name', NAME)):
            taken: dict[str, list[float]] = {router.name: [], bare.name: []}
            for number in range(rounds + 1):
                for served in (router, bare) if number & 1 else (bare, router):
                    microseconds = served.measure(dest, batch)
                    if number:  # the first warms up
                        taken[served.name].append(microseconds)
            ratio = median([a / b for a, b in zip(taken[router.name], taken[bare.name], strict=True)])
            good = good and ratio <= ALLOWED
            load = 'alone' if batch == 1 else f'{batch} at a time'
            cells = [f'{median(values):.1f} ({min(values):.1f}–{max(values):.1f})' for values in taken.values()]
            print(f'| {load}, to {what} | {cells[0]} | {cells[1]} | {ratio:.2f} |', flush=True)
    return good


class Silent:
    """A node that is attached to a router in this process, and says and hears nothing."""

    local = False

    def __init__(self, node: str) -> None:
        self.node, self.incarnation = node, node.encode().ljust(16)

    def send(self, frame: Any, raw: bytes | None = None) -> None:
        if raw is None:
            encode(frame)

    def end(self, condition: str, text: str) -> None:
        raise SystemExit(f'{self.node}: {text}')


def longest_turns(rounds: int) -> bool:
    """Print the table; whether no call takes too long."""
    print(f'| {INSTANCES} instances, longest turn in ms of CPU | ' + ' | '.join([f'{n} names' for n in NAMES]) + ' |')
    print('| --- |' + ' --- |' * len(NAMES))
    found = [_change(names, rounds) for names in NAMES]
    for what in found[0]:
        print(f'| {what} | ' + ' | '.join([f'{median(v[what]):.1f} ({max(v[what]):.1f})' for v in found]) + ' |')
    return all([median(values) < ALLOWED_MS for column in found for values in column.values()])


def _change(names: int, rounds: int) -> dict[str, list[float]]:
    """What happens: the longest turn of each round."""
    clock: Any = Clock()
    router = Router('bench', clock, Turn(clock), ROUTER_OPTIONS.defaults(), Metrics())
    ports: list[Any] = [Silent(f'sm-{number}') for number in range(INSTANCES)]

    def serve(port: Any) -> list[float]:
        calls = [_milliseconds(router.attach, port)]
        for number in range(names):
            calls.append(_milliseconds(router.bind, port, f'{number}.bench.test', {'policy': 'to'}))
        return calls + settle()

    def settle() -> list[float]:
        calls = []
        while clock.getDelayedCalls():
            calls.append(_milliseconds(_one_turn, clock))
        return calls

    for port in ports:
        serve(port)
    worst: dict[str, list[float]] = {'one is lost': [], 'it comes back': [], 'one says that it will leave': []}
    for number in range(rounds):
        lost, leaving = ports[number % INSTANCES], ports[(number + 1) % INSTANCES]
        worst['one is lost'].append(max(_milliseconds(router.detach, lost), *settle()))
        worst['it comes back'].append(max(serve(lost)))
        worst['one says that it will leave'].append(max(_milliseconds(router.drain, leaving), *settle()))
        router.detach(leaving)
        serve(leaving)
    return worst


def _one_turn(clock: Any) -> None:
    """What is due now, and not what that asks for."""
    for call in clock.getDelayedCalls():
        clock.calls.remove(call)
        call.called = 1
        call.func(*call.args, **call.kw)


def _milliseconds(call: Any, *arguments: Any) -> float:
    began = time.thread_time_ns()
    call(*arguments)
    return (time.thread_time_ns() - began) / 1e6


def main() -> int:
    """Exit status 1 when something is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=20, help='of each row (%(default)s)')
    parser.add_argument('--only', choices=('frames', 'membership'))
    parser.add_argument('--relay', type=int, metavar='PORT', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.relay:
        relay(options.relay)
        return 0
    good = options.only == 'membership' or compare_frames(options.rounds)
    good = (options.only == 'frames' or longest_turns(options.rounds)) and good
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
