"""What takes time to decide about a message: asking modules, the session store, storage.

While it goes on the item is `deciding`, and its lane waits.  At the end the lane is advanced.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from jabberd_tx.components.sm.hooks import STOP
from jabberd_tx.components.sm.messages import DROP, row_of
from jabberd_tx.link.frames import CLIENT, RETURNED
from jabberd_tx.storage.operations import StorageError
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.sm.delivery import Delivery
    from jabberd_tx.components.sm.lanes import Item
    from jabberd_tx.components.sm.service import SessionManager


class Deciding:
    """The slow half of Delivery."""

    log = Logger()

    def __init__(self, sm: SessionManager, delivery: Delivery) -> None:
        self._sm, self._delivery = sm, delivery

    # ---- modules

    def ask_hooks(self, item: Item) -> bool:
        """Let modules see a new message.  True: it may go on (or is settled already); False: they take their time."""
        points = self._points(item)
        for index, point in enumerate(points):
            if not self._sm.hooks.chains[point]:
                continue
            try:
                answer, pending = self._sm.hooks.ask_now(point, item)
            except StanzaError as error:
                self._delivery.refuse(item, error.condition, error.text, error.type, error.application)
                return True
            if pending is not None:
                self._begin(item, self._wait_for_hooks(item, pending, points[index + 1 :]))
                return False
            if not self._take_answer(item, answer):
                return True
        self._seen(item)
        return True

    def _points(self, item: Item) -> list[str]:
        flags = item.arrived.flags
        if flags & RETURNED:
            return ['message_returned']
        points = ['message_sent'] if flags & CLIENT else []
        if item.to.domain in self._sm.domains:
            points.append('message_to')
        return points

    @staticmethod
    def _seen(item: Item) -> None:
        trouble = item.troubled()
        trouble.ready, trouble.asked = True, not item.arrived.flags & RETURNED

    async def _wait_for_hooks(self, item: Item, pending: Awaitable[Any], points: list[str]) -> None:
        if not self._take_answer(item, await pending):
            return
        for point in points:
            if not self._take_answer(item, await self._sm.hooks.ask(point, item)):
                return
        self._seen(item)

    def _take_answer(self, item: Item, answer: Any) -> bool:
        """Whether it goes on."""
        if answer is STOP:
            self._delivery.settle(item)
            return False
        if isinstance(answer, Stanza):
            item.stanza = answer
        return True

    # ---- sessions and storage

    def ask_sessions(self, item: Item) -> None:
        """Nobody here knows who is online."""
        self._begin(item, self._fetch(item))

    async def _fetch(self, item: Item) -> None:
        item.troubled().sessions = list(await self._sm.sessions.fetch(item.to.bare))

    def ask_account(self, item: Item) -> None:
        """Nobody is there, and the recipient may be known elsewhere."""
        self._begin(item, self._look_up(item))

    async def _look_up(self, item: Item) -> None:
        item.troubled().elsewhere = await self._sm.elsewhere.holds(item.to.bare)

    def ask_storage(self, item: Item) -> None:
        """Nobody takes the message."""
        self._begin(item, self._store(item))

    async def _store(self, item: Item) -> None:
        delivery = self._delivery
        if not await self._sm.accounts.exist(item.to.bare):
            if row_of(item.stanza.attrs.get('type')).no_user is DROP:
                delivery.settle(item)
            else:
                delivery.refuse(item, 'service-unavailable')
        elif await self._sm.hooks.ask('message_unreachable', item) is STOP:
            delivery.settle(item)
        else:
            delivery.refuse(item, 'service-unavailable')

    # ---- both

    def _begin(self, item: Item, work: Coroutine[Any, Any, None]) -> None:
        item.troubled().deciding = True
        Deferred.fromCoroutine(work).addErrback(self._failed, item).addBoth(self._done, item)

    def _failed(self, failure: Any, item: Item) -> None:
        error = failure.value
        if isinstance(error, StanzaError):
            self._delivery.refuse(item, error.condition, error.text, error.type, error.application)
            return
        if not isinstance(error, StorageError):
            self.log.failure('deciding about a message failed', failure=failure)
        self._delivery.refuse(item, 'resource-constraint', 'try again later')

    def _done(self, result: Any, item: Item) -> None:
        item.troubled().deciding = False
        self._delivery.advance(item.lane)
