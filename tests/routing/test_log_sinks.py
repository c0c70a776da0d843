"""Log sinks: who gets copies of what, and that nobody waits for them."""

from __future__ import annotations

from typing import Any

import pytest

from jabberd_tx.link.frames import Fanout, Route, make_uid
from jabberd_tx.link.local import WEIGHT
from jabberd_tx.routing.filters import FILTERS, FilterRules
from jabberd_tx.testing.network import Network, Recorder
from jabberd_tx.xmpp.stanza import Stanza

CHAT = Stanza('message', {'from': 'romeo@example.net/a', 'to': 'juliet@example.net'})


class Sink(Recorder):
    """Keeps the copies apart from what is for itself."""

    def __init__(self, links: Any) -> None:
        self.copies: list[Route | Fanout] = []
        super().__init__(links)

    def on_copy(self, frame: Route | Fanout) -> None:
        self.copies.append(frame)


class Site:
    def __init__(self, coded: bool = False) -> None:
        self.network = Network(coded=coded)
        self.c2s, self.sm = [Recorder(self.network.links(node)) for node in ('c2s-1', 'sm-1')]
        self.sm.links.bind('example.net')
        self.sink = Sink(self.network.links('sink-1'))
        self.sink.links.bind('sink.example.net', log=True)
        self.network.settle()

    def say(self, dest: str = 'example.net') -> bytes:
        uid = self.c2s.send(dest, 'romeo@example.net', CHAT)
        self.network.settle()
        return uid


@pytest.mark.parametrize('coded', [False, True])
def test_a_sink_gets_a_copy_of_all_that_is_handed_on_which_it_can_not_mistake(coded: bool) -> None:
    site = Site(coded)
    uid = site.say()
    link = site.sm.links.pick('')
    assert link is not None
    fanout = Fanout('c2s-1', 'sm-1', make_uid(b's' * 16, 1), [(b't' * 16, 'romeo@example.net/a')], CHAT)
    link.fanout(fanout)
    site.network.settle()
    assert [(type(copy), copy.uid, copy.dest) for copy in site.sink.copies] == [
        (Route, uid, 'example.net'), (Fanout, fanout.uid, 'c2s-1'),
    ]  # fmt: skip
    assert site.sink.frames == [] and site.c2s.confirmed == [uid], 'only who really got it has confirmed it'


def test_what_is_bounced_or_denied_is_not_copied_and_what_goes_to_all_is_copied_once() -> None:
    site = Site()
    site.say('nobody.example.net')
    another = Recorder(site.network.links('sm-2'))
    another.links.bind('example.net')
    site.network.settle()
    site.say('example.net/*')
    assert len(site.sink.copies) == 1
    site.network.router.filter_by(FilterRules([FILTERS.defaults()]))
    site.say()
    assert len(site.sink.copies) == 1


@pytest.mark.parametrize('coded', [False, True])
def test_without_credit_copies_are_dropped_and_counted_and_work_goes_on(coded: bool) -> None:
    site = Site(coded)
    site.network.router._nodes['sink-1'].credit = 0
    uid = site.say()
    assert site.sink.copies == [] and site.c2s.confirmed == [uid]
    assert site.network.metrics.value('jabberd_router_copies', 'dropped') == 1


def test_a_sink_is_granted_anew_what_copies_took() -> None:
    network = Network()
    c2s, sm = [Recorder(network.links(node)) for node in ('c2s-1', 'sm-1')]
    sink = Sink(network.links('sink-1', window=8 * WEIGHT))
    sink.links.bind('sink.example.net', log=True)
    network.settle()
    for _ in range(50):
        c2s.send('sm-1', b't' * 16, CHAT)
        network.settle()
    assert len(sink.copies) == len(sm.routes) == 50


@pytest.mark.parametrize('how', ['unbind', 'bind again', 'stop'])
def test_a_sink_that_is_none_any_more_gets_no_copies(how: str) -> None:
    site = Site()
    if how == 'unbind':
        site.sink.links.unbind('sink.example.net')
    elif how == 'stop':
        site.sink.links.stop()
    else:
        site.sink.links.bind('sink.example.net')
    site.say()
    assert site.sink.copies == [] and not site.network.router._watchful
