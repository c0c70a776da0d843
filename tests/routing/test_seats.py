"""Who has which slot: as it says, as the configuration lists it, or the lowest that is free."""

from __future__ import annotations

import pytest

from jabberd_tx.routing.asked import Refused
from jabberd_tx.routing.seats import Seats


def test_one_that_says_its_slot_has_it_in_whatever_order_they_come() -> None:
    seats = Seats(4, ())
    assert [seats.take(f'gw-{slot}', slot) for slot in (2, 0, 3)] == [2, 0, 3]
    assert seats.by_slot() == {0: 'gw-0', 2: 'gw-2', 3: 'gw-3'}
    assert list(seats.by_slot()) == [0, 2, 3]


def test_two_for_one_slot_are_a_conflict() -> None:
    seats = Seats(4, ())
    seats.take('a', 1)
    with pytest.raises(Refused, match='conflict'):
        seats.take('b', 1)
    assert seats.take('a', 1) == 1, 'it may say so again'
    seats.leave('a')
    assert seats.take('b', 1) == 1


@pytest.mark.parametrize('slot', [4, 1023])
def test_a_slot_that_there_is_not_is_refused(slot: int) -> None:
    with pytest.raises(Refused, match='bad-option'):
        Seats(4, ()).take('a', slot)


def test_one_that_does_not_say_gets_its_place_in_the_configured_order() -> None:
    seats = Seats(3, ('gw-a', 'gw-b', 'gw-c', 'too many'))
    assert [seats.take(node, None) for node in ('gw-c', 'gw-a')] == [2, 0]
    with pytest.raises(Refused, match='no-slot'):
        seats.take('unlisted', None)
    assert seats.take('gw-b', None) == 1


def test_without_an_order_it_gets_the_lowest_that_is_free() -> None:
    seats = Seats(3, ())
    assert [seats.take(node, None) for node in 'abc'] == [0, 1, 2]
    with pytest.raises(Refused, match='no-slot'):
        seats.take('d', None)
    seats.leave('b')
    assert seats.take('d', None) == 1


def test_one_that_is_back_gets_what_it_had_while_nobody_else_has_it() -> None:
    seats = Seats(3, ())
    for node in 'ab':
        seats.take(node, None)
    for node in 'ab':
        seats.leave(node)
    assert [seats.take(node, None) for node in 'ba'] == [1, 0]
    seats.leave('a')
    seats.take('c', 0)
    assert seats.take('a', None) == 2
