"""The feed of sessions and presence: who may watch, what is told in which order, and that slow ones hold up nobody."""

from __future__ import annotations

from typing import Any

import pytest

from jabberd_tx.components.sm import feed
from jabberd_tx.components.stanza_component import StanzaComponent
from jabberd_tx.link import events
from jabberd_tx.testing.memory_server import MemoryServer
from jabberd_tx.xmpp.stanza import Stanza


class Watcher(StanzaComponent):
    """Keeps what it is told."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.told: list[Stanza] = []

    def event(self, stanza: Stanza) -> None:
        self.told.append(stanza)

    def take(self) -> list[tuple[str, str]]:
        """(type, jid) of what came since the last time."""
        told, self.told = self.told, []
        return [(stanza.attrs['type'], stanza.attrs.get('jid', '')) for stanza in told]


class Site(MemoryServer):
    def __init__(self, *overrides: str) -> None:
        super().__init__(overrides=['sm.cluster=["cluster-*"]', *overrides])

    def watcher(self, node: str = 'cluster-1') -> Watcher:
        links = self.network.links(node)
        watcher = Watcher(links, f'{node}.example.net', self.clock)
        links.start()
        watcher.start()
        self.settle()
        return watcher


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_watcher_is_told_of_all_sessions_first_and_then_of_what_happens(site: Site) -> None:
    juliet = site.client('juliet', 'a')
    hidden = site.client('romeo', 'a', available=False)
    watcher = site.watcher()
    watcher.watch('sm')
    site.settle()
    first = list(watcher.told)
    assert sorted(watcher.take()[:-1]) == [('session', 'juliet@example.net/a'), ('session', 'romeo@example.net/a')]
    assert (first[-1].attrs['type'], first[-1].attrs['sm']) == ('whole', 'sm')
    [about] = [stanza for stanza in first if stanza.attrs.get('jid') == 'juliet@example.net/a']
    session = site.sm.sessions.peek('juliet@example.net')[0]  # type: ignore[index]
    assert about.attrs == {
        'type': 'session', 'sm': 'sm', 'jid': session.jid, 'node': 'c2s', 'id': session.stream.hex(), 'epoch': '0',
    }  # fmt: skip
    assert Stanza.unpack(about.inner).name == 'presence'

    hidden.send('<presence><show>dnd</show></presence>')
    site.settle()
    [event] = watcher.told
    assert b'dnd' in Stanza.unpack(event.inner).inner
    watcher.take()
    another = site.client('romeo', 'b')
    juliet.send("<presence type='unavailable'/>")
    site.settle()
    another.send('</stream:stream>')
    site.settle()
    assert watcher.take() == [
        ('session', 'romeo@example.net/b'), ('presence', 'romeo@example.net/b'), ('presence', 'juliet@example.net/a'),
        ('ended', 'romeo@example.net/b'),
    ]  # fmt: skip


def test_only_nodes_that_the_configuration_names_may_watch(site: Site) -> None:
    stranger = site.watcher('stranger-1')
    stranger.watch('sm')
    site.client('juliet')
    assert [stanza.attrs.get('condition') for stanza in stranger.told] == ['not-allowed'] and not site.sm.feed.active


def test_who_watches_no_more_or_goes_is_told_no_more(site: Site) -> None:
    one, other = site.watcher('cluster-1'), site.watcher('cluster-2')
    for watcher in (one, other):
        watcher.watch('sm')
    site.settle()
    one._kept.send('sm', 'sm', events.unwatch())
    other.links.stop()  # type: ignore[attr-defined]
    site.settle()
    one.take()
    site.client('juliet')
    assert one.take() == [] and len(site.sm.feed) == 0 and not site.sm.feed.active


def test_a_watcher_that_takes_nothing_in_is_told_so_once_and_may_watch_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, 'MOST_PENDING', 3)
    watcher = site.watcher()
    watcher.watch('sm')
    site.settle()
    confirm, watcher.links.confirm = watcher.links.confirm, lambda *ignored: None  # type: ignore[method-assign]
    watcher.take()
    juliet = site.client('juliet', 'a')
    for _ in range(4):
        juliet.send('<presence/>')
        site.settle()
    assert [kind for kind, _ in watcher.take()][-1] == 'over' and len(site.sm.feed) == 0
    watcher.links.confirm = confirm  # type: ignore[method-assign]
    watcher.watch('sm')
    site.settle()
    assert [kind for kind, _ in watcher.take()] == ['session', 'whole']


def test_the_first_list_waits_for_a_slow_watcher_and_has_what_is_there_when_it_is_told(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, 'MOST_AT_FIRST', 2)
    clients = [site.client('juliet', f'r{n}') for n in range(6)]
    watcher = site.watcher()
    confirm, watcher.links.confirm = watcher.links.confirm, lambda *ignored: None  # type: ignore[method-assign]
    watcher.watch('sm')
    site.settle()
    assert len(watcher.take()) == 2
    clients[5].send('</stream:stream>')
    site.settle()
    assert watcher.take() == [('ended', 'juliet@example.net/r5')]
    watcher.links.confirm = confirm  # type: ignore[method-assign]
    for uid, post in list(site.sm.posts.kept.items()):
        assert post.frame.dest == 'cluster-1'
        confirm('sm', uid)
    site.advance(3)
    told = watcher.take()
    assert ('session', 'juliet@example.net/r5') not in told and told[-1] == ('whole', '') and len(told) == 4


def test_what_nobody_knows_about_watching_changes_nothing(site: Site) -> None:
    watcher = site.watcher()
    watcher._kept.send('sm', 'sm', Stanza(events.NAME, {'type': 'shout'}))
    site.settle()
    assert len(site.sm.feed) == 0 and len(watcher._kept) == 0
