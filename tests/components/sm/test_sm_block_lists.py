"""Block lists at hand: from session records, from a bounded cache, from storage; and kept right."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from jabberd_tx.components.sm.block_lists import TRUSTED_SECONDS, BlockLists
from jabberd_tx.storage import blocks
from jabberd_tx.storage.operations import Operation
from jabberd_tx.testing.network import Recorder
from jabberd_tx.testing.storage import ImmediateStorage
from tests.components.sm.sm_support import DOMAIN, Site
from tests.components.sm.test_sm_blocking import block, module
from tests.components.sm.test_sm_offline import SlowStorage

JULIET, TYBALT, NURSE = (f'{name}@{DOMAIN}' for name in ('juliet', 'tybalt', 'nurse'))


class CountingStorage(ImmediateStorage):
    """Notes of whom block lists were read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    def run(self, operation: Operation, owner: str, *arguments: Any) -> Deferred[Any]:
        if operation is blocks.get:
            self.read.append(owner)
        return super().run(operation, owner, *arguments)


def made(most: int = 3) -> tuple[Site, BlockLists, CountingStorage]:
    storage = CountingStorage()
    site = Site(storage=storage)
    return site, BlockLists(site.sm, lambda: most), storage


def got(lists: BlockLists, owner: str) -> set[str]:
    return set(Deferred.fromCoroutine(lists.get(owner)).result)  # type: ignore[arg-type]


def test_a_list_is_read_once_while_nobody_else_can_change_it() -> None:
    """However long ago that was."""
    site, lists, storage = made()
    storage.run(blocks.add, JULIET, [TYBALT], 9)
    assert lists.peek(JULIET) is None
    assert got(lists, JULIET) == lists.peek(JULIET) == {TYBALT}
    site.advance(TRUSTED_SECONDS * 100)
    assert (got(lists, JULIET), got(lists, NURSE), got(lists, NURSE)) == ({TYBALT}, set(), set())
    assert storage.read == [JULIET, NURSE]


def test_only_so_many_are_kept() -> None:
    """Those that were used last."""
    _, lists, storage = made(most=2)
    for owner in ('a@x', 'b@x', 'a@x', 'c@x', 'a@x', 'b@x'):
        got(lists, owner)
    assert storage.read == ['a@x', 'b@x', 'c@x', 'b@x']
    assert len(lists) == 2


def test_with_another_sm_a_list_is_trusted_for_a_while() -> None:
    """One for a session record never: there it stays."""
    site, lists, storage = made()
    other = Recorder(site.network.links('sm-2'))
    other.links.bind(DOMAIN, 'to')
    site.settle()
    assert not site.sm.is_alone()
    got(lists, JULIET)
    storage.run(blocks.add, JULIET, [TYBALT], 9)
    site.advance(TRUSTED_SECONDS / 2)
    assert got(lists, JULIET) == set()
    assert set(Deferred.fromCoroutine(lists.for_record(JULIET)).result) == {TYBALT}  # type: ignore[arg-type]
    storage.run(blocks.clear, JULIET)
    site.advance(TRUSTED_SECONDS + 0.1)
    assert got(lists, JULIET) == set()


def test_when_another_sm_comes_nothing_is_trusted() -> None:
    storage = CountingStorage()
    site = Site(storage=storage)
    tybalt = site.c2s().client('tybalt')
    for number in range(2):
        tybalt.chat(JULIET, f'm{number}')
        site.quiet()
    assert storage.read.count(JULIET) == 1
    storage.run(blocks.add, JULIET, [TYBALT], 9)
    site.sm.hooks.tell('peers_changed', DOMAIN)
    tybalt.chat(JULIET, 'm2')
    site.quiet()
    assert tybalt.bodies() == ['error:m2']


def test_a_list_for_a_record_waits_for_a_change_that_is_under_way() -> None:
    """And a change is told of before the next one begins."""
    storage = SlowStorage()
    site = Site(storage=storage)
    other = Recorder(site.network.links('sm-2'))
    other.links.bind(DOMAIN, 'to')
    site.settle()
    lists = BlockLists(site.sm, lambda: 3)
    told: list[Any] = []
    storage.slow = {'blocks.add', 'blocks.clear'}
    for operation, arguments in ((blocks.add, ([TYBALT], 9)), (blocks.clear, ())):
        Deferred.fromCoroutine(lists.change(JULIET, operation, arguments, lambda: told.append(lists.peek(JULIET))))
    asked = Deferred.fromCoroutine(lists.for_record(JULIET))
    storage.answer()
    assert (told, asked.called) == ([{TYBALT}], False)
    storage.answer()
    assert told == [{TYBALT}, frozenset()]
    assert asked.result == frozenset()


def test_a_record_that_was_made_with_an_old_list_is_put_right_when_the_session_has_started() -> None:
    """As when the store was slower than the change."""
    site = Site()
    c2s = site.c2s()
    juliet = c2s.client('juliet', 'here')
    block(juliet, TYBALT)
    phone = c2s.client('juliet', 'phone', come=False)
    site.sessions.update(phone.stream, JULIET, 0, blocked=frozenset())
    (old,) = [one for one in site.sessions.peek(JULIET) if one.stream == phone.stream]
    site.sm.hooks.tell('session_started', old)
    site.settle()
    assert {session.blocked for session in site.sessions.peek(JULIET)} == {frozenset((TYBALT,))}


def test_a_user_s_records_have_the_list_after_the_sm_was_away() -> None:
    """It is read anew when their c2s tells of them."""
    site = Site()
    c2s = site.c2s()
    juliet, tybalt = c2s.client('juliet'), c2s.client('tybalt')
    block(juliet, TYBALT)
    for session in list(site.sessions.peek(JULIET)):
        site.sessions.close(session.stream, JULIET, 9)
    module(site)._lists.forget_all()
    c2s.attach_again(juliet, '<presence/>')
    site.settle()
    assert [session.blocked for session in site.sessions.peek(JULIET)] == [{TYBALT}]
    tybalt.chat(juliet.jid, 'm')
    site.settle()
    assert tybalt.bodies() == ['error:m']
