"""How c2s leaves: nothing that was accepted is lost, nothing is doubled.

    1  close the ports, say so to the routers, take nothing more from clients
    2  wait until what was taken is confirmed
    3  tell clients with acks how far it went, ask them for theirs, and wait a moment for the answers
    4  close the streams (system-shutdown); messages that were not acked go back to an sm, and the sessions end
    5  wait until all of that is confirmed, and the connections are closed

Each wait has a bound; what it leaves behind is logged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

if TYPE_CHECKING:
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
    if not await _until(c2s, lambda: not c2s.count_unconfirmed(), options.drain_timeout):
        log.warn('{count} stanzas are not confirmed yet', count=c2s.count_unconfirmed())
    await _hear_acks(c2s)
    await _close_streams(c2s)
    if not await _until(c2s, lambda: not c2s.sessions and not len(c2s.returned), options.drain_timeout):
        log.error(
            'leaving with {sessions} sessions not ended and {messages} messages not taken back',
            sessions=len(c2s.sessions),
            messages=len(c2s.returned),
        )
    await _until(c2s, lambda: not c2s.closing, options.close_timeout)
    for conn in list(c2s.closing):
        conn.transport.abortConnection()
    c2s.stop_timers()


async def _hear_acks(c2s: C2S) -> None:
    asked = [session for session in c2s.live() if session.acks is not None]
    for session in asked:
        session.last_ack()
        if session.acks is not None and session.acks.unacked:
            session.probe()
        if session.conn is not None:
            session.conn.hear_only_acks()
    await _until(c2s, lambda: not any(session.acks is not None and session.acks.unacked for session in asked), FOR_ACKS)


async def _close_streams(c2s: C2S) -> None:
    other = c2s.options.see_other_host
    sessions = [session for session in c2s.sessions.values() if session.conn is not None]
    for at in range(0, len(sessions), SLICE):
        for session in sessions[at : at + SLICE]:
            if other:
                session.fail('see-other-host', inner=other)
            else:
                session.fail('system-shutdown')
        await deferLater(c2s.reactor, 0, lambda: None)


async def _until(c2s: C2S, over: Callable[[], bool], seconds: float) -> bool:
    """Wait for it, so long at most; whether it has come."""
    end = c2s.reactor.seconds() + seconds
    while not over():
        if c2s.reactor.seconds() >= end:
            return False
        wait: Deferred[None] = deferLater(c2s.reactor, LOOK, lambda: None)
        await wait
    return True
