"""What an inactive client is not sent yet (XEP-0352).

It is confirmed to its sm as if it had been sent, goes out before anything that may not wait, and goes back with what
was not acked when the stream ends.  XEP-0198 counts it when it goes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jabberd_tx.components.c2s.client_state import Verdict, judge
from jabberd_tx.link.frames import Route
from jabberd_tx.link.stream_copies import OWN
from jabberd_tx.xmpp.events import Nonza
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import to_xml

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.outbox import Outbox


class HeldBack:
    """What one inactive client is not sent yet, oldest first.

    size   bytes
    since  the service's tick when the oldest came
    """

    __slots__ = ('_items', '_next', 'since', 'size')

    def __init__(self) -> None:
        # A presence by its sender, a message by a number: the stanza's XML, and its frame if it may have to go back.
        self._items: dict[str | int, tuple[bytes, Route | None]] = {}
        self._next = 0
        self.size = self.since = 0

    def __len__(self) -> int:
        return len(self._items)

    def add(self, sender: str, data: bytes, frame: Route | None) -> bool:
        """Keep one.  `sender`: of a presence, else ''.  Whether it replaces an earlier presence."""
        key: str | int = sender
        if not sender:
            key = self._next = self._next + 1
        before = self._items.pop(key, None)
        self._items[key] = (data, frame)
        self.size += len(data) - (len(before[0]) if before is not None else 0)
        return before is not None

    def take(self) -> tuple[bytes, Route | None]:
        """The oldest, out of it."""
        item = self._items.pop(next(iter(self._items)))
        self.size -= len(item[0])
        return item

    @property
    def items(self) -> list[tuple[bytes, Route | None]]:
        """All of them."""
        return list(self._items.values())

    @property
    def frames(self) -> list[Route]:
        """Of the messages, which go back when the stream ends."""
        return [frame for _, frame in self._items.values() if frame is not None]


def holds(outbox: Outbox, stanza: Stanza, frame: Route | None, data: bytes = b'') -> bool:
    """Of an inactive client: True when the stanza is held or dropped, False when it is to be sent now.

    frame  of what may go back: a message, an IQ
    data   the stanza's XML, where it has been made already
    """
    held, c2s = outbox.held, outbox.c2s
    assert held is not None
    measures, options = c2s.measures.client_state, c2s.options
    verdict, reason = judge(stanza)
    if verdict is Verdict.SEND:
        if outbox.send_held(reason):
            return False
        # The stream has ended over it.
        if frame is not None:
            outbox.give_back(frame)
        return True
    if verdict is Verdict.DROP:
        measures.dropped.one_more(reason)
        return True
    sender = stanza.attrs.get('from', '') if stanza.name == 'presence' else ''
    if not len(held):
        held.since = c2s.tick
    data = data or to_xml(stanza)
    if outbox.copies is not None:
        outbox.copies.hold(outbox.stream, OWN if frame is None else frame.uid, data)
    if held.add(sender, data, frame):
        measures.dropped.one_more('replaced')
    measures.held.one_more(reason)
    if len(held) >= options.csi_stanzas or held.size >= options.csi_bytes:
        outbox.send_held('full')
    return True


def take_client_state(outbox: Outbox, said: Nonza) -> None:
    """What a client says in XEP-0352's namespace."""
    if said.name == 'active':
        outbox.become_active()
    elif said.name != 'inactive':
        outbox.fail('unsupported-stanza-type', 'not expected here')
    elif outbox.c2s.options.csi:
        outbox.become_inactive()
