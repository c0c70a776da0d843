#!/usr/bin/env python3
"""What waking up costs: a relay that hands on bytes between pairs of connections and does nothing else.

    python benchmarks/relay.py PORT ours       with turns as in this project
    python benchmarks/relay.py PORT twisted    on Twisted as it comes
    python benchmarks/relay.py PORT bare       on epoll alone

    benchmarks/yardstick/loadgen.py chat-rate --users 400 --rate 1000 --no-login --port PORT --server-pids PID

A message passes c2s, router, sm, router and c2s when they are processes apart: five such relays in a row, before
anybody has looked at it.
"""

from __future__ import annotations

import select
import socket
import sys
from typing import Any


def bare(port: int) -> None:
    """For ever."""
    listener = socket.create_server(('127.0.0.1', port), backlog=4096)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    pairs: dict[int, tuple[socket.socket, socket.socket]] = {}
    waiting: list[socket.socket] = []
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                waiting.append(listener.accept()[0])
                poll.register(waiting[-1], select.EPOLLIN)
                if len(waiting) == 2:
                    one, other = waiting
                    pairs[one.fileno()], pairs[other.fileno()] = (one, other), (other, one)
                    waiting.clear()
                continue
            mine, other = pairs[fd]
            data = mine.recv(65536)
            if data:
                other.send(data)
            else:
                poll.unregister(fd)


def on_a_reactor(port: int, ours: bool) -> None:
    """Until a signal."""
    from twisted.internet import epollreactor

    epollreactor.install()  # type: ignore[no-untyped-call]
    from twisted.internet import reactor as installed
    from twisted.internet.protocol import Factory, Protocol

    from jabberd_tx.base.flush import listen_tcp
    from jabberd_tx.base.metrics import Metrics
    from jabberd_tx.base.polls import TurnPolls
    from jabberd_tx.base.turn import Turn
    from jabberd_tx.base.turn_clock import TurnClock

    reactor: Any = installed
    waiting: list[Any] = []

    class Relay(Protocol):
        other: Any = None

        def connectionMade(self) -> None:
            waiting.append(self)
            if len(waiting) == 2:
                waiting[0].other, waiting[1].other = waiting[1].transport, waiting[0].transport
                waiting.clear()

        def dataReceived(self, data: bytes) -> None:
            self.other.write(data)

    factory = Factory.forProtocol(Relay)
    if ours:
        turn = Turn(reactor)
        TurnPolls(reactor, turn).start()
        TurnClock(Metrics()).start(reactor)
        listen_tcp(reactor, turn, port, factory, '127.0.0.1')
    else:
        reactor.listenTCP(port, factory, 4096, '127.0.0.1')
    reactor.run()


if __name__ == '__main__':
    port, kind = int(sys.argv[1]), sys.argv[2]
    if kind == 'bare':
        bare(port)
    else:
        on_a_reactor(port, ours=kind == 'ours')
