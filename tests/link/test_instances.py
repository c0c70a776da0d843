"""What several routers say about who is there, put together."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from jabberd_tx.link import instances
from jabberd_tx.link.frames import Present
from jabberd_tx.link.instances import Change, InstanceTable

OLD, NEW = b'o' * 16, b'n' * 16


def up(incarnation: bytes = OLD, name: str = 'sm-1', node: str = 'sm-1') -> Present:
    return Present(name, node, incarnation, True)


def down(incarnation: bytes = OLD, name: str = 'sm-1', node: str = 'sm-1') -> Present:
    return Present(name, node, incarnation, False)


CAME, WENT = Change(True, 'sm-1', 'sm-1', OLD), Change(False, 'sm-1', 'sm-1', OLD)


def test_an_instance_is_news_when_the_first_router_says_so():
    table = InstanceTable()
    assert table.told('r1', up()) == [CAME]
    assert table.told('r2', up()) == []
    assert table.of_name('sm-1') == {'sm-1': OLD}


def test_it_is_gone_when_the_last_router_in_sight_says_so():
    table = InstanceTable()
    table.told('r1', up())
    table.told('r2', up())
    assert table.told('r1', down()) == []
    assert table.told('r1', down()) == []
    assert table.told('r2', down()) == [WENT]
    assert table.of_name('sm-1') == {}


def test_losing_sight_of_a_router_is_no_news():
    table = InstanceTable()
    table.told('r1', up())
    table.lost_sight('r1')
    assert table.of_name('sm-1') == {'sm-1': OLD}


def test_a_router_out_of_sight_does_not_count_when_the_other_says_gone():
    table = InstanceTable()
    table.told('r1', up())
    table.told('r2', up())
    table.lost_sight('r1')
    assert table.told('r2', down()) == [WENT]


def test_what_a_router_does_not_claim_when_it_is_back_is_gone_once_it_has_had_time():
    table = InstanceTable()
    table.told('r1', up())
    table.told('r1', up(name='example.net'))
    table.lost_sight('r1')
    table.told('r1', up())
    assert table.unclaimed() == [Change(False, 'example.net', 'sm-1', OLD)]
    assert table.unclaimed() == []
    assert table.of_name('sm-1') == {'sm-1': OLD}


def test_a_new_incarnation_takes_the_place_of_the_old_one_which_goes_first():
    table = InstanceTable()
    table.told('r1', up())
    assert table.told('r1', up(NEW)) == [WENT, Change(True, 'sm-1', 'sm-1', NEW)]
    assert table.told('r1', down(OLD)) == []
    assert table.of_name('sm-1') == {'sm-1': NEW}


def test_a_router_that_is_behind_does_not_bring_back_the_old_incarnation():
    table = InstanceTable()
    table.told('r1', up(OLD))
    table.told('r2', up(NEW))
    assert table.told('r3', up(OLD)) == []
    assert table.told('r1', down(OLD)) == []
    assert table.told('r2', down(NEW)) == [Change(False, 'sm-1', 'sm-1', NEW)]


def test_the_same_incarnation_may_go_and_come_again():
    """It lost its links, and found the routers again."""
    table = InstanceTable()
    assert [table.told('r1', frame) for frame in (up(), down(), up())] == [[CAME], [WENT], [CAME]]


def test_old_incarnations_are_remembered_up_to_a_bound(monkeypatch):
    monkeypatch.setattr(instances, 'MOST_PAST', 10)
    table = InstanceTable()
    for number in range(100):
        table.told('r1', up(number.to_bytes(16, 'big')))
    assert len(table._past) == 10


class Routers(RuleBasedStateMachine):
    """Routers that each know a set of instances, seen or not; one incarnation each, as those are tested above."""

    routers = st.sampled_from(['r1', 'r2', 'r3'])
    nodes = st.sampled_from(['a', 'b'])

    def __init__(self) -> None:
        super().__init__()
        self.table = InstanceTable()
        self.claims: dict[str, set[str]] = {'r1': set(), 'r2': set(), 'r3': set()}
        self.told: set[str] = set()

    def apply(self, changes: list[Change]) -> None:
        for change in changes:
            assert (change.name not in self.told) is change.up, 'news is what was not so before'
            (self.told.add if change.up else self.told.remove)(change.name)

    @rule(router=routers, node=nodes)
    def comes(self, router: str, node: str) -> None:
        self.claims[router].add(node)
        self.apply(self.table.told(router, up(OLD, node, node)))

    @rule(router=routers, node=nodes)
    def goes(self, router: str, node: str) -> None:
        if node in self.claims[router]:
            self.claims[router].remove(node)
            self.apply(self.table.told(router, down(OLD, node, node)))

    @rule(router=routers)
    def out_of_sight(self, router: str) -> None:
        before = set(self.told)
        self.claims[router].clear()
        self.table.lost_sight(router)
        assert self.told == before

    @rule()
    def time_is_up(self) -> None:
        self.apply(self.table.unclaimed())
        assert self.told == set().union(*self.claims.values())

    @invariant()
    def who_is_claimed_is_known(self) -> None:
        assert set().union(*self.claims.values()) <= self.told
        assert self.told == {node for node in 'ab' if self.table.of_name(node)}


TestRouters = Routers.TestCase
