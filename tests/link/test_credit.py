"""Credit that a component grants a router."""

from __future__ import annotations

from twisted.internet.task import Clock

from jabberd_tx.link.credit import LOOK_AGAIN, CreditGrants


class Grants:
    def __init__(self, window: int = 1000) -> None:
        self.clock, self.full, self.granted = Clock(), False, []
        self.credit = CreditGrants(window, self.granted.append, lambda: self.full, self.clock)
        self.credit.open()


def test_the_window_is_granted_first_and_what_was_used_when_it_is_half_of_it():
    grants = Grants()
    grants.credit.take(499)
    assert grants.granted == [1000]
    grants.credit.take(101)
    assert grants.granted == [1000, 600]
    grants.credit.take(500)
    assert grants.granted == [1000, 600, 500]


def test_a_congested_component_grants_nothing_until_it_no_longer_is():
    grants = Grants()
    grants.full = True
    grants.credit.take(600)
    grants.credit.take(300)
    grants.clock.advance(10 * LOOK_AGAIN)
    assert grants.granted == [1000]
    grants.full = False
    grants.clock.advance(LOOK_AGAIN)
    assert grants.granted == [1000, 900]


def test_all_that_was_used_is_granted_again_in_the_long_run():
    grants = Grants()
    used = 0
    for number in range(1, 400):
        grants.full = number % 7 == 0
        grants.credit.take(number)
        used += number
        grants.clock.advance(LOOK_AGAIN)
        assert 500 <= sum(grants.granted) - used + 400 and sum(grants.granted) - used <= 1000
    assert len(grants.clock.calls) <= 1


def test_nothing_is_left_behind_when_the_link_ends():
    grants = Grants()
    grants.full = True
    grants.credit.take(600)
    grants.credit.close()
    assert grants.clock.calls == []
