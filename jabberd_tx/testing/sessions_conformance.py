"""What every implementation of sessions.interface.SessionStore must do, as tests.

class MySessionsTests(SessionsConformance, TestCase):
    async def make_sessions(self): ...         # an empty store
    def advance(self, seconds): ...            # its clock
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jabberd_tx.storage.sessions.interface import Session, SessionStore, StaleEpoch
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _Base
else:
    _Base = object

JULIET = 'juliet@example.net'
NODE, INCARNATION = 'c2s-1', b'i' * 16


def session(
    resource: str, stream: int, epoch: int = 0, node: str = NODE, incarnation: bytes = INCARNATION, bare: str = JULIET
) -> Session:
    """A new record; streams are told apart by a number."""
    return Session(f'{bare}/{resource}', node, incarnation, stream.to_bytes(16, 'big'), epoch)


def jids(sessions: Sequence[Session]) -> list[str]:
    """The full JIDs, sorted."""
    return sorted([one.jid for one in sessions])


def _stream(number: int) -> bytes:
    return number.to_bytes(16, 'big')


class SessionsConformance(_Base):
    """Mix into a twisted.trial TestCase."""

    store: SessionStore

    async def make_sessions(self) -> SessionStore:
        """An empty one."""
        raise AssertionError('the test case must say how its store is made')

    def advance(self, seconds: float) -> None:
        """Let time go by for claims."""
        raise AssertionError('the test case must say how its clock is moved')

    async def setUp(self) -> None:  # type: ignore[override]
        """A store for each test."""
        self.store = await self.make_sessions()

    async def there(self, bare: str = JULIET) -> Sequence[Session]:
        """What the store says, all ways of asking compared."""
        found = await self.store.fetch(bare)
        peeked = self.store.peek(bare)
        if peeked is not None:
            self.assertEqual(jids(peeked), jids(found))
        many = await self.store.fetch_many([bare, 'nobody@example.net'])
        self.assertEqual(list(many), [bare] if found else [])
        self.assertEqual(jids(many.get(bare, ())), jids(found))
        return found

    # ---- open

    async def test_a_session_opened_is_found_with_all_it_has(self) -> None:
        """By user, and nobody has any before."""
        self.assertEqual(await self.there(), ())
        new = session('balcony', 1)
        new.presence, new.priority = Stanza('presence', {'from': new.jid}), 5
        new.interested, new.directed = True, frozenset(['romeo@example.net'])
        self.assertIsNone(await self.store.open(new, False))
        (found,) = await self.there()
        self.assertEqual((found.jid, found.bare, found.stream), (JULIET + '/balcony', JULIET, _stream(1)))
        self.assertEqual((found.node, found.incarnation, found.epoch), (NODE, INCARNATION, 0))
        self.assertEqual(found.presence, Stanza('presence', {'from': new.jid}))
        self.assertEqual((found.priority, found.interested, found.carbons), (5, True, False))
        self.assertEqual(found.directed, {'romeo@example.net'})
        self.assertEqual(self.store.count(), 1)

    async def test_users_and_resources_stand_apart(self) -> None:
        """Two of one user, one of another; fetch_many leaves out who has none."""
        for new in (session('a', 1), session('b', 2), session('a', 3, bare='romeo@example.net')):
            await self.store.open(new, False)
        self.assertEqual(jids(await self.there()), [JULIET + '/a', JULIET + '/b'])
        many = await self.store.fetch_many([JULIET, 'romeo@example.net', 'nurse@example.net'])
        self.assertEqual({bare: len(sessions) for bare, sessions in many.items()}, {JULIET: 2, 'romeo@example.net': 1})

    async def test_a_resource_in_use_is_refused_without_replace(self) -> None:
        """And nothing changes."""
        await self.store.open(session('a', 1), False)
        await self.assertFailure(self.store.open(session('a', 2), False), StaleEpoch)
        self.assertEqual([one.stream for one in await self.there()], [_stream(1)])
        self.assertEqual(self.store.count(), 1)

    async def test_a_resource_in_use_is_taken_with_replace(self) -> None:
        """The one that had it is gone and returned, whatever its epoch."""
        await self.store.open(session('a', 1, epoch=7), False)
        old = await self.store.open(session('a', 2), True)
        assert old is not None
        self.assertEqual((old.stream, old.epoch), (_stream(1), 7))
        self.assertEqual([one.stream for one in await self.there()], [_stream(2)])
        self.assertEqual([one.stream for one in await self.store.of_node(NODE, INCARNATION)], [_stream(2)])
        self.assertIsNone(await self.store.close(_stream(1), JULIET, 99))

    async def test_a_stream_moves_with_a_higher_epoch_and_keeps_its_state(self) -> None:
        """Another node takes it over; what the new record does not say stays."""
        first = session('a', 1)
        first.presence, first.priority, first.interested = Stanza('presence', {'id': '1'}), 3, True
        await self.store.open(first, False)
        self.assertIsNone(await self.store.open(session('a', 1, epoch=1, node='c2s-2'), False))
        (found,) = await self.there()
        self.assertEqual((found.node, found.epoch), ('c2s-2', 1))
        self.assertEqual((found.presence, found.priority, found.interested), (Stanza('presence', {'id': '1'}), 3, True))
        self.assertEqual(list(await self.store.of_node(NODE, INCARNATION)), [])
        self.assertEqual(len(await self.store.of_node('c2s-2', INCARNATION)), 1)
        self.assertEqual(self.store.count(), 1)

    async def test_a_stream_moves_with_its_flags_and_its_user_s_block_list(self) -> None:
        """A list that the new record brings counts, also an empty one; None is not known."""
        first = session('a', 1)
        first.carbons, first.block_pushes, first.blocked = True, True, frozenset(['romeo@example.net'])
        await self.store.open(first, False)
        await self.store.open(session('a', 1, epoch=1), False)
        (found,) = await self.there()
        self.assertEqual((found.carbons, found.block_pushes, found.blocked), (True, True, {'romeo@example.net'}))
        moved = session('a', 1, epoch=2)
        moved.blocked = frozenset()
        await self.store.open(moved, False)
        self.assertEqual([one.blocked for one in await self.there()], [frozenset()])
        changed = await self.store.update(_stream(1), JULIET, 2, blocked=frozenset(['x']), block_pushes=False)
        self.assertEqual((changed.blocked, changed.block_pushes), ({'x'}, False))
        self.assertIsNone(session('b', 2).blocked)

    async def test_a_move_may_bring_a_newer_presence(self) -> None:
        """Then that one counts."""
        first = session('a', 1)
        first.presence, first.priority = Stanza('presence', {'id': '1'}), 3
        await self.store.open(first, False)
        moved = session('a', 1, epoch=1)
        moved.presence, moved.priority = Stanza('presence', {'id': '2'}), -1
        await self.store.open(moved, False)
        (found,) = await self.there()
        self.assertEqual((found.presence, found.priority), (Stanza('presence', {'id': '2'}), -1))

    async def test_a_stream_does_not_move_back(self) -> None:
        """A lower epoch is refused, and the same one from elsewhere, replace or not."""
        await self.store.open(session('a', 1, epoch=2), False)
        for late in (session('a', 1, epoch=1), session('a', 1, epoch=2, node='c2s-2')):
            for replace in (False, True):
                await self.assertFailure(self.store.open(late, replace), StaleEpoch)
        (found,) = await self.there()
        self.assertEqual((found.node, found.epoch), (NODE, 2))

    async def test_opening_again_is_a_repeat(self) -> None:
        """The same stream, node and epoch: no refusal, no second session."""
        await self.store.open(session('a', 1), False)
        self.assertIsNone(await self.store.open(session('a', 1), False))
        self.assertEqual(len(await self.there()), 1)
        self.assertEqual((self.store.count(), len(await self.store.of_node(NODE, INCARNATION))), (1, 1))

    # ---- update

    async def test_update_sets_and_returns_the_session(self) -> None:
        """One session of several; one that was given out before stays as it was."""
        await self.store.open(session('a', 1), False)
        await self.store.open(session('b', 2), False)
        before = {one.jid: one for one in await self.there()}
        available = Stanza('presence', {})
        new = await self.store.update(_stream(1), JULIET, 0, presence=available, priority=0, carbons=True)
        self.assertEqual((new.presence, new.priority, new.carbons), (available, 0, True))
        after = {one.jid: one for one in await self.there()}
        self.assertEqual((after[JULIET + '/a'].priority, after[JULIET + '/b'].priority), (0, None))
        self.assertIsNone(before[JULIET + '/a'].priority)
        gone = await self.store.update(_stream(1), JULIET, 0, presence=None, priority=None)
        self.assertEqual((gone.presence, gone.priority, gone.carbons), (None, None, True))

    async def test_update_is_refused_where_the_session_moved_on_or_is_gone(self) -> None:
        """StaleEpoch.  A higher epoch than the session's is taken, and becomes the one that counts."""
        await self.assertFailure(self.store.update(_stream(1), JULIET, 0, priority=1), StaleEpoch)
        await self.store.open(session('a', 1, epoch=3), False)
        await self.assertFailure(self.store.update(_stream(1), JULIET, 2, priority=1), StaleEpoch)
        self.assertIsNone((await self.there())[0].priority)
        self.assertEqual((await self.store.update(_stream(1), JULIET, 4, priority=1)).priority, 1)
        await self.assertFailure(self.store.update(_stream(1), JULIET, 3, priority=2), StaleEpoch)
        self.assertEqual([(one.priority, one.epoch) for one in await self.there()], [(1, 4)])
        await self.assertFailure(self.store.update(_stream(2), JULIET, 9, priority=1), StaleEpoch)

    async def test_update_never_changes_who_a_session_is(self) -> None:
        """Nor sets what a session has not; both say so."""
        await self.store.open(session('a', 1), False)
        await self.assertFailure(self.store.update(_stream(1), JULIET, 0, jid='x@y/z'), ValueError)
        await self.assertFailure(self.store.update(_stream(1), JULIET, 0, colour='red'), AttributeError)
        self.assertEqual(jids(await self.there()), [JULIET + '/a'])

    async def test_directed_presence_is_added_and_dropped_by_several_at_a_time(self) -> None:
        """Each change is made to what is there by then, and what was given out before stays as it was."""
        await self.store.open(session('a', 1, epoch=1), False)
        (before,) = await self.there()
        await self.store.direct(_stream(1), JULIET, 1, add=['romeo@example.net', 'nurse@example.net/n'])
        await self.store.direct(_stream(1), JULIET, 1, add=['tybalt@example.net'], drop=['nobody@example.net'])
        changed = await self.store.direct(_stream(1), JULIET, 1, drop=['romeo@example.net'])
        self.assertEqual(changed.directed, {'nurse@example.net/n', 'tybalt@example.net'})
        self.assertEqual([one.directed for one in await self.there()], [changed.directed])
        self.assertEqual(before.directed, frozenset())

    async def test_directed_presence_of_a_session_that_moved_on_or_is_gone_is_not_changed(self) -> None:
        """StaleEpoch, as for every update."""
        await self.assertFailure(self.store.direct(_stream(1), JULIET, 0, add=['romeo@example.net']), StaleEpoch)
        await self.store.open(session('a', 1, epoch=2), False)
        await self.assertFailure(self.store.direct(_stream(1), JULIET, 1, add=['romeo@example.net']), StaleEpoch)
        self.assertEqual([one.directed for one in await self.there()], [frozenset()])

    async def test_update_may_move_a_session_to_another_node(self) -> None:
        """of_node follows."""
        await self.store.open(session('a', 1), False)
        await self.store.update(_stream(1), JULIET, 1, node='c2s-2')
        self.assertEqual(list(await self.store.of_node(NODE, INCARNATION)), [])
        (found,) = await self.store.of_node('c2s-2', INCARNATION)
        self.assertEqual((found.jid, found.epoch), (JULIET + '/a', 1))

    # ---- close

    async def test_close_removes_and_returns_the_session(self) -> None:
        """As it was last; closing again returns None."""
        await self.store.open(session('a', 1), False)
        await self.store.open(session('b', 2), False)
        await self.store.update(_stream(1), JULIET, 0, priority=9)
        closed = await self.store.close(_stream(1), JULIET, 0)
        assert closed is not None
        self.assertEqual((closed.jid, closed.priority), (JULIET + '/a', 9))
        self.assertIsNone(await self.store.close(_stream(1), JULIET, 0))
        self.assertEqual(jids(await self.there()), [JULIET + '/b'])
        await self.store.close(_stream(2), JULIET, 0)
        self.assertEqual(await self.there(), ())
        self.assertEqual((self.store.count(), list(await self.store.of_node(NODE, INCARNATION))), (0, []))

    async def test_close_leaves_a_session_that_moved_on(self) -> None:
        """None, and it stays."""
        await self.store.open(session('a', 1, epoch=1), False)
        self.assertIsNone(await self.store.close(_stream(1), JULIET, 0))
        self.assertEqual(len(await self.there()), 1)

    # ---- of_node

    async def test_of_node_tells_one_start_of_a_node_from_another(self) -> None:
        """All sessions of that incarnation, of all users; none of others."""
        await self.store.open(session('a', 1), False)
        await self.store.open(session('a', 2, bare='romeo@example.net'), False)
        await self.store.open(session('b', 3, incarnation=b'j' * 16), False)
        await self.store.open(session('c', 4, node='c2s-2'), False)
        held = await self.store.of_node(NODE, INCARNATION)
        self.assertEqual(jids(held), [JULIET + '/a', 'romeo@example.net/a'])
        self.assertEqual(jids(await self.store.of_node(NODE, b'j' * 16)), [JULIET + '/b'])
        self.assertEqual(list(await self.store.of_node('c2s-3', INCARNATION)), [])

    async def test_nodes_are_those_that_hold_sessions(self) -> None:
        """Each start of one by itself; the last session to go takes its node along."""
        self.assertEqual(list(await self.store.nodes()), [])
        await self.store.open(session('a', 1), False)
        await self.store.open(session('b', 2, incarnation=b'/' * 16), False)
        await self.store.open(session('a', 3, bare='romeo@example.net'), False)
        both = {(NODE, INCARNATION), (NODE, b'/' * 16)}
        self.assertEqual(set(await self.store.nodes()), both)
        await self.store.close(_stream(3), 'romeo@example.net', 0)
        self.assertEqual(set(await self.store.nodes()), both)
        await self.store.update(_stream(1), JULIET, 1, node='c2s-2')
        self.assertEqual(set(await self.store.nodes()), {('c2s-2', INCARNATION), (NODE, b'/' * 16)})
        await self.store.close(_stream(2), JULIET, 0)
        self.assertEqual(list(await self.store.nodes()), [('c2s-2', INCARNATION)])

    # ---- claims

    async def test_a_claim_is_one_s_until_it_is_released(self) -> None:
        """For each user and purpose; releasing what nobody has, or somebody else, is no error and changes nothing."""
        claim, release = self.store.claim, self.store.release
        self.assertEqual(await claim(JULIET, 'flush', 'one', 30), 'one')
        self.assertEqual(await claim(JULIET, 'flush', 'two', 30), 'one')
        self.assertEqual(await claim(JULIET, 'other', 'two', 30), 'two')
        self.assertEqual(await claim('romeo@example.net', 'flush', 'two', 30), 'two')
        await release(JULIET, 'flush', 'two')
        self.assertEqual(await claim(JULIET, 'flush', 'two', 30), 'one')
        await release(JULIET, 'flush', 'one')
        await release(JULIET, 'flush', 'one')
        self.assertEqual(await claim(JULIET, 'flush', 'two', 30), 'two')

    async def test_a_claim_runs_out(self) -> None:
        """After its seconds, not before; one refused does not make it longer, one claimed again does."""
        await self.store.claim(JULIET, 'flush', 'one', 30)
        self.advance(29)
        self.assertEqual(await self.store.claim(JULIET, 'flush', 'two', 60), 'one')
        self.assertEqual(await self.store.claim(JULIET, 'flush', 'one', 30), 'one')
        self.advance(29)
        self.assertEqual(await self.store.claim(JULIET, 'flush', 'two', 60), 'one')
        self.advance(1.5)
        self.assertEqual(await self.store.claim(JULIET, 'flush', 'two', 60), 'two')

    async def test_a_claim_is_taken_from_a_holder_that_is_gone(self) -> None:
        """From the very one that is named, and from no other who has come meanwhile."""
        claim = self.store.claim
        await claim(JULIET, 'flush', 'gone', 30)
        self.assertEqual(await claim(JULIET, 'flush', 'one', 30, 'gone'), 'one')
        self.assertEqual(await claim(JULIET, 'flush', 'two', 30, 'gone'), 'one')

    # ---- what comes back

    async def test_returns_are_expected_of_a_user_until_all_streams_have_had_theirs(self) -> None:
        """Of that user alone; to say that nothing comes of a stream of which nothing was expected is no error."""
        expected, returned = self.store.returns_expected, self.store.returned
        self.assertIs(await expected(JULIET), False)
        await returned(JULIET, _stream(1))
        for number in (1, 2):
            await self.store.expect_returns(JULIET, _stream(number), 30)
        self.assertIs(await expected(JULIET), True)
        self.assertIs(await expected('romeo@example.net'), False)
        await returned(JULIET, _stream(1))
        self.assertIs(await expected(JULIET), True)
        await returned(JULIET, _stream(2))
        self.assertIs(await expected(JULIET), False)

    async def test_returns_are_expected_for_so_long(self) -> None:
        """Whoever expects them once more expects them from then on."""
        await self.store.expect_returns(JULIET, _stream(1), 30)
        self.advance(20)
        await self.store.expect_returns(JULIET, _stream(1), 30)
        self.advance(29)
        self.assertIs(await self.store.returns_expected(JULIET), True)
        self.advance(1.5)
        self.assertIs(await self.store.returns_expected(JULIET), False)
