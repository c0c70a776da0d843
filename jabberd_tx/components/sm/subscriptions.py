"""Presence subscriptions: RFC 6121's appendix A as one table a direction.

A state is what one user's server knows of a contact: the subscription, and whether a request is pending either way.

    out   the user's own request waits for the contact's answer (ask='subscribe')
    in    the contact's request waits for the user's answer

Outbound: what the user sends, as the user's server handles it.  Each cell says whether it is routed to the contact,
and the new state.  Inbound: what comes from the contact.  Each cell says whether the user sees it, the new
state, and whether the server answers on the user's behalf.
"""

from __future__ import annotations

from typing import NamedTuple

from jabberd_tx.storage.rosters import Item

NONE, NONE_OUT, NONE_IN, NONE_OUT_IN = 'none', 'none+out', 'none+in', 'none+out+in'
TO, TO_IN, FROM, FROM_OUT, BOTH = 'to', 'to+in', 'from', 'from+out', 'both'
STATES = (NONE, NONE_OUT, NONE_IN, NONE_OUT_IN, TO, TO_IN, FROM, FROM_OUT, BOTH)

SUBSCRIBE, SUBSCRIBED, UNSUBSCRIBE, UNSUBSCRIBED = TYPES = 'subscribe', 'subscribed', 'unsubscribe', 'unsubscribed'


class Outbound(NamedTuple):
    """route: goes on to the contact; state: the new one."""

    route: bool
    state: str


class Inbound(NamedTuple):
    """deliver: the user's clients see it; state: the new one; approve: answered with 'subscribed' at once."""

    deliver: bool
    state: str
    approve: bool = False


# §A.2.1–A.2.4.  'subscribed' where nothing is pending is a pre-approval (§3.4), 'unsubscribed' takes one back:
# neither is routed, nor changes the state.
OUTBOUND: dict[str, dict[str, Outbound]] = {
    SUBSCRIBE: {
        NONE: Outbound(True, NONE_OUT),
        NONE_OUT: Outbound(True, NONE_OUT),
        NONE_IN: Outbound(True, NONE_OUT_IN),
        NONE_OUT_IN: Outbound(True, NONE_OUT_IN),
        TO: Outbound(True, TO),
        TO_IN: Outbound(True, TO_IN),
        FROM: Outbound(True, FROM_OUT),
        FROM_OUT: Outbound(True, FROM_OUT),
        BOTH: Outbound(True, BOTH),
    },
    UNSUBSCRIBE: {
        NONE: Outbound(True, NONE),
        NONE_OUT: Outbound(True, NONE),
        NONE_IN: Outbound(True, NONE_IN),
        NONE_OUT_IN: Outbound(True, NONE_IN),
        TO: Outbound(True, NONE),
        TO_IN: Outbound(True, NONE_IN),
        FROM: Outbound(True, FROM),
        FROM_OUT: Outbound(True, FROM),
        BOTH: Outbound(True, FROM),
    },
    SUBSCRIBED: {
        NONE: Outbound(False, NONE),
        NONE_OUT: Outbound(False, NONE_OUT),
        NONE_IN: Outbound(True, FROM),
        NONE_OUT_IN: Outbound(True, FROM_OUT),
        TO: Outbound(False, TO),
        TO_IN: Outbound(True, BOTH),
        FROM: Outbound(False, FROM),
        FROM_OUT: Outbound(False, FROM_OUT),
        BOTH: Outbound(False, BOTH),
    },
    UNSUBSCRIBED: {
        NONE: Outbound(False, NONE),
        NONE_OUT: Outbound(False, NONE_OUT),
        NONE_IN: Outbound(True, NONE),
        NONE_OUT_IN: Outbound(True, NONE_OUT),
        TO: Outbound(False, TO),
        TO_IN: Outbound(True, TO),
        FROM: Outbound(True, NONE),
        FROM_OUT: Outbound(True, NONE_OUT),
        BOTH: Outbound(True, TO),
    },
}

# §A.3.1–A.3.4.
INBOUND: dict[str, dict[str, Inbound]] = {
    SUBSCRIBE: {
        NONE: Inbound(True, NONE_IN),
        NONE_OUT: Inbound(True, NONE_OUT_IN),
        NONE_IN: Inbound(False, NONE_IN),
        NONE_OUT_IN: Inbound(False, NONE_OUT_IN),
        TO: Inbound(True, TO_IN),
        TO_IN: Inbound(False, TO_IN),
        FROM: Inbound(False, FROM, approve=True),
        FROM_OUT: Inbound(False, FROM_OUT, approve=True),
        BOTH: Inbound(False, BOTH, approve=True),
    },
    UNSUBSCRIBE: {
        NONE: Inbound(False, NONE),
        NONE_OUT: Inbound(False, NONE_OUT),
        NONE_IN: Inbound(True, NONE),
        NONE_OUT_IN: Inbound(True, NONE_OUT),
        TO: Inbound(False, TO),
        TO_IN: Inbound(True, TO),
        FROM: Inbound(True, NONE),
        FROM_OUT: Inbound(True, NONE_OUT),
        BOTH: Inbound(True, TO),
    },
    SUBSCRIBED: {
        NONE: Inbound(False, NONE),
        NONE_OUT: Inbound(True, TO),
        NONE_IN: Inbound(False, NONE_IN),
        NONE_OUT_IN: Inbound(True, TO_IN),
        TO: Inbound(False, TO),
        TO_IN: Inbound(False, TO_IN),
        FROM: Inbound(False, FROM),
        FROM_OUT: Inbound(True, BOTH),
        BOTH: Inbound(False, BOTH),
    },
    UNSUBSCRIBED: {
        NONE: Inbound(False, NONE),
        NONE_OUT: Inbound(True, NONE),
        NONE_IN: Inbound(False, NONE_IN),
        NONE_OUT_IN: Inbound(True, NONE_IN),
        TO: Inbound(True, NONE),
        TO_IN: Inbound(True, NONE_IN),
        FROM: Inbound(False, FROM),
        FROM_OUT: Inbound(True, FROM),
        BOTH: Inbound(True, FROM),
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
