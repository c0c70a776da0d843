"""XEP-0191: users have a list of JIDs that they want to hear nothing from.

While a JID is blocked nothing goes either way.  Its messages are answered as if there were no such user, its IQs as if
there were no such client; its presence is dropped.  What the user sends to it is refused.  A user's own clients and the
server itself can be on the list, and are not blocked.  With a single resource blocked, what is sent to the bare JID
goes to the others.

The lists, and what is promised where several sms serve a user, are in block_lists.py; what blocking does to presence is
in block_presence.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from twisted.logger import Logger

from jabberd_tx.base.options import Option
from jabberd_tx.components.sm.block_lists import NOBODY, Blocked, BlockLists, Change
from jabberd_tx.components.sm.block_presence import BlockPresence
from jabberd_tx.components.sm.hooks import ELSEWHERE, STOP, Stop
from jabberd_tx.components.sm.iq import IqRequest
from jabberd_tx.components.sm.lanes import Item
from jabberd_tx.components.sm.module import OWN_ACCOUNT, Module, answers, hook
from jabberd_tx.storage import blocks
from jabberd_tx.storage.operations import Operation, StorageError
from jabberd_tx.storage.sessions.interface import Session
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.jid import Jid, parse
from jabberd_tx.xmpp.payloads.blocking import (
    BLOCK,
    BLOCKED,
    BLOCKLIST,
    UNBLOCK,
    is_blocked,
    items_of,
    list_xml,
)
from jabberd_tx.xmpp.stanza import Stanza

# What gets no answer: errors and results never do, nor a headline that nobody takes (RFC 6121 §8.5).
UNANSWERED = frozenset(('error', 'result', 'headline'))

# What a hook answers: that a stanza is dropped, or nothing; at once, or when the list has been read.
Verdict = Stop | None | Awaitable[Stop | None]


class Blocking(Module):
    """Lets users block others."""

    name = 'blocking'
    xeps = ('XEP-0191',)
    server_features = (ns.BLOCKING,)
    options = (
        Option('limit', int, 1000, 'JIDs that a user may block.', low=1, high=10_000, reload=True),
        Option(
            'cache', int, 10_000, 'Lists of users who are not online that are kept in memory.', low=10, high=1_000_000,
            reload=True,
        ),
    )  # fmt: skip

    log = Logger()

    def start(self) -> None:
        """No list is known yet."""
        self._lists = BlockLists(self.sm, lambda: int(self.values.cache))
        self._presence = BlockPresence(self.sm)
        self.sm.first_reads.add(blocks.get, self._lists.knows, self._lists.learn)
        self._pushes = 0

    # ---- commands

    @answers('get', ns.BLOCKING, BLOCKLIST, OWN_ACCOUNT)
    async def listing(self, request: IqRequest) -> Stanza:
        """The list; from now on the client is told of its changes (§3.2)."""
        owner = request.sender.bare
        for session in await self.sm.sessions.fetch(owner):
            if session.stream == request.stream and not session.block_pushes:
                await self.sm.sessions.update(session.stream, owner, session.epoch, block_pushes=True)
        jids = sorted(await self._lists.get(owner))
        return request.result(ns.BLOCKING, BLOCKLIST, list_xml(BLOCKLIST, jids))

    @answers('set', ns.BLOCKING, BLOCK, OWN_ACCOUNT)
    async def block(self, request: IqRequest) -> None:
        """Add JIDs to the list (§3.3)."""
        owner, jids = request.sender.bare, items_of(request.stanza, BLOCK)
        if not jids:
            raise StanzaError('bad-request', 'nobody is named')
        if not await self.sm.accounts.exist(owner):
            raise StanzaError('not-allowed', 'there is no account to keep the list for')
        changed = await self._change(owner, BLOCK, jids, blocks.add, (jids, self.values.limit))
        if changed is None:
            raise StanzaError('resource-constraint', 'too many are blocked already', 'modify')
        await self._see_to(self._presence.hide(owner, changed), owner)

    @answers('set', ns.BLOCKING, UNBLOCK, OWN_ACCOUNT)
    async def unblock(self, request: IqRequest) -> None:
        """Take JIDs from the list; without an item all of them (§3.4, §3.5)."""
        owner, jids = request.sender.bare, items_of(request.stanza, UNBLOCK)
        operation, arguments = (blocks.remove, (jids,)) if jids else (blocks.clear, ())
        changed = await self._change(owner, UNBLOCK, jids, operation, arguments)
        if changed is not None:
            await self._see_to(self._presence.show(owner, changed), owner)

    async def _change(
        self, owner: str, command: str, jids: Sequence[str], operation: Operation, arguments: Sequence[Any]
    ) -> Change | None:
        return await self._lists.change(owner, operation, arguments, lambda: self._push(owner, command, jids))

    def _push(self, owner: str, command: str, jids: Sequence[str]) -> None:
        """Tell all clients that have asked for the list, as the one that has changed it said it."""
        self._pushes += 1
        attrs = {'type': 'set', 'id': f'block-{self._pushes}'}
        stanza = Stanza.build('iq', attrs, (ns.BLOCKING, command, list_xml(command, jids)))

        def send(sessions: Sequence[Session]) -> None:
            self.sm.posts.fan_out(owner, [session for session in sessions if session.block_pushes], stanza)

        self.sm.with_sessions(owner, send)

    async def _see_to(self, work: Awaitable[None], owner: str) -> None:
        """The list is changed, whatever becomes of the presence that others see."""
        try:
            await work
        except StorageError as error:
            self.log.warn('not everybody sees whom {owner} has blocked: {error}', owner=owner, error=str(error))

    # ---- lists of sessions

    @hook('session_opening')
    async def open(self, session: Session) -> None:
        """The user's list goes with the session from the beginning."""
        try:
            session.blocked = await self._lists.for_record(session.bare)
        except StorageError as error:
            self.log.warn('whom {owner} has blocked is not known yet: {error}', owner=session.bare, error=str(error))

    @hook('session_started')
    @hook('session_ready')
    def check(self, session: Session) -> None:
        """It has the list as it is now."""
        self._lists.check(session)

    @hook('user_forgotten')
    def forget(self, owner: str) -> None:
        """A new account of that name has a new list."""
        self._lists.forget(owner)

    @hook('peers_changed')
    def forget_all(self, domain: str) -> None:
        """Others may change lists from now on, or may have."""
        self._lists.forget_all()

    # ---- messages

    @hook('message_concerns')
    def concerns(self, stanza: Stanza, own: Sequence[Session] | None, others: Sequence[Session] | None) -> bool:
        """Whether its sender or its recipient has a list, or may have one."""
        if not own:
            return True
        mine = own[0].blocked
        if mine is not NOBODY and (mine is None or mine):
            return True
        if not others:
            return others is not ELSEWHERE
        theirs = others[0].blocked
        return theirs is not NOBODY and (theirs is None or bool(theirs))

    # First of all: what is refused is nobody else's business.

    @hook('message_sent', order=10)
    def send(self, message: Item) -> Verdict:
        """Not to somebody whom its sender has blocked."""
        return self._leaves(parse(message.sender), message.to)

    @hook('message_to', order=10)
    @hook('message_returned', order=10)
    def deliver(self, message: Item) -> Verdict:
        """Not from somebody whom its recipient has blocked; nor does a client get what another one has left unacked."""
        return self._comes(message.stanza, parse(message.sender), message.to)

    @hook('message_takers')
    def reach(self, message: Item, takers: Sequence[Session]) -> list[Session] | None:
        """A message to the bare JID is not for single clients that its sender has blocked."""
        sender = parse(message.sender)
        blocked = self._lists.peek(sender.bare) if self._is_ours(sender) and sender.bare != message.to.bare else None
        if not blocked:
            return None
        reached = [taker for taker in takers if taker.jid not in blocked]
        if not reached:
            raise StanzaError('not-acceptable', type='cancel', application=BLOCKED)
        return reached if len(reached) < len(takers) else None

    @hook('message_fetched')
    def fetch(self, stanza: Stanza, session: Session) -> Stop | None:
        """What was stored before its sender was blocked."""
        blocked, sender = self._lists.peek(session.bare), stanza.attrs.get('from')
        return STOP if blocked and sender and self._has(blocked, parse(sender)) else None

    # ---- IQs

    @hook('iq_sent', order=10)
    def ask(self, stanza: Stanza, sender: Jid, to: Jid) -> Verdict:
        """As a message."""
        return self._leaves(sender, to)

    @hook('iq_to', order=10)
    def be_asked(self, stanza: Stanza, sender: Jid, to: Jid) -> Verdict:
        """The same."""
        return self._comes(stanza, sender, to)

    # ---- presence

    @hook('presence_sent', order=10)
    def greet(self, stanza: Stanza, sender: Jid, to: Jid) -> Verdict:
        """Neither directed presence nor what changes a subscription goes to somebody whom the user has blocked."""
        return self._leaves(sender, to)

    @hook('presence_to', order=10)
    def pass_on(self, stanza: Stanza, sender: Jid, to: Jid) -> Verdict:
        """No presence goes either way, nor any answer."""
        if sender.bare == to.bare:
            return None
        theirs = self._lists.peek(to.bare) if self._is_ours(to) else NOBODY
        mine: Blocked | None = NOBODY
        if self._is_ours(sender):
            mine = self._presence.before_farewell(stanza)
            if mine is None:
                mine = self._lists.peek(sender.bare)
        if mine is None or theirs is None:
            return self._pass_on_later(mine, theirs, sender, to)
        return self._stop(mine, theirs, sender, to)

    async def _pass_on_later(self, mine: Blocked | None, theirs: Blocked | None, sender: Jid, to: Jid) -> Stop | None:
        try:
            mine = mine if mine is not None else await self._lists.get(sender.bare)
            theirs = theirs if theirs is not None else await self._lists.get(to.bare)
        except StorageError:
            return STOP
        return self._stop(mine, theirs, sender, to)

    def _stop(self, mine: Blocked, theirs: Blocked, sender: Jid, to: Jid) -> Stop | None:
        return STOP if mine and self._has(mine, to) or theirs and self._has(theirs, sender) else None

    @hook('presence_shown')
    def show(self, session: Session, viewers: Sequence[Session]) -> list[Session] | None:
        """Only to those who are on no list of its user, and have it on none of theirs."""
        seen = [viewer for viewer in viewers if viewer.bare == session.bare or not self._is_between(session, viewer)]
        return seen if len(seen) < len(viewers) else None

    def _is_between(self, session: Session, viewer: Session) -> bool:
        """While a list is not known, it might be; it is looked for."""
        mine, theirs = session.blocked, viewer.blocked
        if mine is None or theirs is None:
            self._lists.check(session if mine is None else viewer)
            return True
        return bool(mine and self._has(mine, parse(viewer.jid)) or theirs and self._has(theirs, parse(session.jid)))

    # ---- all of them

    def _leaves(self, sender: Jid, to: Jid) -> Verdict:
        return None if sender.bare == to.bare else self._by_list(sender.bare, partial(self._refuse_sent, to))

    def _comes(self, stanza: Stanza, sender: Jid, to: Jid) -> Verdict:
        return None if sender.bare == to.bare else self._by_list(to.bare, partial(self._refuse_come, stanza, sender))

    def _by_list(self, owner: str, decide: Callable[[Blocked], Stop | None]) -> Verdict:
        blocked = self._lists.peek(owner)
        return self._by_list_later(owner, decide) if blocked is None else decide(blocked)

    async def _by_list_later(self, owner: str, decide: Callable[[Blocked], Stop | None]) -> Stop | None:
        try:
            blocked = await self._lists.get(owner)
        except StorageError:
            raise StanzaError('resource-constraint', 'try again later') from None
        return decide(blocked)

    def _refuse_sent(self, to: Jid, blocked: Blocked) -> None:
        if blocked and self._has(blocked, to):
            raise StanzaError('not-acceptable', type='cancel', application=BLOCKED)

    def _refuse_come(self, stanza: Stanza, sender: Jid, blocked: Blocked) -> Stop | None:
        if not blocked or not self._has(blocked, sender):
            return None
        if stanza.attrs.get('type') in UNANSWERED:
            return STOP
        raise StanzaError('service-unavailable')

    def _has(self, blocked: Blocked, jid: Jid) -> bool:
        """Whether the list is about that JID, which is not the server's own."""
        return is_blocked(blocked, jid) and (bool(jid.local) or jid.domain not in self.sm.domains)

    def _is_ours(self, jid: Jid) -> bool:
        return bool(jid.local) and jid.domain in self.sm.domains
