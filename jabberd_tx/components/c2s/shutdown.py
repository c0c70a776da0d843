"""How c2s leaves: nothing that was accepted is lost, nothing is doubled.

    1  close the ports, say so to the routers, take nothing more from clients
    2  wait until what was taken is confirmed
    3  tell clients with acks how far it went, ask them for theirs, and wait a moment for the answers
    4  sessions that another worker has asked for are its own by now, or taken back; messages that were not acked go
       back to an sm, and the sessions end; wait until all of that is confirmed
    5  close the streams (system-shutdown), and wait until the clients have closed theirs

The streams are closed last, so that a client which comes back at once finds its old session gone, and gets what was
given back before anything newer.  Each wait has a bound; what it leaves behind is logged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from jabberd_tx.components.c2s.status import count_unconfirmed
from jabberd_tx.xmpp.errors import stream_error

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.away import Away
    from jabberd_tx.components.c2s.connection import ClientConnection
    from jabberd_tx.components.c2s.service import C2S

log = Logger()

# How long clients may take to ack.
FOR_ACKS = 1.0
# How often it is looked whether a wait is over.
LOOK = 0.02
# Streams that are closed in one turn.
SLICE = 100


async def shut_down(c2s: C2S) -> None:
    """See the module's text.  A second call waits for nothing."""
    if c2s.stopping:
        return
    c2s.stopping = True
    await gatherResults([maybeDeferred(port.stopListening) for port in c2s.ports])
    c2s.ports.clear()
    c2s.links.drain()
    for login in list(c2s.logins):
        login.fail('system-shutdown')
    for session in c2s.live():
        session.hold()
    options = c2s.options
    if not await _until(c2s, lambda: not count_unconfirmed(c2s), options.drain_timeout):
        log.warn('{count} stanzas are not confirmed yet', count=count_unconfirmed(c2s))
    await _hear_acks(c2s)
    await _until(c2s, lambda: not c2s.moves.given, options.drain_timeout)
    c2s.moves.take_all_back()
    clients = await _end_sessions(c2s)
    if not await _until(c2s, lambda: not c2s.sessions and not len(c2s.returned), options.drain_timeout):
        log.error(
            'leaving with {sessions} sessions not ended and {messages} messages not taken back',
            sessions=len(c2s.sessions),
            messages=len(c2s.returned),
        )
    other = options.see_other_host
    last = stream_error('see-other-host', inner=other) if other else stream_error('system-shutdown')
    for client in clients:
        client.close(last)
    await _until(c2s, lambda: not c2s.closing, options.close_timeout)
    for conn in list(c2s.closing):
        conn.transport.abortConnection()
    c2s.stop_timers()
    if c2s.copies is not None:
        await c2s.copies.stop()


async def _hear_acks(c2s: C2S) -> None:
    asked = [session for session in c2s.live() if session.acks is not None and session not in c2s.resumable.away]
    for session in asked:
        session.last_ack()
        if session.acks is not None and session.acks.unacked:
            session.probe()
        if session.conn is not None:
            session.conn.hear_only_acks()
    await _until(c2s, lambda: not any(session.acks is not None and session.acks.unacked for session in asked), FOR_ACKS)


async def _end_sessions(c2s: C2S) -> list[ClientConnection | Away]:
    """The connections, which are still open."""
    sessions = [session for session in c2s.sessions.values() if session.conn is not None]
    clients: list[ClientConnection | Away] = []
    for at in range(0, len(sessions), SLICE):
        for session in sessions[at : at + SLICE]:
            if session.conn is not None:
                clients.append(session.conn)
                session.end()
        await deferLater(c2s.reactor, 0, lambda: None)
    return clients


async def _until(c2s: C2S, over: Callable[[], bool], seconds: float) -> bool:
    """Wait for it, so long at most; whether it has come."""
    end = c2s.reactor.seconds() + seconds
    while not over():
        if c2s.reactor.seconds() >= end:
            return False
        wait: Deferred[None] = deferLater(c2s.reactor, LOOK, lambda: None)
        await wait
    return True
