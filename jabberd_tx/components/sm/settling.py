"""How messages are settled: delivered, stored, or answered with an error; whoever waits for that is told.

On the stanza path `confirmed` is all: one node has what one item had been sent to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jabberd_tx.components.sm.lanes import Item
from jabberd_tx.link.frames import RETURNED, Confirm, confirmation
from jabberd_tx.xmpp.errors import error_reply

if TYPE_CHECKING:
    from jabberd_tx.components.sm.delivery import Delivery
    from jabberd_tx.components.sm.service import SessionManager

# One message in so many is timed; which of a stream's, its id says: few streams ever come to the 64th.
SAMPLE = 64


class Settling:
    """See the module's text.  began: when messages came that are timed, by uid."""

    def __init__(self, sm: SessionManager, delivery: Delivery) -> None:
        self._sm, self._delivery, self._posts = sm, delivery, sm.posts
        self._counts, self._timing = sm.measures.messages, sm.measures.handling
        self._sending = delivery.sending
        self._kept, self._settled, self._confirm = delivery.kept, delivery.settled, sm.links.confirm
        self._advance, self._seconds = delivery.advance, sm.reactor.seconds
        self._refused_hooks = sm.hooks.chains['message_refused']
        self.began: dict[bytes, float] = {}

    # ---- confirmed

    def confirmed(self, frame: Confirm) -> None:
        """A node has passed on what it got."""
        kept, mark, confirm = self._kept, self._settled.mark, self._confirm
        failed = frame.failed
        if failed:
            self._note_failed(frame)
        for uid in frame.uids:
            item = kept.get(uid)
            if item is None or item.trouble is not None or item.target is None:
                self._confirmed_slowly(uid, item, frame)
                continue
            del kept[uid]
            lane = item.lane
            del lane.items[uid]
            mark(uid)
            confirm(item.arrived.source, uid, item.via)
            self._counts.delivered += 1
            if not (uid[15] + uid[23]) % SAMPLE:
                self._time(uid)
            if lane.held:
                self._advance(lane)

    def _confirmed_slowly(self, uid: bytes, item: Item | None, frame: Confirm) -> None:
        if item is None or item.target is None:
            if self._posts.confirmed(uid, [stream for at, stream in frame.failed if at == uid]) or item is None:
                return
        # A waiting item is confirmed when an earlier copy of it got through after all.
        trouble = item.trouble
        if trouble is not None and frame.source in trouble.stale:
            trouble.stale.discard(frame.source)
            self._sending.ask_again(item, frame.source)
            return
        if trouble is not None and trouble.parts:
            part = trouble.parts.pop(frame.source, None)
            if part is None:
                return
            there = sum([(stream, frame.source) not in trouble.tried for stream in part.streams])
            if there:
                trouble.reached = True
            trouble.tried.update([(stream, frame.source) for stream in part.streams])
            if trouble.parts:
                return
            if not trouble.reached:
                item.target = None
                self._advance(item.lane)
                return
        self._counts.delivered += 1
        self.settle(item)
        self._advance(item.lane)

    def _note_failed(self, frame: Confirm) -> None:
        for uid, stream in frame.failed:
            item = self._kept.get(uid)
            if item is not None and item.trouble is not None:
                item.trouble.tried.add((stream, frame.source))

    def _time(self, uid: bytes) -> None:
        began = self.began.pop(uid, None)
        if began is not None:
            self._timing.observe(self._seconds() - began)

    # ---- settled

    def settle(self, item: Item) -> None:
        """It is delivered, stored, or answered: whoever waits for it is told.  The lane is the caller's to advance."""
        uid = item.uid
        if self._kept.pop(uid, None) is None:
            return
        item.lane.items.pop(uid, None)
        self._settled.mark(uid)
        self._confirm(item.arrived.source, confirmation(item.arrived), item.via)
        if not (uid[15] + uid[23]) % SAMPLE:
            self._time(uid)
        if item.trouble is not None:
            for node, confirmed, via in item.trouble.also:
                self._confirm(node, confirmed, via)

    def refuse(
        self, item: Item, condition: str, text: str = '', kind: str | None = None, application: bytes = b''
    ) -> None:
        """Answer it with an error, and settle it.  A room's message that was given back gets no answer."""
        if not (item.arrived.flags & RETURNED and item.stanza.attrs.get('type') == 'groupchat'):
            self._sm.refuse(item.arrived, item.stanza, condition, text, kind, application)
            if item.trouble is not None and item.trouble.placed and self._refused_hooks:
                error = error_reply(item.stanza, condition, text, kind, application=application)
                self._sm.hooks.tell('message_refused', item, error)
        self._counts.refused += 1
        self.settle(item)
