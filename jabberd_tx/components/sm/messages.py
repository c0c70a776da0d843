"""What becomes of a message to a user of ours: RFC 6121 §8.5 as a table.

                  no such user    nobody takes it    somebody does
    normal, chat  refuse          store              deliver
    headline      drop            drop               deliver to all
    groupchat     refuse          refuse             refuse
    error         drop            drop               drop

"Somebody" is a session with a priority that is not negative.  A message of any type to a full JID whose session is
there goes to that session alone, whatever its presence; one to a full JID that is not there is treated as if it
were sent to the bare JID.  An unknown type is normal (§5.2.2).  Storing is what modules do; without one that
does, the message is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from jabberd_tx.storage.sessions.interface import Session


class Action(Enum):
    """What is done."""

    DELIVER = 'deliver'
    STORE = 'store'
    REFUSE = 'refuse'
    DROP = 'drop'


DELIVER, STORE, REFUSE, DROP = Action


class Row(NamedTuple):
    """The row of one type; the columns of the table above."""

    no_user: Action
    nobody: Action
    somebody: Action


TABLE = {
    'normal': Row(REFUSE, STORE, DELIVER),
    'chat': Row(REFUSE, STORE, DELIVER),
    'headline': Row(DROP, DROP, DELIVER),
    'groupchat': Row(REFUSE, REFUSE, REFUSE),
    'error': Row(DROP, DROP, DROP),
}


def row_of(kind: str | None) -> Row:
    """The row for a `type` attribute."""
    return TABLE.get(kind or 'normal', TABLE['normal'])


def choose(
    kind: str | None, full: str, sessions: Sequence[Session], everybody: bool = True
) -> tuple[Action, Sequence[Session]]:
    """What to do with a message to a user who exists, and the sessions that get it.

    kind       its type attribute
    full       the full JID that it is to, prepared; '' when it is to the bare JID
    sessions   the user's
    everybody  a chat or normal message to the bare JID goes to all that take messages; otherwise only to those
               of the highest priority (§8.5.2.1.1 leaves the choice)
    """
    if full:
        for session in sessions:
            if session.jid == full:
                return DELIVER, (session,)
    takers = [session for session in sessions if session.priority is not None and session.priority >= 0]
    row = row_of(kind)
    if not takers:
        return row.nobody, ()
    if row.somebody is DELIVER and not everybody and kind != 'headline':
        highest = max([session.priority or 0 for session in takers])
        takers = [session for session in takers if session.priority == highest]
    return row.somebody, takers if row.somebody is DELIVER else ()
