"""What a router tells an operator."""

from __future__ import annotations

from twisted.internet.task import Clock

from jabberd_tx.base.metrics import Metrics
from jabberd_tx.base.slots import SLOTS
from jabberd_tx.base.turn import Turn
from jabberd_tx.control.figures import counts_and_queues
from jabberd_tx.link.local import LocalLinks
from jabberd_tx.routing.figures import names_of, nodes_of
from jabberd_tx.routing.options import OPTIONS
from jabberd_tx.routing.router import Router


class Quiet:
    """A Component to whom nothing matters."""

    def __getattr__(self, name):
        return lambda *arguments: False


def test_nodes_names_and_slots_are_told():
    """Each node with what waits for it, each name with the slots of its instances."""
    clock, metrics = Clock(), Metrics()
    turn = Turn(clock)
    router = Router('router-1', clock, turn, OPTIONS.defaults(), metrics)
    for number, policy in ((1, 'to'), (2, 'to')):
        links = LocalLinks(f'sm-{number}', router, turn)
        links.attach(Quiet())
        links.start()
        links.bind('example.net', policy)
        links.bind(f'own{number}.net', 'random')
    for _ in range(100):
        clock.advance(0)
    links.drain()
    nodes = {row['node']: row for row in nodes_of(router)}
    assert nodes['sm-1']['credit'] > 0 and nodes['sm-1']['names'] == 2 and nodes['sm-1']['local']
    assert (nodes['sm-1']['draining'], nodes['sm-2']['draining']) == (False, True)
    names = {row['name']: row for row in names_of(router)}
    shared = names['example.net']
    assert (shared['policy'], shared['key'], shared['router']) == ('to', 'bare', 'router-1')
    # One that drains has no slots any more.
    assert shared['instances'] == {'sm-1': SLOTS, 'sm-2': 0}
    assert names['own1.net']['instances'] == {'sm-1': None}
    assert counts_and_queues(metrics) == {'counts': {'frames': 0}, 'queues': {}}
