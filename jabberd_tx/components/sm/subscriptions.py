"""Presence subscriptions: RFC 6121's appendix A as one table.

A state is what one user's server knows of a contact: the subscription, and whether a request is pending either way.

    out   the user's own request waits for the contact's answer (ask='subscribe')
    in    the contact's request waits for the user's answer

Each type of presence has a row for each state, with two halves: what is done when the user sends it (§A.2), and
what when it comes from the contact (§A.3).
"""

from __future__ import annotations

from typing import NamedTuple

from jabberd_tx.storage.rosters import Item

NONE, NONE_OUT, NONE_IN, NONE_OUT_IN = 'none', 'none+out', 'none+in', 'none+out+in'
TO, TO_IN, FROM, FROM_OUT, BOTH = 'to', 'to+in', 'from', 'from+out', 'both'
STATES = (NONE, NONE_OUT, NONE_IN, NONE_OUT_IN, TO, TO_IN, FROM, FROM_OUT, BOTH)

SUBSCRIBE, SUBSCRIBED, UNSUBSCRIBE, UNSUBSCRIBED = TYPES = 'subscribe', 'subscribed', 'unsubscribe', 'unsubscribed'

# Whether what the user sends goes on to the contact, and whether the user's clients see what the contact sends.
ROUTE, KEEP = True, False
DELIVER, HIDE = True, False


class Cell(NamedTuple):
    """route    sent by the user: it goes on to the contact
    sent     the state after that
    deliver  come from the contact: the user's clients see it
    come     the state after that
    answer   what the server says to that at once on the user's behalf; '' for nothing
    """

    route: bool
    sent: str
    deliver: bool
    come: str
    answer: str = ''


# §A.2.1–A.2.4 and §A.3.1–A.3.4.  'subscribed' where nothing is pending is a pre-approval (§3.4), 'unsubscribed' takes
# one back: neither is routed, nor changes the state.
TABLE: dict[str, dict[str, Cell]] = {
    SUBSCRIBE: {
        NONE: Cell(ROUTE, NONE_OUT, DELIVER, NONE_IN),
        NONE_OUT: Cell(ROUTE, NONE_OUT, DELIVER, NONE_OUT_IN),
        NONE_IN: Cell(ROUTE, NONE_OUT_IN, HIDE, NONE_IN),
        NONE_OUT_IN: Cell(ROUTE, NONE_OUT_IN, HIDE, NONE_OUT_IN),
        TO: Cell(ROUTE, TO, DELIVER, TO_IN),
        TO_IN: Cell(ROUTE, TO_IN, HIDE, TO_IN),
        FROM: Cell(ROUTE, FROM_OUT, HIDE, FROM, SUBSCRIBED),
        FROM_OUT: Cell(ROUTE, FROM_OUT, HIDE, FROM_OUT, SUBSCRIBED),
        BOTH: Cell(ROUTE, BOTH, HIDE, BOTH, SUBSCRIBED),
    },
    UNSUBSCRIBE: {
        NONE: Cell(ROUTE, NONE, HIDE, NONE),
        NONE_OUT: Cell(ROUTE, NONE, HIDE, NONE_OUT),
        NONE_IN: Cell(ROUTE, NONE_IN, DELIVER, NONE, UNSUBSCRIBED),
        NONE_OUT_IN: Cell(ROUTE, NONE_IN, DELIVER, NONE_OUT, UNSUBSCRIBED),
        TO: Cell(ROUTE, NONE, HIDE, TO),
        TO_IN: Cell(ROUTE, NONE_IN, DELIVER, TO, UNSUBSCRIBED),
        FROM: Cell(ROUTE, FROM, DELIVER, NONE, UNSUBSCRIBED),
        FROM_OUT: Cell(ROUTE, FROM, DELIVER, NONE_OUT, UNSUBSCRIBED),
        BOTH: Cell(ROUTE, FROM, DELIVER, TO, UNSUBSCRIBED),
    },
    SUBSCRIBED: {
        NONE: Cell(KEEP, NONE, HIDE, NONE),
        NONE_OUT: Cell(KEEP, NONE_OUT, DELIVER, TO),
        NONE_IN: Cell(ROUTE, FROM, HIDE, NONE_IN),
        NONE_OUT_IN: Cell(ROUTE, FROM_OUT, DELIVER, TO_IN),
        TO: Cell(KEEP, TO, HIDE, TO),
        TO_IN: Cell(ROUTE, BOTH, HIDE, TO_IN),
        FROM: Cell(KEEP, FROM, HIDE, FROM),
        FROM_OUT: Cell(KEEP, FROM_OUT, DELIVER, BOTH),
        BOTH: Cell(KEEP, BOTH, HIDE, BOTH),
    },
    UNSUBSCRIBED: {
        NONE: Cell(KEEP, NONE, HIDE, NONE),
        NONE_OUT: Cell(KEEP, NONE_OUT, DELIVER, NONE),
        NONE_IN: Cell(ROUTE, NONE, HIDE, NONE_IN),
        NONE_OUT_IN: Cell(ROUTE, NONE_OUT, DELIVER, NONE_IN),
        TO: Cell(KEEP, TO, DELIVER, NONE),
        TO_IN: Cell(ROUTE, TO, DELIVER, NONE_IN),
        FROM: Cell(ROUTE, NONE, HIDE, FROM),
        FROM_OUT: Cell(ROUTE, NONE_OUT, DELIVER, FROM),
        BOTH: Cell(ROUTE, TO, DELIVER, FROM),
    },
}

# What a pre-approved contact's request becomes (§3.4.2): granted without the user.
GRANTED = {NONE: FROM, NONE_OUT: FROM_OUT, TO: BOTH}


def state_of(item: Item | None) -> str:
    """The state that an item stands for; None: the contact is not known."""
    if item is None:
        return NONE
    state = item.subscription or NONE
    if item.ask and state in (NONE, FROM):
        state += '+out'
    if item.pending_in and state in (NONE, NONE_OUT, TO):
        state += '+in'
    return state


def with_state(item: Item, state: str) -> Item | None:
    """The item in another state; None: nothing is left to remember.  A request that is answered is forgotten."""
    subscription, *pending = state.split('+')
    waits = 'in' in pending
    if not is_listed(item) and subscription == NONE and 'out' not in pending:
        if not waits:
            return None
        subscription = ''
    return item._replace(
        subscription=subscription, ask='out' in pending, pending_in=waits, request=item.request if waits else b''
    )


def is_listed(item: Item | None) -> bool:
    """Whether the owner sees it.  One who has only asked is not in the roster (§3.1.3)."""
    return item is not None and item.subscription != ''


def shown(item: Item | None) -> Item | None:
    """What the owner sees of it: a change of the rest needs no push."""
    return item._replace(pending_in=False, request=b'') if item is not None and is_listed(item) else None
