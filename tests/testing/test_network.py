"""The network without sockets that plugin authors test with."""

from __future__ import annotations

import pytest

from jabberd_tx.testing.network import Network, Recorder
from jabberd_tx.xmpp.stanza import Stanza


@pytest.mark.parametrize('coded', [False, True])
def test_two_components_talk_through_a_router(coded: bool) -> None:
    """The example in the module's text."""
    stanza = Stanza.build('message', {'to': 'juliet@example.net'}, ('jabber:client', 'body', b'<body>hi</body>'))
    network = Network(coded=coded)
    sm, c2s = Recorder(network.links('sm-1')), Recorder(network.links('c2s-1'))
    sm.links.bind('example.net')
    network.settle()
    uid = c2s.send('example.net', 'juliet@example.net', stanza)
    network.settle()
    assert sm.stanzas == [stanza]
    assert c2s.confirmed == [uid]


def test_a_turn_runs_what_is_due_and_not_what_that_asks_for() -> None:
    network = Network()
    ran: list[str] = []

    def first() -> None:
        ran.append('first')
        network.clock.callLater(0, ran.append, 'second')

    network.clock.callLater(0, first)
    assert network.turn_once()
    assert ran == ['first']
    assert network.turn_once()
    assert ran == ['first', 'second']
    assert not network.turn_once()


def test_time_passes_step_by_step() -> None:
    network = Network()
    seen: list[float] = []

    def tick() -> None:
        seen.append(network.clock.seconds())
        network.clock.callLater(0.25, tick)

    tick()
    network.advance(1)
    assert seen == [0, 0.25, 0.5, 0.75, 1.0]
    assert network.clock.seconds() == 1


def test_settle_gives_up_on_what_never_rests() -> None:
    network = Network()

    def again() -> None:
        network.clock.callLater(0, again)

    again()
    with pytest.raises(AssertionError, match='still busy'):
        network.settle(100)


def test_a_call_that_another_cancels_in_its_turn_does_not_run() -> None:
    network = Network()
    ran: list[str] = []
    network.clock.callLater(0, lambda: second.cancel())
    second = network.clock.callLater(0, ran.append, 'second')
    network.settle()
    assert ran == []
