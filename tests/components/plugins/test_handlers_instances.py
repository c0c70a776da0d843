"""Several instances of a component of handlers behind a real session manager: a death loses nothing."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

import jabberd_tx.compat.wokkel  # noqa: F401  # isort: skip
from twisted.words.protocols.jabber.xmlstream import XMPPHandler, toResponse
from twisted.words.xish.domish import Element

from jabberd_tx.components.plugins.handlers_component import HandlersComponent
from jabberd_tx.testing.client import XmppClient
from jabberd_tx.testing.memory_server import MemoryServer

NAME = 'slow.example.net'


class Slow(XMPPHandler):
    """Echoes messages, once it may."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.gate: Deferred[None] = Deferred()

    def connectionInitialized(self) -> None:
        self.xmlstream.addObserver('/message[@type="chat"]', self.echo)

    async def echo(self, message: Element) -> None:
        self.seen.append(message['id'])
        await self.gate
        answer = toResponse(message, 'chat')
        answer['id'] = message['id']
        self.send(answer)


class Instance:
    """One, with links of its own."""

    def __init__(self, server: MemoryServer, number: int) -> None:
        self.slow = Slow()
        self.links = server.network.links(f'slow-{number}')
        clock: Any = server.clock
        self.component = HandlersComponent(self.links, NAME, clock, 'random', [self.slow])
        self.links.start()
        self.component.start()
        server.settle()


def send(server: MemoryServer, client: XmppClient, *ids: str) -> None:
    for id in ids:
        client.send(f"<message to='{NAME}' type='chat' id='{id}'><body>x</body></message>")
    server.settle()


@pytest.mark.parametrize('orderly', [False, True], ids=['killed', 'stopped'])
def test_what_one_was_not_done_with_another_does(orderly: bool) -> None:
    """Each message is answered once, in order: by the other when one dies, by itself when it is stopped in order."""
    server = MemoryServer()
    juliet = server.client('juliet')
    one = Instance(server, 1)
    send(server, juliet, 'a', 'b')
    other = Instance(server, 2)
    if orderly:
        stopped = Deferred.fromCoroutine(one.component.stop())
        server.settle()
        send(server, juliet, 'c')
        one.slow.gate.callback(None)
        server.advance(0.1)
        assert stopped.called
    one.links.stop()
    server.settle()
    other.slow.gate.callback(None)
    server.advance(5)
    assert one.slow.seen == (['a', 'b'] if orderly else ['a'])
    assert other.slow.seen == (['c'] if orderly else ['a', 'b'])
    answers = [message.attrs['id'] for message in juliet.take_stanzas('message')]
    assert answers == (['a', 'b', 'c'] if orderly else ['a', 'b'])
