"""RFC 6121's appendix A, cell by cell; and what follows from two tables that fit together."""

from __future__ import annotations

import pytest

from jabberd_tx.components.sm.subscriptions import (
    STATES,
    TABLE,
    TYPES,
    is_listed,
    state_of,
    with_state,
)
from jabberd_tx.storage.rosters import Item

# As appendix A prints them: existing state, may it be routed or delivered, new state ('-' for no change).  States are
# the RFC's words; PO: pending out, PI: pending in.
WORDS = {
    'None': 'none', 'None+PO': 'none+out', 'None+PI': 'none+in', 'None+PO+PI': 'none+out+in', 'To': 'to',
    'To+PI': 'to+in', 'From': 'from', 'From+PO': 'from+out', 'Both': 'both',
}  # fmt: skip

A_2_1_SUBSCRIBE_OUT = """
None        yes  None+PO
None+PO     yes  -
None+PI     yes  None+PO+PI
None+PO+PI  yes  -
To          yes  -
To+PI       yes  -
From        yes  From+PO
From+PO     yes  -
Both        yes  -
"""
A_2_2_UNSUBSCRIBE_OUT = """
None        yes  -
None+PO     yes  None
None+PI     yes  -
None+PO+PI  yes  None+PI
To          yes  None
To+PI       yes  None+PI
From        yes  -
From+PO     yes  From
Both        yes  From
"""
A_2_3_SUBSCRIBED_OUT = """
None        no   -
None+PO     no   -
None+PI     yes  From
None+PO+PI  yes  From+PO
To          no   -
To+PI       yes  Both
From        no   -
From+PO     no   -
Both        no   -
"""
A_2_4_UNSUBSCRIBED_OUT = """
None        no   -
None+PO     no   -
None+PI     yes  None
None+PO+PI  yes  None+PO
To          no   -
To+PI       yes  To
From        yes  None
From+PO     yes  None+PO
Both        yes  To
"""
A_3_1_SUBSCRIBE_IN = """
None        yes  None+PI
None+PO     yes  None+PO+PI
None+PI     no   -
None+PO+PI  no   -
To          yes  To+PI
To+PI       no   -
From        no   -
From+PO     no   -
Both        no   -
"""
A_3_2_UNSUBSCRIBE_IN = """
None        no   -
None+PO     no   -
None+PI     yes  None
None+PO+PI  yes  None+PO
To          no   -
To+PI       yes  To
From        yes  None
From+PO     yes  None+PO
Both        yes  To
"""
A_3_3_SUBSCRIBED_IN = """
None        no   -
None+PO     yes  To
None+PI     no   -
None+PO+PI  yes  To+PI
To          no   -
To+PI       no   -
From        no   -
From+PO     yes  Both
Both        no   -
"""
A_3_4_UNSUBSCRIBED_IN = """
None        no   -
None+PO     yes  None
None+PI     no   -
None+PO+PI  yes  None+PI
To          yes  None
To+PI       yes  None+PI
From        no   -
From+PO     yes  From
Both        yes  From
"""
OUT = {
    'subscribe': A_2_1_SUBSCRIBE_OUT, 'unsubscribe': A_2_2_UNSUBSCRIBE_OUT, 'subscribed': A_2_3_SUBSCRIBED_OUT,
    'unsubscribed': A_2_4_UNSUBSCRIBED_OUT,
}  # fmt: skip
IN = {
    'subscribe': A_3_1_SUBSCRIBE_IN, 'unsubscribe': A_3_2_UNSUBSCRIBE_IN, 'subscribed': A_3_3_SUBSCRIBED_IN,
    'unsubscribed': A_3_4_UNSUBSCRIBED_IN,
}  # fmt: skip


def cells(texts: dict[str, str]) -> list[tuple[str, str, bool, str]]:
    """(type, state, whether, new state) of each row."""
    found = []
    for kind, text in texts.items():
        for line in text.split('\n'):
            if line:
                state, whether, new = line.split()
                found.append((kind, WORDS[state], whether == 'yes', WORDS[state] if new == '-' else WORDS[new]))
    return found


@pytest.mark.parametrize('kind,state,route,new', cells(OUT))
def test_outbound_cell(kind: str, state: str, route: bool, new: str) -> None:
    cell = TABLE[kind][state]
    assert (cell.route, cell.sent) == (route, new)


@pytest.mark.parametrize('kind,state,deliver,new', cells(IN))
def test_inbound_cell(kind: str, state: str, deliver: bool, new: str) -> None:
    cell = TABLE[kind][state]
    assert (cell.deliver, cell.come) == (deliver, new)


def test_the_server_answers_requests_of_who_has_the_subscription_and_unsubscribes_that_change_something() -> None:
    """§A.3.1, note 2, and §A.3.2."""
    answers = {(kind, state): TABLE[kind][state].answer for kind in TYPES for state in STATES}
    assert {cell for cell, answer in answers.items() if answer == 'subscribed'} == {
        ('subscribe', 'from'), ('subscribe', 'from+out'), ('subscribe', 'both'),
    }  # fmt: skip
    assert {cell for cell, answer in answers.items() if answer == 'unsubscribed'} == {
        (kind, state) for kind, state, deliver, _ in cells(IN) if kind == 'unsubscribe' and deliver
    }


def test_every_type_has_a_cell_for_every_state() -> None:
    assert set(TABLE) == set(TYPES)
    assert all(set(row) == set(STATES) for row in TABLE.values())


def mirrored(state: str) -> str:
    """What the contact's server knows when both know the same."""
    subscription, *pending = state.split('+')
    other = {'to': 'from', 'from': 'to'}.get(subscription, subscription)
    swapped = [word for word, there in (('out', 'in' in pending), ('in', 'out' in pending)) if there]
    return '+'.join([other, *swapped])


@pytest.mark.parametrize('kind', TYPES)
@pytest.mark.parametrize('state', STATES)
def test_two_servers_that_agree_still_agree_afterwards(kind: str, state: str) -> None:
    """Whatever one user sends, the state there and the state at the contact's server stay each other's mirror image."""
    route, mine = TABLE[kind][state][:2]
    theirs = mirrored(state)
    if route:
        theirs = TABLE[kind][theirs].come
    assert theirs == mirrored(mine)


@pytest.mark.parametrize('state', STATES)
def test_an_item_says_its_state(state: str) -> None:
    item = with_state(Item('juliet@example.net', request=b'r'), state)
    assert item is not None
    assert state_of(item) == state
    assert (item.request == b'r') == ('in' in state.split('+'))
    assert is_listed(item)


def test_who_has_only_asked_is_not_listed_until_the_user_wants_something() -> None:
    stranger = Item('tybalt@example.net', subscription='')
    asked = with_state(stranger, 'none+in')
    assert asked is not None and not is_listed(asked) and state_of(asked) == 'none+in'
    assert with_state(asked, 'none') is None
    assert with_state(stranger, 'none') is None
    granted = with_state(asked, 'from')
    assert is_listed(granted)
    assert is_listed(with_state(asked, 'none+out+in'))
    assert not is_listed(None)
    assert state_of(None) == 'none'
