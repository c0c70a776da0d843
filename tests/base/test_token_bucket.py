"""Token buckets: what may be used, and what is owed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.base.token_bucket import TokenBucket


def test_a_burst_is_free_and_what_goes_beyond_is_waited_for() -> None:
    """A full bucket of 100, then 50 more at 25 a second."""
    bucket = TokenBucket(100, 0.0)
    assert bucket.take(100, 0.0, 25, 100) == 0.0
    assert bucket.take(50, 0.0, 25, 100) == 2.0
    assert bucket.take(0, 1.5, 25, 100) == 0.5
    assert bucket.take(0, 2.0, 25, 100) == 0.0


def test_a_rest_fills_it_up_to_the_burst_and_no_further() -> None:
    """However long it was."""
    bucket = TokenBucket(10, 0.0)
    bucket.take(10, 0.0, 1, 10)
    assert bucket.take(10, 1e6, 1, 10) == 0.0
    assert bucket.take(1, 1e6, 1, 10) == 1.0


def test_new_rates_hold_from_the_next_call() -> None:
    """Also for what is owed; without a rate nothing is."""
    bucket = TokenBucket(10, 0.0)
    assert bucket.take(110, 0.0, 1, 10) == 100.0
    assert bucket.take(0, 0.0, 100, 10) == 1.0
    assert bucket.take(10**9, 0.0, 0, 10) == 0.0
    assert bucket.take(10, 0.0, 1, 10) == 0.0


def test_a_clock_that_goes_back_brings_nothing() -> None:
    """And takes nothing."""
    bucket = TokenBucket(10, 100.0)
    assert bucket.take(10, 50.0, 1, 10) == 0.0
    assert bucket.take(1, 51.0, 1, 10) == pytest.approx(0.0)


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 5000)), min_size=1),
    st.floats(0.5, 1000),
    st.floats(1, 10_000),
)
def test_who_waits_as_told_never_gets_more_than_burst_and_rate_allow(
    uses: list[tuple[float, float]], rate: float, burst: float
) -> None:
    """Over any time, up to the last use, which may be as large as it likes."""
    bucket, now, used = TokenBucket(burst, 0.0), 0.0, 0.0
    for pause, amount in uses:
        now += pause
        assert used <= (burst + rate * now) * (1 + 1e-9)
        wait = bucket.take(amount, now, rate, burst)
        used += amount
        now += wait
