"""What nobody has fetched in time is dropped by and by, also where nobody ever comes for it."""

from __future__ import annotations

from jabberd_tx.components.sm.offline_sweep import EVERY_SECONDS, MORE_SECONDS, MOST
from tests.components.sm.sm_support import DOMAIN, Site
from tests.components.sm.test_sm_offline import SlowStorage, stored

JULIET, NURSE = f'juliet@{DOMAIN}', f'nurse@{DOMAIN}'
DAY = 86_400.0


def expiring(days: int, storage: SlowStorage | None = None) -> Site:
    site = Site(storage=storage)
    site.clock.advance(365 * DAY)
    site.sm.modules.by_name['offline'].values.expire = days
    return site


def test_messages_of_all_users_are_dropped_when_they_are_too_old() -> None:
    site = expiring(10)
    romeo = site.c2s().client('romeo')
    for to in (JULIET, NURSE):
        romeo.chat(to, 'old')
    site.quiet()
    site.clock.advance(9 * DAY)
    romeo.chat(JULIET, 'newer')
    site.quiet()
    assert (stored(site), stored(site, NURSE)) == (['old', 'newer'], ['old'])
    site.clock.advance(DAY)
    site.clock.advance(1.5 * EVERY_SECONDS)
    site.quiet()
    assert (stored(site), stored(site, NURSE)) == (['newer'], [])


def test_without_a_time_nothing_is_dropped_and_an_operator_may_set_one_later() -> None:
    site = expiring(0)
    site.c2s().client('romeo').chat(JULIET, 'old')
    site.quiet()
    for _ in range(3):
        site.clock.advance(100 * DAY)
    assert stored(site) == ['old']
    site.sm.modules.by_name['offline'].values.expire = 10
    site.clock.advance(1.5 * EVERY_SECONDS)
    site.quiet()
    assert stored(site) == []


def test_so_many_are_dropped_in_one_go_and_the_rest_soon_after() -> None:
    site = expiring(1)
    romeo = site.c2s().client('romeo')
    for n in range(MOST + 1):
        romeo.chat(JULIET if n % 2 else NURSE, f'm{n}')
        site.settle()
    site.clock.advance(DAY + 1)
    if len(stored(site)) + len(stored(site, NURSE)) > MOST:
        site.clock.advance(1.5 * EVERY_SECONDS)
    assert len(stored(site)) + len(stored(site, NURSE)) == 1
    site.clock.advance(1.5 * MORE_SECONDS)
    assert stored(site) == stored(site, NURSE) == []


def test_while_storage_fails_they_stay_and_are_looked_for_again() -> None:
    site = expiring(1)
    site.c2s().client('romeo').chat(JULIET, 'old')
    site.quiet()
    site.storage.broken = 'out of order'
    site.clock.advance(2 * DAY)
    site.storage.broken = None
    assert stored(site) == ['old']
    site.clock.advance(1.5 * EVERY_SECONDS)
    assert stored(site) == []


def test_a_session_manager_that_has_stopped_looks_no_more() -> None:
    storage = SlowStorage()
    site = expiring(1, storage)
    storage.slow = {'offline.sweep'}
    site.clock.advance(1.5 * EVERY_SECONDS)
    assert len(storage.waiting) == 1
    site.sm.modules.stop()
    storage.answer()
    site.clock.advance(10 * DAY)
    assert not storage.waiting
