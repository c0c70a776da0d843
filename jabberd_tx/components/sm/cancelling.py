"""An account that ends: its streams are closed, and its contacts are told that it is gone for good.

To whoever saw its clients they go offline; subscriptions either way end, as when somebody is removed from a roster
(RFC 6121 §2.5.2), each in the contact's own sm.  The account itself is gone before anybody is told: nobody logs in to
it any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jabberd_tx.storage import accounts
from jabberd_tx.storage.rosters import Item

if TYPE_CHECKING:
    from jabberd_tx.components.sm.service import SessionManager

# Contacts that are told in one turn.
SLICE = 20


async def cancel_account(sm: SessionManager, owner: str, text: str = '') -> int | None:
    """Remove the account with all that is its own; how many streams were closed, with that text.

    None: there was no such account.  StorageError.
    """
    roster = await remove(sm, owner)
    return None if roster is None else await see_off(sm, owner, roster, text)


async def remove(sm: SessionManager, owner: str) -> Sequence[Item] | None:
    """From storage; its roster as it was.  None: there was no such account.  StorageError."""
    roster: Sequence[Item] | None = await sm.storage.run(accounts.cancel, owner)
    return roster


async def see_off(sm: SessionManager, owner: str, roster: Sequence[Item], text: str) -> int:
    """Close the streams of an account that is removed, and tell its contacts; how many there were."""
    online = [session.jid for session in await sm.presence.available_of(owner)]
    sm.rosters.forget(owner)
    ended = await sm.kick(owner, 'not-authorized', text)
    for number, item in enumerate(roster, 1):
        await sm.handshake.part(owner, item, online)
        if number % SLICE == 0:
            await sm.sleep(0)
    return ended
