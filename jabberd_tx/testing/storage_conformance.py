"""What every implementation of operations.Storage must do, as tests.

class MyStorageTests(StorageConformance, TestCase):
    async def make_storage(self): ...          # started and empty; the suite stops it
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import DeferredList, gatherResults

from jabberd_tx.storage import accounts, fast_tokens, offline, rosters
from jabberd_tx.storage.offline import FULL, REPEAT, STORED, Stored
from jabberd_tx.storage.operations import Storage, StorageError
from jabberd_tx.storage.roster_versions import MOST_REMOVED
from jabberd_tx.storage.rosters import Change, Item
from jabberd_tx.testing.block_conformance import BlockConformance
from jabberd_tx.testing.invite_conformance import InviteConformance
from jabberd_tx.testing.profile_conformance import ProfileConformance
from jabberd_tx.testing.token_conformance import TokenConformance
from jabberd_tx.xmpp.sasl.verifiers import Credentials, Verifier

JULIET, ROMEO = 'juliet@example.net', 'romeo@example.net'


def credentials_of(seed: bytes) -> Credentials:
    """Verifiers that differ by the seed (no password has them)."""
    return {
        'SCRAM-SHA-1': Verifier(seed * 4, 4096, seed * 5, seed * 6),
        'SCRAM-SHA-512': Verifier(seed + b'\0\xff', 10_000, b'\0' * 64, seed),
    }


def uid_of(number: int) -> bytes:
    """A uid: stream id, number."""
    return b'S' * 16 + number.to_bytes(8, 'big')


class StorageConformance(ProfileConformance, TokenConformance, InviteConformance, BlockConformance):
    """Mix into a twisted.trial TestCase."""

    storage: Storage

    async def make_storage(self) -> Storage:
        """A started, empty one."""
        raise AssertionError('the test case must say how its storage is made')

    async def setUp(self) -> None:  # type: ignore[override]
        """A storage for each test."""
        self.storage = await self.make_storage()
        self.addCleanup(self.storage.stop)
        self.run_ = self.storage.run

    async def refused(self, *call: Any) -> StorageError:
        """The StorageError that the call fails with."""
        error: StorageError = await self.assertFailure(self.run_(*call), StorageError)
        return error

    # ---- accounts

    async def test_credentials_come_back_as_they_were_put(self) -> None:
        """Mechanisms, salts, iterations and keys; None for who has no account."""
        self.assertIs(await self.run_(accounts.put, JULIET, credentials_of(b'j')), True)
        self.assertEqual(await self.run_(accounts.credentials, JULIET), credentials_of(b'j'))
        self.assertIsInstance((await self.run_(accounts.credentials, JULIET))['SCRAM-SHA-1'], Verifier)
        self.assertIsNone(await self.run_(accounts.credentials, ROMEO))

    async def test_put_changes_an_account_that_is_there(self) -> None:
        """And says that it is not new."""
        await self.run_(accounts.put, JULIET, credentials_of(b'j'))
        self.assertIs(await self.run_(accounts.put, JULIET, credentials_of(b'k')), False)
        self.assertEqual(await self.run_(accounts.credentials, JULIET), credentials_of(b'k'))

    async def test_add_makes_only_and_change_changes_only(self) -> None:
        """Each says whether it did, and leaves the account alone otherwise."""
        self.assertIs(await self.run_(accounts.change, JULIET, credentials_of(b'a')), False)
        self.assertIs(await self.run_(accounts.exists, JULIET), False)
        self.assertIs(await self.run_(accounts.add, JULIET, credentials_of(b'b')), True)
        self.assertIs(await self.run_(accounts.add, JULIET, credentials_of(b'c')), False)
        self.assertEqual(await self.run_(accounts.credentials, JULIET), credentials_of(b'b'))
        self.assertIs(await self.run_(accounts.change, JULIET, credentials_of(b'd')), True)
        self.assertIs(await self.run_(accounts.change, JULIET, credentials_of(b'd')), True)
        self.assertEqual(await self.run_(accounts.credentials, JULIET), credentials_of(b'd'))

    async def test_an_account_is_extended_while_it_is_as_it_was(self) -> None:
        """By verifiers of further mechanisms: those that it has stay, as do its tokens."""
        had, more = credentials_of(b'j'), {'SCRAM-SHA-256': credentials_of(b'k')['SCRAM-SHA-1']}
        self.assertIs(await self.run_(accounts.extend, JULIET, had, more), False)
        await self.run_(accounts.put, JULIET, had)
        await self.run_(fast_tokens.give, JULIET, 'phone', 'HT-SHA-256-NONE', b'1', 100.0, 1.0)
        self.assertIs(await self.run_(accounts.extend, JULIET, credentials_of(b'x'), more), False)
        self.assertEqual(await self.run_(accounts.credentials, JULIET), had)
        self.assertIs(await self.run_(accounts.extend, JULIET, had, {**more, **credentials_of(b'y')}), True)
        self.assertEqual(await self.run_(accounts.credentials, JULIET), {**had, **more})
        self.assertIs(await self.run_(accounts.extend, JULIET, had, more), False)
        self.assertEqual(len(await self.run_(fast_tokens.of_client, JULIET, 'phone')), 1)

    async def test_page_goes_through_one_domain_in_order(self) -> None:
        """Page by page, nobody twice, nobody of another domain."""
        names = [f'user{number:02}@example.net' for number in range(25)]
        pairs = [(name, credentials_of(b'x')) for name in reversed(names)]
        self.assertEqual(await self.run_(accounts.put_many, 'example.net', pairs), 25)
        await self.run_(accounts.put, 'user03@sub.example.net', credentials_of(b'x'))
        seen: list[str] = []
        while page := await self.run_(accounts.page, 'example.net', seen[-1] if seen else '', 10):
            self.assertLessEqual(len(page), 10)
            seen += page
        self.assertEqual(seen, names)
        self.assertEqual(await self.run_(accounts.page, 'net', '', 10), [])

    async def test_put_many_counts_who_is_new(self) -> None:
        """Those who are not get the new password."""
        await self.run_(accounts.put, JULIET, credentials_of(b'j'))
        pairs = [(JULIET, credentials_of(b'k')), (ROMEO, credentials_of(b'r'))]
        self.assertEqual(await self.run_(accounts.put_many, 'example.net', pairs), 1)
        self.assertEqual(await self.run_(accounts.credentials, JULIET), credentials_of(b'k'))

    async def test_a_failed_operation_leaves_nothing_behind(self) -> None:
        """Not even what it had done before it failed; those asked before and after it stand."""
        too_long = 'x' * 1100 + '@example.net'
        before = self.run_(accounts.put, JULIET, credentials_of(b'j'))
        bad = self.refused(
            accounts.put_many, 'example.net', [(ROMEO, credentials_of(b'r')), (too_long, credentials_of(b'r'))]
        )
        await bad
        after = self.run_(accounts.put, 'nurse@example.net', credentials_of(b'n'))
        self.assertEqual(await gatherResults([before, after]), [True, True])
        self.assertEqual(await self.run_(accounts.page, 'example.net', '', 9), [JULIET, 'nurse@example.net'])

    async def test_remove_takes_everything_of_the_account(self) -> None:
        """Its roster and its offline messages go with it, others' stay."""
        for owner in (JULIET, ROMEO):
            await self.run_(accounts.put, owner, credentials_of(b'j'))
            await self.run_(rosters.put, owner, Item('nurse@example.net'))
            await self.run_(offline.push, owner, uid_of(1), b'stanza', 1.0, 9)
        self.assertIs(await self.run_(accounts.remove, JULIET), True)
        self.assertIs(await self.run_(accounts.remove, JULIET), False)
        self.assertIs(await self.run_(accounts.exists, JULIET), False)
        self.assertEqual(await self.run_(rosters.get, JULIET), [])
        self.assertEqual(await self.run_(offline.count, JULIET), 0)
        self.assertIs(await self.run_(accounts.exists, ROMEO), True)
        self.assertEqual(len(await self.run_(rosters.get, ROMEO)), 1)
        self.assertEqual(await self.run_(offline.count, ROMEO), 1)

    async def test_cancel_removes_as_well_and_says_what_the_roster_was(self) -> None:
        """Also when it was empty; None when there is no account."""
        for owner, items in ((JULIET, [Item('nurse@example.net', '', 'both'), Item(ROMEO, '', 'to')]), (ROMEO, [])):
            await self.run_(accounts.put, owner, credentials_of(b'j'))
            for item in items:
                await self.run_(rosters.put, owner, item)
            self.assertEqual(await self.run_(accounts.cancel, owner), items)
            self.assertIsNone(await self.run_(accounts.cancel, owner))
            self.assertIs(await self.run_(accounts.exists, owner), False)
            self.assertEqual(await self.run_(rosters.get, owner), [])

    async def test_jids_compare_by_their_bytes(self) -> None:
        """Case, accents, trailing spaces and zero bytes are no collation's business; prepared JIDs of any script."""
        owners = ['a@example.net', 'A@example.net', 'ä@example.net', 'a @example.net', 'ジュリエット@example.net']
        for number, owner in enumerate(owners):
            self.assertIs(await self.run_(accounts.put, owner, credentials_of(bytes([number]))), True)
        for number, owner in enumerate(owners):
            self.assertEqual(await self.run_(accounts.credentials, owner), credentials_of(bytes([number])))
        self.assertEqual(
            await self.run_(accounts.page, 'example.net', '', 9), sorted(owners, key=lambda owner: owner.encode())
        )

    # ---- rosters

    async def test_items_come_back_as_they_were_put_by_jid(self) -> None:
        """With names and groups of any text, all flags, and the request that waits."""
        items = [
            Item('mercutio@example.org', "Merc'utio 🗡", 'both', False, False, True, ('Friends', 'Zürich, "x"', 'a\nb')),
            Item('nurse@example.net', '', 'none', True),
            Item('tybalt@example.org', 'T', 'to', False, True, False, (), b'\x84\0packed\xff'),
            Item('x' * 1000 + '@' + 'y' * 1000, 'long', 'from'),
        ]
        for item in reversed(items):
            self.assertEqual(await self.run_(rosters.put, JULIET, item), '')
        found = await self.run_(rosters.get, JULIET)
        self.assertEqual(found, items)
        self.assertEqual([type(item) for item in found], [Item] * 4)
        self.assertEqual(await self.run_(rosters.get, ROMEO), [])

    async def test_put_replaces_the_item_of_that_contact(self) -> None:
        """And of no other owner."""
        for owner in (JULIET, ROMEO):
            await self.run_(rosters.put, owner, Item('nurse@example.net', 'Nurse', 'both', groups=('A',)))
        changed = Item('nurse@example.net', 'N', 'to', ask=True)
        await self.run_(rosters.put, JULIET, changed)
        await self.run_(rosters.put, JULIET, changed)
        self.assertEqual(await self.run_(rosters.get, JULIET), [changed])
        self.assertEqual((await self.run_(rosters.get, ROMEO))[0].name, 'Nurse')

    async def test_remove_says_whether_there_was_an_item(self) -> None:
        """Others' items with that contact stay."""
        for owner in (JULIET, ROMEO):
            await self.run_(rosters.put, owner, Item('nurse@example.net'))
        self.assertEqual(await self.run_(rosters.remove, JULIET, 'nurse@example.net'), '')
        self.assertIsNone(await self.run_(rosters.remove, JULIET, 'nurse@example.net'))
        self.assertEqual(await self.run_(rosters.get, JULIET), [])
        self.assertEqual(len(await self.run_(rosters.get, ROMEO)), 1)

    # ---- roster versions

    async def test_changes_that_clients_see_count_a_roster_s_version_up(self) -> None:
        """From the first one on, in the era that it brought; others don't; each owner has versions of its own."""
        put, load = rosters.put, rosters.load
        self.assertEqual(await self.run_(load, JULIET), ('0', []))
        self.assertEqual(await self.run_(put, JULIET, Item('nurse@example.net'), 'e'), 'e.1')
        self.assertEqual(await self.run_(put, JULIET, Item('nurse@example.net', 'N'), 'f'), 'e.2')
        self.assertEqual(await self.run_(put, JULIET, Item('tybalt@example.net', subscription='', pending_in=True)), '')
        self.assertEqual(await self.run_(rosters.remove, JULIET, 'tybalt@example.net'), '')
        self.assertEqual(await self.run_(rosters.remove, JULIET, 'nurse@example.net', 'g'), 'e.3')
        self.assertIsNone(await self.run_(rosters.remove, JULIET, 'nurse@example.net', 'h'))
        self.assertEqual(await self.run_(load, JULIET), ('e.3', []))
        self.assertEqual(await self.run_(put, ROMEO, Item('nurse@example.net'), 'r'), 'r.1')
        self.assertEqual(await self.run_(load, ROMEO), ('r.1', [Item('nurse@example.net')]))

    async def test_what_has_changed_since_a_version_is_told_once_for_each_contact_in_order(self) -> None:
        """As it came to be last; who waits for an answer and is not in the roster is nobody's business."""
        one, two, three = [Item(f'{name}@example.net') for name in ('one', 'two', 'three')]
        for item in (one, two, three):
            await self.run_(rosters.put, JULIET, item, 'e')
        named = one._replace(name='One', subscription='both')
        await self.run_(rosters.put, JULIET, named, 'e')
        await self.run_(rosters.remove, JULIET, two.jid, 'e')
        await self.run_(rosters.put, JULIET, named._replace(pending_in=True))
        await self.run_(rosters.put, JULIET, Item('tybalt@example.net', subscription='', pending_in=True))
        changes = rosters.changes
        changed = [Change(one.jid, named._replace(pending_in=True), 'e.4'), Change(two.jid, None, 'e.5')]
        self.assertEqual(await self.run_(changes, JULIET, 'e.3'), changed)
        self.assertEqual(await self.run_(changes, JULIET, 'e.2'), [Change(three.jid, three, 'e.3'), *changed])
        self.assertEqual(await self.run_(changes, JULIET, 'e.5'), [])
        await self.run_(rosters.put, JULIET, two, 'e')
        self.assertEqual(await self.run_(changes, JULIET, 'e.5'), [Change(two.jid, two, 'e.6')])

    async def test_a_version_that_never_was_tells_nothing(self) -> None:
        """Of another era, of the future, of no such form; and of an account whose name has a new owner."""
        for _ in range(2):
            await self.run_(rosters.put, JULIET, Item('nurse@example.net'), 'e')
        for version in ('', '0', 'e', 'e.', 'e.0', 'e.3', 'e.-1', 'e.1x', 'e.\u0661', 'e.' + '9' * 30, 'f.1', '.1'):
            self.assertIsNone(await self.run_(rosters.changes, JULIET, version), version)
        await self.run_(accounts.remove, JULIET)
        self.assertEqual(await self.run_(rosters.load, JULIET), ('0', []))
        await self.run_(rosters.put, JULIET, Item('nurse@example.net'), 'f')
        self.assertIsNone(await self.run_(rosters.changes, JULIET, 'e.1'))

    async def test_so_many_removed_contacts_are_remembered_and_no_more(self) -> None:
        """Versions from before the oldest of them tell nothing."""
        count = MOST_REMOVED + 2
        for number in range(count):
            await self.run_(rosters.put, JULIET, Item(f'u{number}@example.net'), 'e')
        for number in range(count):
            await self.run_(rosters.remove, JULIET, f'u{number}@example.net', 'e')
        self.assertIsNone(await self.run_(rosters.changes, JULIET, f'e.{count + 1}'))
        told = await self.run_(rosters.changes, JULIET, f'e.{count + 2}')
        self.assertEqual([change.jid for change in told], [f'u{number}@example.net' for number in range(2, count)])

    # ---- offline messages

    async def test_messages_wait_in_order_and_page_by_page(self) -> None:
        """In the order they were pushed, whatever their uids and times say."""
        numbers = [5, 3, 9, 1, 7]
        for number in numbers:
            pushed = await self.run_(offline.push, JULIET, uid_of(number), bytes([number]), 100.25 - number, 10)
            self.assertEqual(pushed, STORED)
        first = await self.run_(offline.page, JULIET, 0, 3)
        rest = await self.run_(offline.page, JULIET, first[-1][0], 3)
        self.assertEqual(
            [stored for _, stored in first + rest], [Stored(uid_of(n), bytes([n]), 100.25 - n) for n in numbers]
        )
        positions = [position for position, _ in first + rest]
        self.assertEqual(positions, sorted(set(positions)))
        self.assertEqual(await self.run_(offline.page, JULIET, rest[-1][0], 3), [])
        self.assertEqual(await self.run_(offline.page, ROMEO, 0, 3), [])

    async def test_a_uid_is_stored_once_for_each_owner(self) -> None:
        """A repeat is told as one, also when there is no room left; another owner may have the same uid."""
        push = offline.push
        self.assertEqual(await self.run_(push, JULIET, uid_of(1), b'one', 1.0, 1), STORED)
        self.assertEqual(await self.run_(push, JULIET, uid_of(1), b'again', 2.0, 1), REPEAT)
        self.assertEqual(await self.run_(push, ROMEO, uid_of(1), b'one', 1.0, 1), STORED)
        self.assertEqual(
            [stored for _, stored in await self.run_(offline.page, JULIET, 0, 9)], [Stored(uid_of(1), b'one', 1.0)]
        )

    async def test_the_limit_holds_for_pushes_at_once(self) -> None:
        """Of ten in flight with room for four, four are stored, the first asked; dropping one makes room for one."""
        pushes = [self.run_(offline.push, JULIET, uid_of(number), b'm', 1.0, 4) for number in range(10)]
        self.assertEqual(sorted(await gatherResults(pushes)), [FULL] * 6 + [STORED] * 4)
        self.assertEqual(await self.run_(offline.count, JULIET), 4)
        stored = [position for position, _ in await self.run_(offline.page, JULIET, 0, 9)]
        self.assertEqual(await self.run_(offline.drop, JULIET, stored[:1]), 1)
        self.assertEqual(await self.run_(offline.push, JULIET, uid_of(11), b'm', 1.0, 4), STORED)
        self.assertEqual(await self.run_(offline.push, JULIET, uid_of(12), b'm', 1.0, 4), FULL)
        self.assertEqual(await self.run_(offline.push, ROMEO, uid_of(13), b'm', 1.0, 4), STORED)

    async def test_a_position_never_comes_back(self) -> None:
        """What is pushed after the last one was dropped lies beyond it: who reads on from there sees it."""
        await self.run_(offline.push, JULIET, uid_of(1), b'm', 1.0, 4)
        ((position, stored),) = await self.run_(offline.page, JULIET, 0, 9)
        await self.run_(offline.drop, JULIET, [position])
        await self.run_(offline.push, JULIET, uid_of(2), b'm', 1.0, 4)
        ((_, stored),) = await self.run_(offline.page, JULIET, position, 9)
        self.assertEqual(stored.uid, uid_of(2))

    async def test_what_has_come_back_takes_a_new_position_and_keeps_its_time(self) -> None:
        """Who drops what was read before does not drop it; what is not there any more is stored, if there is room."""
        push = offline.push
        for number in (1, 2):
            await self.run_(push, JULIET, uid_of(number), b'm', float(number), 2)
        read = [position for position, _ in await self.run_(offline.page, JULIET, 0, 9)]
        back = (uid_of(1), b'm', 9.0, 2, 100, 0.0, True)
        self.assertEqual(await self.run_(push, JULIET, *back), STORED)
        self.assertEqual(await self.run_(offline.drop, JULIET, read), 1)
        ((_, stored),) = await self.run_(offline.page, JULIET, 0, 9)
        self.assertEqual(stored, Stored(uid_of(1), b'm', 1.0))
        self.assertEqual(await self.run_(push, JULIET, uid_of(2), b'm', 9.0, 1, 100, 0.0, True), FULL)

    async def test_drop_deletes_just_those_of_that_owner(self) -> None:
        """Again, or at positions where nothing is, it deletes nothing."""
        for owner in (JULIET, ROMEO):
            for number in range(5):
                await self.run_(offline.push, owner, uid_of(number), b'm', 1.0, 9)
        positions = [position for position, _ in await self.run_(offline.page, JULIET, 0, 9)]
        others = [position for position, _ in await self.run_(offline.page, ROMEO, 0, 9)]
        self.assertEqual(await self.run_(offline.drop, JULIET, [positions[1], positions[3], others[0], 10_000]), 2)
        self.assertEqual(await self.run_(offline.drop, JULIET, [positions[1]]), 0)
        self.assertEqual(await self.run_(offline.drop, JULIET, []), 0)
        left = [item.uid for _, item in await self.run_(offline.page, JULIET, 0, 9)]
        self.assertEqual(left, [uid_of(0), uid_of(2), uid_of(4)])
        self.assertEqual(await self.run_(offline.count, ROMEO), 5)

    async def test_a_sweep_deletes_what_is_too_old_of_all_owners_so_many_at_a_time(self) -> None:
        """The oldest first; it says whether there may be more."""
        for number in range(6):
            owner = (JULIET, ROMEO)[number % 2]
            await self.run_(offline.push, owner, uid_of(number), b'm', 100.0 + number, 9)
        sweep = offline.sweep
        self.assertEqual(tuple(await self.run_(sweep, JULIET, 100.0, 3)), (0, False))
        self.assertEqual(tuple(await self.run_(sweep, JULIET, 104.0, 3)), (3, True))
        self.assertEqual(tuple(await self.run_(sweep, JULIET, 104.0, 3)), (1, False))
        left = [stored.at for owner in (JULIET, ROMEO) for _, stored in await self.run_(offline.page, owner, 0, 9)]
        self.assertEqual(left, [104.0, 105.0])

    async def test_large_stanzas_are_kept_whole(self) -> None:
        """Of a megabyte of any bytes."""
        stanza = bytes(range(256)) * 4096
        await self.run_(offline.push, JULIET, uid_of(1), stanza, 1.0, 4)
        ((_, stored),) = await self.run_(offline.page, JULIET, 0, 1)
        self.assertEqual(stored.stanza, stanza)

    # ---- running

    async def test_a_read_sees_the_owner_s_writes_asked_before_it(self) -> None:
        """Though nobody waited for them."""
        self.run_(rosters.put, JULIET, Item('nurse@example.net', 'one'))
        first = self.run_(rosters.get, JULIET)
        self.run_(rosters.put, JULIET, Item('nurse@example.net', 'two'))
        second = self.run_(rosters.get, JULIET)
        names = [item.name for items in await gatherResults([first, second]) for item in items]
        self.assertEqual(names, ['one', 'two'])

    async def test_one_owner_s_results_come_in_the_order_asked(self) -> None:
        """Reads and writes alike."""
        order: list[int] = []
        asked = []
        for number in range(40):
            arguments = (uid_of(number), b'm', 1.0, 99) if number % 3 else ()
            deferred = self.run_(offline.push if arguments else offline.count, JULIET, *arguments)
            deferred.addCallback(lambda _, number: order.append(number), number)
            asked.append(deferred)
        await gatherResults(asked)
        self.assertEqual(order, list(range(40)))

    async def test_values_that_cannot_be_stored_fail_that_operation_alone(self) -> None:
        """StorageError, and the ones in flight beside it are carried out."""
        calls = [
            self.run_(offline.push, JULIET, uid_of(1), b'm', 1.0, 9),
            self.run_(offline.push, JULIET, None, b'm', 1.0, 9),
            self.run_(offline.push, JULIET, uid_of(2), b'm', 1.0, 9),
        ]
        outcomes = await DeferredList(calls, consumeErrors=True)
        self.assertEqual([worked for worked, _ in outcomes], [True, False, True])
        outcomes[1][1].trap(StorageError)
        self.assertEqual(await self.run_(offline.count, JULIET), 2)

    async def test_stop_finishes_what_was_asked_and_refuses_more(self) -> None:
        """Stopping twice is no error."""
        pushes = [self.run_(offline.push, JULIET, uid_of(number), b'm', 1.0, 99) for number in range(20)]
        stopped = self.storage.stop()
        await self.refused(offline.count, JULIET)
        self.assertEqual(await gatherResults(pushes), [STORED] * 20)
        await stopped
        await self.storage.stop()
        await self.refused(offline.count, JULIET)
