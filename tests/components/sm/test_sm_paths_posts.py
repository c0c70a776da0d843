"""Which link a user's frames take, and what becomes of the session manager's own."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from jabberd_tx.components.sm import posts as posts_file
from jabberd_tx.components.sm.locks import KeyedLocks
from jabberd_tx.components.sm.paths import Paths
from jabberd_tx.link.frames import BUSY, Fanout, Route
from tests.components.sm.sm_support import DOMAIN, Site
from tests.components.sm.test_sm_presence import got, know

ROMEO, JULIET = f'romeo@{DOMAIN}', f'juliet@{DOMAIN}'


class FakeLink:
    """As much of a link as a choice needs."""

    def __init__(self, name: str) -> None:
        self.name, self.up = name, True


class Choices:
    """Links whose table names what the test says."""

    def __init__(self, *links: FakeLink) -> None:
        self.links = list(links)
        self.chosen = links[0]

    def pick(self, key: str, avoid: Any = None) -> Any:
        return next((link for link in self.links if link is not avoid), None) if avoid else self.chosen


def test_who_has_something_in_flight_stays_with_the_old_link_until_it_is_confirmed() -> None:
    old, new = FakeLink('old'), FakeLink('new')
    links = Choices(old, new)
    flying: list[Any] = [('romeo', old)]
    paths = Paths(links, lambda: flying)  # type: ignore[arg-type]
    assert paths.choose('romeo') is old
    links.chosen = new
    epoch = paths.epoch
    paths.changed()
    assert paths.epoch != epoch
    assert paths.choose('romeo') is old
    assert paths.choose('juliet') is new
    paths.sweep()
    assert paths.choose('romeo') is old
    epoch = paths.epoch
    flying.clear()
    paths.sweep()
    assert paths.choose('romeo') is new
    assert paths.epoch != epoch


def test_nobody_stays_with_a_link_that_is_down() -> None:
    old, new = FakeLink('old'), FakeLink('new')
    links = Choices(old, new)
    paths = Paths(links, lambda: [('romeo', old)])  # type: ignore[arg-type,list-item]
    paths.changed()
    links.chosen = new
    old.up = False
    assert paths.choose('romeo') is new
    assert paths.other('romeo', new) is old  # type: ignore[arg-type,comparison-overlap]


@pytest.mark.parametrize('resources', [1, 2])
def test_messages_stay_on_their_link_when_another_comes_up(resources: int) -> None:
    site = Site(routers=2)
    site.sm_links.lose(1)
    site.settle()
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    # An owner whom the table gives to the second router.
    user = next(user for user in Site.USERS if sum(f'{user}@{DOMAIN}'.encode()) % 2)
    romeo, juliet = here.client(user), there.client('nurse' if user != 'nurse' else 'juliet')
    to = juliet.jid
    if resources == 2:
        to = juliet.owner
        there.client(juliet.owner, 'other')
    juliet.take()
    there.holding = True
    romeo.chat(to, 'one')
    site.settle()
    site.sm_links.regain(1)
    site.settle()
    romeo.chat(to, 'two')
    site.settle()
    first, second = site.sm.delivery.kept.values()
    assert first.link is second.link is site.sm_links.all[0]._link
    there.release()
    site.quiet()
    site.advance(3)
    there.holding = True
    romeo.chat(to, 'three')
    site.settle()
    (third,) = site.sm.delivery.kept.values()
    assert third.link is site.sm_links.all[1]._link
    there.release()
    site.quiet()
    assert juliet.bodies() == ['one', 'two', 'three']


# ---- posts


def test_what_a_busy_node_refuses_comes_later_and_in_order() -> None:
    site = Site()
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo, juliet = here.client('romeo', 'r'), there.client('juliet', 'j')
    juliet.take()
    there.bouncing = BUSY
    for n in range(3):
        romeo.send(f"<presence to='{juliet.jid}'><status>{n}</status></presence>")
    site.settle()
    assert got(juliet) == []
    there.bouncing = ''
    romeo.send(f"<presence to='{juliet.jid}'><status>3</status></presence>")
    site.advance(5)
    assert got(juliet) == [f'{ROMEO}/r <status>{n}</status>' for n in range(4)]
    site.quiet()


def test_what_a_busy_node_never_takes_is_given_up_and_an_iq_answered() -> None:
    site = Site(busy_seconds=3.0)
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo, juliet = here.client('romeo', 'r'), there.client('juliet', 'j')
    there.bouncing = BUSY
    romeo.take()
    romeo.send(f"<iq type='get' id='q' to='{juliet.jid}'><ping xmlns='urn:xmpp:ping'/></iq>")
    site.advance(20)
    site.quiet()
    assert 'service-unavailable' in romeo.xml()[-1]


def test_a_fan_out_with_very_many_targets_goes_in_several_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posts_file, 'MOST_TARGETS', 3)
    site = Site(users=['romeo', *[f'u{n}' for n in range(8)]])
    c2s = site.c2s()
    clients = []
    for n in range(8):
        know(site, ROMEO, f'u{n}@{DOMAIN}', 'from')
        clients.append(c2s.client(f'u{n}'))
    romeo = c2s.client('romeo', 'r')
    for client in clients:
        got(client)
    c2s.frames.clear()
    romeo.send('<presence><status>x</status></presence>')
    site.quiet()
    sizes = [len(frame.targets) for frame in c2s.frames if isinstance(frame, Fanout)]
    assert sum(sizes) == 9 and max(sizes) == 3
    assert len({frame.uid for frame in c2s.frames}) == len(c2s.frames)
    assert all(got(client) == [f'{ROMEO}/r <status>x</status>'] for client in clients)


def test_too_much_that_nobody_confirms_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posts_file, 'MOST_KEPT', 5)
    site = Site()
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo, juliet = here.client('romeo', 'r'), there.client('juliet', 'j')
    there.holding = True
    for n in range(9):
        romeo.send(f"<iq type='get' id='q{n}' to='{juliet.jid}'><ping xmlns='urn:xmpp:ping'/></iq>")
    site.settle()
    assert len(site.sm.posts) == 5
    there.release()
    site.quiet()


def test_roster_changes_for_others_go_to_another_sm_when_one_dies() -> None:
    """Frames to the domain's name go again when an instance of it is gone."""
    site = Site()
    c2s = site.c2s()
    romeo = c2s.client('romeo', 'r')
    frames: list[Route] = []
    site.sm.on_route = site.sm.intake.on_route
    for links in site.sm_links.all:
        links._component.on_route = lambda frame, link: frames.append(frame)  # it takes no more, and says nothing
    site.sm.posts.to_name(ROMEO, DOMAIN, JULIET, romeo.stanzas[0] if romeo.stanzas else _presence())
    site.settle()
    assert len(frames) == 1 and len(site.sm.posts) == 1
    site.sm.on_down(DOMAIN, 'sm-2', b'')
    site.settle()
    assert [frame.uid for frame in frames] == [frames[0].uid] * 2
    assert frames[1].flags & 1


def _presence() -> Any:
    from tests.components.sm.sm_support import parse_stanza

    return parse_stanza('<presence/>')


# ---- locks


def test_a_lock_is_had_by_one_at_a_time_in_the_order_of_asking() -> None:
    locks = KeyedLocks()
    order: list[str] = []
    gates: dict[str, Deferred[None]] = {name: Deferred() for name in 'abc'}

    async def work(key: str, name: str) -> None:
        async with locks.holding(key):
            order.append(name)
            await gates[name]

    done = [Deferred.fromCoroutine(work('k', name)) for name in 'ab'] + [Deferred.fromCoroutine(work('other', 'c'))]
    assert order == ['a', 'c']
    gates['a'].errback(ValueError('failed'))
    done[0].addErrback(lambda failure: failure.trap(ValueError))
    assert order == ['a', 'c', 'b']
    gates['b'].callback(None)
    gates['c'].callback(None)
    assert all(one.called for one in done)
    assert len(locks) == 0
