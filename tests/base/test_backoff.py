"""The wait before another attempt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.base.backoff import Backoff


def test_delays_grow_by_the_factor_up_to_the_maximum():
    backoff = Backoff(0.1, 3.0, factor=2, jitter=0)
    assert [round(backoff.delay(attempt), 3) for attempt in range(7)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.0, 3.0]


def test_jitter_takes_away_up_to_its_share():
    backoff = Backoff(1.0, 8.0, jitter=0.5)
    assert backoff.delay(2, lambda: 0.0) == 4.0
    assert backoff.delay(2, lambda: 1.0) == 2.0


def test_an_outage_of_weeks_does_not_overflow():
    assert Backoff(0.1, 5.0, jitter=0).delay(10**6) == 5.0


@pytest.mark.parametrize('arguments', [(0, 1), (2, 1), (1, 2, 0.5), (1, 2, 2, 1.5), (1, 2, 2, -0.1)])
def test_bounds_that_make_no_sense_are_refused(arguments):
    with pytest.raises(ValueError):
        Backoff(*arguments)


@given(st.integers(0, 100), st.floats(0, 1, exclude_max=True), st.floats(0, 1))
def test_a_delay_is_positive_unless_all_of_it_is_left_to_chance_and_never_beyond_the_maximum(attempt, chance, jitter):
    delay = Backoff(0.05, 5.0, jitter=jitter).delay(attempt, lambda: chance)
    assert 0 < delay <= 5.0
