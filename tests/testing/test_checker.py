"""The checker finds each kind of fault, and nothing where there is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.testing.checker import SHOWN, Checker


def good_run() -> Checker:
    """Three messages of a to b: one received, one stored offline, one answered with an error."""
    checker = Checker()
    checker.feed(
        [
            ('accepted', 'a', 1),
            ('accepted', 'a', 2),
            ('accepted', 'a', 3),
            ('received', 'b', 'a', 1),
            ('stored', 'a', 2),
            ('answered', 'a', 3),
        ]
    )
    return checker


def test_a_run_in_which_all_is_settled_is_ok() -> None:
    report = good_run().report()
    assert report.ok
    assert (report.accepted, report.received, report.stored, report.answered) == (3, 1, 1, 1)


def test_an_accepted_message_that_nobody_saw_is_lost() -> None:
    checker = good_run()
    checker.accepted('a', 4)
    assert checker.unsettled() == [('a', 4)]
    assert checker.report().lost == [('a', 4)]
    assert not checker.report().ok


def test_the_same_number_of_another_sender_does_not_settle_it() -> None:
    checker = good_run()
    checker.accepted('a', 4)
    checker.received('b', 'c', 4)
    assert checker.report().lost == [('a', 4)]


def test_a_message_that_was_not_accepted_is_never_lost_but_may_be_received() -> None:
    checker = good_run()
    checker.received('b', 'a', 5)
    report = checker.report()
    assert report.ok
    assert (report.accepted, report.received) == (3, 2)


def test_one_message_twice_on_one_stream_is_doubled() -> None:
    checker = good_run()
    checker.received('b', 'a', 1)
    checker.received('b', 'a', 1)
    assert checker.report().doubled == [('b', 'a', 1), ('b', 'a', 1)]
    assert checker.report().reordered == []


def test_one_message_on_two_streams_of_the_recipient_is_not_doubled() -> None:
    checker = good_run()
    checker.received('b2', 'a', 1)
    assert checker.report().ok


def test_a_message_behind_a_later_one_of_its_sender_is_reordered() -> None:
    checker = good_run()
    checker.received('b', 'a', 7)
    checker.received('b', 'a', 6)
    checker.received('b', 'a', 8)
    assert checker.report().reordered == [('b', 'a', 6, 7)]


def test_order_is_not_asked_between_senders_nor_between_recipients() -> None:
    checker = good_run()
    checker.received('b', 'a', 7)
    checker.received('b', 'c', 6)
    checker.received('b2', 'a', 6)
    assert checker.report().ok


def test_what_was_stored_and_comes_late_to_a_stream_that_has_a_later_one_is_reordered() -> None:
    checker = good_run()
    checker.received('b', 'a', 3)
    checker.received('b', 'a', 2)
    assert checker.report().reordered == [('b', 'a', 2, 3)]


def test_the_text_of_a_report_counts_everything_and_shows_the_first_faults() -> None:
    checker = Checker()
    for number in range(SHOWN + 3):
        checker.accepted('a', number)
    text = str(checker.report())
    assert f'{SHOWN + 3} lost, 0 doubled, 0 reordered' in text
    assert text.count('lost: (') == SHOWN
    assert 'lost: 3 more' in text


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(KeyError):
        Checker().feed([('vanished', 'a', 1)])


@given(st.permutations(range(6)), st.lists(st.integers(0, 5), max_size=3))
def test_any_order_and_any_repeats_are_counted_as_the_definition_says(order: list[int], again: list[int]) -> None:
    checker = Checker()
    for number in [*order, *again]:
        checker.received('b', 'a', number)
    late = [n for i, n in enumerate(order) if any(before > n for before in order[:i])]
    report = checker.report()
    assert [fault[2] for fault in report.reordered] == late
    assert [fault[2] for fault in report.doubled] == again
