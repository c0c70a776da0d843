"""How a client gets its stream back (XEP-0198 §5): by <resume/> after login, or with SASL2.

    session = await resume(c2s, who, request)     while the connection is held
    answer = resumed(session, request)            the <resumed/>, to be written at once
    wake(session, conn)                           after that: the connection is the session's

What the client had sent before, and was taken, is confirmed first, so that the `h` that it is told covers it: else the
client would send it once more, as something new.  A session manager that takes longer than CONFIRM_S for it is not
waited for: it is counted then, since it is kept here until it is confirmed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, TimeoutError

from jabberd_tx.components.c2s.resumption import NotResumed, StreamId
from jabberd_tx.xmpp import acks
from jabberd_tx.xmpp.events import Nonza
from jabberd_tx.xmpp.jid import Jid

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.connection import ClientConnection
    from jabberd_tx.components.c2s.service import C2S
    from jabberd_tx.components.c2s.session import Session

CONFIRM_S = 5.0


async def resume(c2s: C2S, who: Jid, request: Nonza) -> Session:
    """The session that the <resume/> of an authenticated user asks for, away: whoever had it is cut off.

    NotResumed (answered with its <failed/>); AcksError for an h that was never sent: ends the new stream.
    """
    try:
        session, counts = _find(c2s, who.bare, request), c2s.measures.resumptions
        here = session is not None
        if session is None:
            session = await _fetch(c2s, who.bare, request)
        c2s.resumable.cut(session, 'conflict', 'resumed by another connection')
        await _all_confirmed(c2s, session)
        if session.copies is not None:
            # What is counted now although it is not confirmed would be lost with this process.
            await session.copies.store_anew(session)
            # Another connection of the client may have been here meanwhile.
            c2s.resumable.cut(session, 'conflict', 'resumed by another connection')
        check(session, request)
        counts.here += here
    except (NotResumed, acks.AcksError):
        c2s.measures.resumptions.failed += 1
        raise
    return session


async def _fetch(c2s: C2S, bare: str, request: Nonza) -> Session:
    """From the worker that has it; or from the copies of one that is gone."""
    id = _id_of(request)
    counts, recovering = c2s.measures.resumptions, c2s.recovering
    try:
        session = await c2s.moves.fetch(bare, id, acks.parse_h(request))
        counts.moved += 1
    except NotResumed as refusal:
        if refusal.condition != 'item-not-found' or refusal.h is not None or recovering is None:
            raise
        session = await recovering.fetch(bare, id)
        counts.recovered += 1
    return session


def _find(c2s: C2S, bare: str, request: Nonza) -> Session | None:
    try:
        acks.parse_h(request)
    except acks.AcksError:
        raise NotResumed('bad-request') from None
    session = c2s.resumable.find(bare, _id_of(request))
    if session is not None:
        check(session, request)
    return session


def _id_of(request: Nonza) -> StreamId:
    return StreamId.parse(request.attrs.get('previd', ''))


def check(session: Session, request: Nonza) -> None:
    """Whether the session is there and can go on where the client's h says; NotResumed, AcksError."""
    if session.acks is None or session.resumption is None:
        raise NotResumed('item-not-found')
    if not session.acks.knows(acks.parse_h(request)):
        raise NotResumed('bad-request')


async def _all_confirmed(c2s: C2S, session: Session) -> None:
    resumption = session.resumption
    if resumption is None or session.floor > session.number:
        return
    earlier = resumption.waiting
    waiting = resumption.waiting = Deferred()
    if earlier is not None:
        # The same client, on a connection that it has given up.
        earlier.errback(NotResumed('conflict'))
    session.owed = session.number
    waiting.addTimeout(CONFIRM_S, c2s.reactor)
    try:
        await waiting
    except TimeoutError:
        pass
    finally:
        if resumption.waiting is waiting:
            resumption.waiting = None


def resumed(session: Session, request: Nonza) -> bytes:
    """<resumed/>; what the client's h covers is acked."""
    counters, resumption = session.acks, session.resumption
    assert counters is not None and resumption is not None
    session.take_ack(request)
    counters.count(session.number)
    session.owed = 0
    return acks.resumed(str(resumption.id), counters.h(session.floor - 1))


def wake(session: Session, conn: ClientConnection) -> None:
    """The connection, which is held, is the session's; what the client does not have is sent again."""
    session.c2s.resumable.back(session)
    session.conn = conn
    session.switch(conn.transport)
    conn.become(session)
    session.send_again()
    session.become_active()  # which a client is when it resumes (XEP-0352), whatever it was
    if session.link is None or session.number - session.floor >= session.c2s.window_edge:
        session.hold()
        session.release()
    else:
        conn.proceed()
