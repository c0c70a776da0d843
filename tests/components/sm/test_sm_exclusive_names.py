"""What a session manager sends to an exclusive name goes to the instance that has the slot, in order."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from jabberd_tx.components.slot_leases import SECONDS
from jabberd_tx.components.stanza_component import Answer, StanzaComponent
from jabberd_tx.storage.leases.memory import MemoryLeases
from jabberd_tx.xmpp.stanza import Stanza
from tests.components.sm.sm_support import Site

ROOMS = 'rooms.example'
NAMES = [f'room{n}' for n in range(12)]
PING = "<ping xmlns='urn:xmpp:ping'/>"


class Rooms(StanzaComponent):
    def __init__(self, site: Site, store: MemoryLeases, node: str) -> None:
        self.heard: list[str] = []
        links = site.network.links(node)
        super().__init__(links, ROOMS, site.clock, leases=store)
        links.start()
        self.start()
        site.settle()

    def message(self, stanza: Stanza) -> Answer:
        self.heard.append(f'{stanza.attrs["to"].partition("@")[0]} {stanza.attrs["id"]}')
        return None

    def iq(self, stanza: Stanza) -> Answer:
        self.heard.append('iq ' + stanza.attrs['to'].partition('@')[0])
        return None

    def kill(self) -> None:
        self.links.stop()  # type: ignore[attr-defined]
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
    two.links.stop()  # type: ignore[attr-defined]
    say(3)
    site.network.advance(3)
    heard = [*one.heard, *two.heard, *three.heard]
    for name in NAMES:
        assert [text for text in heard if text.startswith(name + ' ')] == [f'{name} {n}' for n in range(4)]
    assert [stanza.attrs['type'] for stanza in romeo.stanzas] == ['result'] * 3
    site.quiet()
