"""A fixed number of slots: which one a key has, and who stands in for one that is absent."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from jabberd_tx.base.hashing import rendezvous, slot_among
from jabberd_tx.base.options import load
from jabberd_tx.link.frames import Route, make_uid
from jabberd_tx.routing.options import OPTIONS, ROUTES
from jabberd_tx.routing.policies import POLICIES, IWatchingChooser, Settings, fixed
from jabberd_tx.routing.policies.fixed import LAPSE, FixedSlotChooser
from jabberd_tx.routing.watched import WatchedFrames
from jabberd_tx.xmpp.stanza import Stanza

PAGE = Path(__file__).parents[2] / 'docs' / 'routing.md'
KEYS = [f'user{n}@example.net' for n in range(2000)]


def table(header: str) -> list[list[str]]:
    """The rows of the page's table with this header, code marks removed."""
    after = PAGE.read_text('utf-8').split(f'\n| {header} |\n', 1)[1]
    rows = after.split('\n\n', 1)[0].splitlines()[1:]
    assert rows
    return [[cell.strip().strip('`') for cell in row.strip('|').split('|')] for row in rows]


# Indented tables of the page, one at a time.
LISTINGS = [
    dedent(found)
    for found in re.findall(r'(?:^    .*\n)+', PAGE.read_text('utf-8'), re.M)
    if found.startswith('    [[')
]


def frame(key: str | None, number: int = 1) -> Route:
    return Route('gw.example', key, 'c2s-1', 0, make_uid(b's' * 16, number), 4, 0, Stanza('message', {}))


class Slots:
    """A chooser with gw-0 … in their slots, and what it watches."""

    def __init__(self, count: int = 4, spill: bool = True) -> None:
        self.clock, self.watched = Clock(), WatchedFrames()
        settings = Settings('gw.example', False, (), self.clock, self.watched.watch)
        self.chooser = FixedSlotChooser('from', settings, count, spill)
        for slot in range(count):
            self.come(slot)

    def come(self, slot: int) -> None:
        self.chooser.join(f'gw-{slot}', 1.0)
        self.chooser.sit(f'gw-{slot}', slot)

    def pick(self, key: str | None, number: int = 1) -> str | None:
        return self.chooser.pick(frame(key, number))

    def settle(self, node: str, *numbers: int) -> None:
        for number in numbers:
            self.chooser.settled(node, frame('', number).uid)


@pytest.mark.parametrize(('key', 'slots', 'slot'), table('key | slots | slot of a fixed number'))
def test_keys_have_the_published_slots(key: str, slots: str, slot: str) -> None:
    assert slot_among(key, int(slots)) == int(slot)
    assert Slots(int(slots)).pick(key) == f'gw-{slot}'


@pytest.mark.parametrize(('present', 'slots', 'key', 'stand_in'), table('present slots | of | key | stand-in'))
def test_absent_slots_have_the_published_stand_ins(present: str, slots: str, key: str, stand_in: str) -> None:
    there = [int(slot) for slot in re.findall(r'\d+', present)]
    made = Slots(int(slots))
    for slot in range(int(slots)):
        if slot not in there:
            made.chooser.leave(f'gw-{slot}')
    assert slot_among(key, int(slots)) not in there
    assert made.pick(key) == f'gw-{stand_in}'


@pytest.mark.parametrize(
    ('user', 'before', 'after', 'slot', 'spilled'),
    table('user | without slots, all there | without slots, `gw-1` gone | slot of four | `spill`, `gw-1` gone'),
)
def test_when_one_of_four_dies_users_are_where_the_page_says(
    user: str, before: str, after: str, slot: str, spilled: str
) -> None:
    clock = Clock()
    plain = POLICIES['from'].chooser(Settings('gw.example', False, (), clock))
    for n in range(4):
        plain.join(f'gw-{n}', 1.0)
    clock.advance(0)
    slots = Slots()
    assert (plain.pick(frame(user)), slots.pick(user)) == (before, f'gw-{slot}')
    plain.leave('gw-1')
    slots.chooser.leave('gw-1')
    assert (plain.pick(frame(user)), slots.pick(user)) == (after, spilled)


@pytest.mark.parametrize('listing', LISTINGS)
def test_each_listing_of_the_page_is_a_configuration(listing: str, tmp_path: Path) -> None:
    file = tmp_path / 'site.toml'
    file.write_text(listing)
    (route,) = load(file, [OPTIONS, ROUTES]).section(ROUTES)
    assert route.name.endswith('.example.net')


def test_it_keeps_to_the_interface() -> None:
    verifyObject(IWatchingChooser, Slots().chooser)


def test_keys_spread_evenly_over_slots_whether_or_not_they_are_there() -> None:
    counts = Counter(slot_among(f'user{n}@example.net', 8) for n in range(100_000))
    assert max(counts.values()) / (100_000 / 8) <= 1.1
    made = Slots(8, spill=False)
    before = {key: made.pick(key) for key in KEYS}
    made.chooser.leave('gw-3')
    assert {key: made.pick(key) for key in KEYS} == {
        key: '' if node == 'gw-3' else node for key, node in before.items()
    }, 'nobody else has more to do'
    made.come(3)
    assert {key: made.pick(key) for key in KEYS} == before


def test_a_frame_without_a_key_has_no_slot() -> None:
    made = Slots()
    assert made.pick('example.net') is None
    assert made.chooser.slot(frame('example.net')) is None
    assert made.chooser.slot(frame('juliet@example.net')) == slot_among('juliet@example.net', 4)


@given(st.sets(st.integers(0, 7), min_size=1), st.randoms())
def test_only_the_keys_of_absent_slots_are_lent(there: set[int], random) -> None:  # type: ignore[no-untyped-def]
    """And every router lends them to the same, whatever the order in which instances came and went."""
    one, other = Slots(8), Slots(8)
    for made in (one, other):
        gone = [slot for slot in range(8) if slot not in there]
        random.shuffle(gone)
        for slot in gone:
            made.chooser.leave(f'gw-{slot}')
    for key in KEYS[:200]:
        slot = slot_among(key, 8)
        expected = slot if slot in there else int(rendezvous(key, [str(present) for present in there]))
        assert one.pick(key) == other.pick(key) == f'gw-{expected}'


def test_what_an_absent_slot_lends_goes_to_all_the_others_and_moves_little_when_another_goes() -> None:
    made = Slots(8)
    lost = [key for key in KEYS if slot_among(key, 8) == 3]
    made.chooser.leave('gw-3')
    first = {key: made.pick(key) for key in lost}
    assert len({*first.values()}) == 7
    made.chooser.leave('gw-5')
    assert all(made.pick(key) == node for key, node in first.items() if node != 'gw-5')


# ---- the slot is back


def stray() -> str:
    """A key of slot 0."""
    return next(key for key in KEYS if slot_among(key, 4) == 0)


def test_a_key_stays_with_its_stand_in_until_that_has_confirmed_all_it_got() -> None:
    """So that no frame overtakes the one before it."""
    made, key = Slots(), stray()
    made.chooser.leave('gw-0')
    stand_in = made.pick(key, 1)
    assert stand_in not in ('', 'gw-0') and made.pick(key, 2) == stand_in
    made.come(0)
    made.settle(stand_in or '', 1)
    assert made.pick(key, 3) == stand_in
    made.settle(stand_in or '', 2, 3)
    assert made.pick(key, 4) == 'gw-0'
    assert made.pick(next(other for other in KEYS if other != key and slot_among(other, 4) == 0)) == 'gw-0'


def test_a_key_does_not_wait_for_ever_for_its_stand_in() -> None:
    made, key = Slots(), stray()
    made.chooser.leave('gw-0')
    stand_in = made.pick(key, 1)
    made.clock.advance(100)
    made.come(0)
    assert made.pick(key, 2) == stand_in
    made.clock.advance(LAPSE)
    assert made.pick(key, 3) == 'gw-0'
    made.settle(stand_in or '', 1, 2)
    assert made.pick(key, 4) == 'gw-0'


def test_a_stand_in_that_goes_is_waited_for_by_nobody() -> None:
    made, key = Slots(), stray()
    made.chooser.leave('gw-0')
    stand_in = made.pick(key, 1) or ''
    made.chooser.leave(stand_in)
    assert made.pick(key, 2) not in ('', 'gw-0', stand_in)
    made.come(0)
    made.settle(stand_in, 1)
    made.settle('', 2)
    assert made.pick(key, 3) == 'gw-0'


def test_when_the_slot_goes_again_the_stand_in_has_all_its_time_anew() -> None:
    made, key = Slots(), stray()
    made.chooser.leave('gw-0')
    stand_in = made.pick(key, 1)
    made.come(0)
    assert made.pick(key, 2) == stand_in
    made.chooser.leave('gw-0')
    made.clock.advance(10)
    assert made.pick(key, 3) == stand_in
    made.come(0)
    assert made.pick(key, 4) == stand_in


def test_no_more_keys_are_remembered_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixed, 'MOST_KEYS', 10)
    made = Slots()
    made.chooser.leave('gw-0')
    picked = {key: made.pick(key, number) for number, key in enumerate(KEYS)}
    assert len(made.chooser._lent) == 10
    assert {key: made.pick(key, number) for number, key in enumerate(KEYS)} == picked


def test_with_nobody_there_nobody_stands_in() -> None:
    made = Slots(2)
    for node in ('gw-0', 'gw-1'):
        made.chooser.leave(node)
    assert made.pick(stray()) == ''


def test_one_uid_for_two_keys_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No honest sender has that."""
    made = Slots()
    made.chooser.leave('gw-0')
    keys = [key for key in KEYS if slot_among(key, 4) == 0][:3]
    first = [made.pick(key, 1) for key in keys]
    made.settle('gw-1', 1, 1)
    for node in ('gw-1', 'gw-2'):
        made.chooser.leave(node)
    made.come(0)
    made.clock.advance(LAPSE)
    assert [made.pick(key, 2) for key in keys] != first
    made.clock.advance(LAPSE)
    assert {made.pick(key, 3) for key in keys} == {'gw-0'}


def test_no_more_frames_of_a_key_are_waited_for_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixed, 'MOST_OUT', 5)
    made, key = Slots(), stray()
    made.chooser.leave('gw-0')
    for number in range(20):
        made.pick(key, number)
    assert len(made.watched.frames) == 5
