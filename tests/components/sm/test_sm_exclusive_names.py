"""What a session manager sends to an exclusive name goes to the instance that has the slot, in order."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from jabberd_tx.components.slot_leases import SECONDS
from jabberd_tx.components.stanza_component import Answer, StanzaComponent
from jabberd_tx.link.local import LocalLinks
from jabberd_tx.storage.leases.memory import MemoryLeases
from jabberd_tx.xmpp.stanza import Stanza
from tests.components.sm.sm_support import SeveralLinks, Site

ROOMS = 'rooms.example'
NAMES = [f'room{n}' for n in range(12)]
PING = "<ping xmlns='urn:xmpp:ping'/>"


class Rooms(StanzaComponent):
    def __init__(self, site: Site, store: MemoryLeases, node: str, routers: slice = slice(None)) -> None:
        self.heard: list[str] = []
        links: Any = SeveralLinks(node, site.routers[routers], site.network)
        super().__init__(links, ROOMS, site.clock, leases=store)
        links.start()
        self.start()
        site.settle()

    def leave_routers(self) -> None:
        for links in self.links.all:  # type: ignore[attr-defined]
            links.stop()

    def message(self, stanza: Stanza) -> Answer:
        self.heard.append(f'{stanza.attrs["to"].partition("@")[0]} {stanza.attrs["id"]}')
        return None

    def iq(self, stanza: Stanza) -> Answer:
        self.heard.append('iq ' + stanza.attrs['to'].partition('@')[0])
        return None

    def kill(self) -> None:
        self.leave_routers()
        self._leases._stopped = True
        if self._leases._timer is not None:
            self._leases._timer.cancel()


def test_messages_and_iqs_find_the_instance_that_has_the_room() -> None:
    """A newcomer, that routers choose for its share of the rooms, has none of those that live already."""
    site = Site()
    store = MemoryLeases(site.clock)
    one = Rooms(site, store, 'muc-1')
    romeo = site.c2s().client('romeo')
    for name in NAMES:
        romeo.chat(f'{name}@{ROOMS}', '0')
    site.settle()
    two = Rooms(site, store, 'muc-2')
    site.network.advance(1)
    for n in range(1, 6):
        for name in NAMES:
            romeo.chat(f'{name}@{ROOMS}', str(n))
    for name in NAMES:
        romeo.send(f"<iq type='get' id='q-{name}' to='{name}@{ROOMS}'>{PING}</iq>")
    site.network.advance(5)
    assert two.heard == []
    for name in NAMES:
        assert [heard for heard in one.heard if heard.startswith(name + ' ')] == [f'{name} {n}' for n in range(6)]
        assert 'iq ' + name in one.heard
    assert sorted(stanza.attrs['id'] for stanza in romeo.stanzas) == sorted('q-' + name for name in NAMES)
    assert all(stanza.attrs['type'] == 'result' for stanza in romeo.stanzas)
    site.quiet()


def test_when_the_owner_dies_or_leaves_what_is_for_it_goes_to_the_next() -> None:
    """Nothing is lost or refused, though a dead one's leases have to run out first."""
    site = Site()
    store = MemoryLeases(site.clock)
    one, two = Rooms(site, store, 'muc-1'), Rooms(site, store, 'muc-2')
    site.network.advance(1)
    romeo = site.c2s().client('romeo')

    def say(n: int) -> None:
        for name in NAMES:
            romeo.chat(f'{name}@{ROOMS}', str(n))
        site.network.advance(0.1)

    say(0)
    assert one.heard and two.heard
    one.kill()
    say(1)
    for name in NAMES[:3]:
        romeo.send(f"<iq type='get' id='q-{name}' to='{name}@{ROOMS}'>{PING}</iq>")
    site.network.advance(SECONDS + 4)
    three = Rooms(site, store, 'muc-3')
    site.network.advance(1)
    say(2)
    site.network.advance(3)
    Deferred.fromCoroutine(two.stop())
    site.network.advance(6)
    two.leave_routers()
    say(3)
    site.network.advance(3)
    heard = [*one.heard, *two.heard, *three.heard]
    for name in NAMES:
        assert [text for text in heard if text.startswith(name + ' ')] == [f'{name} {n}' for n in range(4)]
    assert [stanza.attrs['type'] for stanza in romeo.stanzas] == ['result'] * 3
    site.quiet()


def test_though_routers_see_different_instances_no_room_lives_twice() -> None:
    """One instance has lost its link to one of the routers, which chooses without it."""
    site = Site(routers=2)
    store = MemoryLeases(site.clock)
    one, two = Rooms(site, store, 'muc-1'), Rooms(site, store, 'muc-2', slice(1, 2))
    site.network.advance(1)
    c2s = site.c2s()
    users = [c2s.client(user) for user in ('romeo', 'juliet', 'nurse', 'mercutio')]
    for n in range(6):
        for user in users:
            for name in NAMES:
                user.chat(f'{name}@{ROOMS}', f'{user.owner} {n}')
        site.network.advance(1)
        if n == 2:
            two.links.all.append(LocalLinks('muc-2', site.routers[0], site.network.turn))  # type: ignore[attr-defined]
            late = two.links.all[-1]  # type: ignore[attr-defined]
            late.incarnation = two.links.incarnation
            two.links.attach(two)
            late.start()
            late.bind(ROOMS, 'to', exclusive=True)
    site.network.advance(5)
    lives = [{text.split()[0] for text in rooms.heard} for rooms in (one, two)]
    assert lives[0] and lives[1] and not lives[0] & lives[1]
    heard = one.heard + two.heard
    for name in NAMES:
        for user in users:
            start = f'{name} {user.owner} '
            assert [text for text in heard if text.startswith(start)] == [f'{start}{n}' for n in range(6)]
    site.quiet()
