"""What a component has confirmed is known before the name is seen to go: nobody repeats it to another instance."""

from __future__ import annotations

import pytest

from jabberd_tx.link.frames import Confirm
from jabberd_tx.testing.network import Network, Recorder
from jabberd_tx.xmpp.stanza import Stanza


@pytest.mark.parametrize('coded', [False, True])
def test_the_confirmation_comes_first(coded: bool) -> None:
    network = Network(coded=coded)
    told: list[str] = []

    class Sender(Recorder):
        def on_confirm(self, frame: Confirm) -> None:
            told.append('confirmed')

        def on_down(self, name: str, node: str, incarnation: bytes) -> None:
            told.append('gone')

    class Leaver(Recorder):
        def on_route(self, frame, link):
            self.links.confirm(frame.source, frame.uid, link)
            self.links.unbind('bot.example.net')

    sender, leaver = Sender(network.links('sm-1')), Leaver(network.links('bot-1'))
    leaver.links.bind('bot.example.net')
    network.settle()
    sender.send('bot.example.net', None, Stanza('message', {'to': 'bot.example.net'}))
    network.settle()
    assert told == ['confirmed', 'gone']
