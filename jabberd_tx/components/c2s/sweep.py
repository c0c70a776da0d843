"""What c2s looks after once a second, with one timer for all its streams.

Each second: logins and closes that take too long, acks to be asked for, connections that have become quiet.  What has
time (idle clients, slow readers, sessions that nobody answers) is looked at in slices, each session once in PERIOD
seconds, so that many idle ones cost little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from jabberd_tx.components.c2s.away import Away
from jabberd_tx.link.frames import CLIENT

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.service import C2S
    from jabberd_tx.components.c2s.session import Session

PERIOD = 8
# How long it is remembered, at least, what was passed on to a client.
REMEMBERED = 300


class Sweep:
    """See the module's text; `run` is called once a second."""

    log = Logger()

    def __init__(self, c2s: C2S) -> None:
        self._c2s = c2s
        self._round: list[Session] = []
        self._slice = 1
        self._forget = False
        self._forgotten_at = 0

    def run(self) -> None:
        """One second has passed."""
        c2s = self._c2s
        tick = c2s.tick = c2s.tick + 1
        for login in [login for login in c2s.logins if login.deadline <= tick]:
            login.expire()
        for conn in [conn for conn in c2s.closing if conn.closing <= tick]:
            conn.transport.abortConnection()
        c2s.leaving.expire(tick)
        c2s.resumable.tick(tick)
        c2s.moves.tick(tick)
        if c2s.copies is not None:
            c2s.copies.tick()
        unasked, c2s.unasked = c2s.unasked, []
        for outbox in unasked:
            outbox.ask()
        c2s.hot = [conn for conn in c2s.hot if conn.cool()]
        c2s.limited.tick(tick)
        self._look_at_slice(tick)

    def _look_at_slice(self, tick: int) -> None:
        if not self._round:
            self._round = list(self._c2s.sessions.values())
            self._slice = -(-len(self._round) // PERIOD) or 1
            self._forget = tick - self._forgotten_at >= REMEMBERED
            if self._forget:
                self._forgotten_at = tick
        slice, self._round = self._round[: self._slice], self._round[self._slice :]
        for session in slice:
            if session.conn is None:
                self._look_at_ended(session, tick)
            else:
                self._look_at(session, tick)
            if self._forget:
                session.forget_uids()

    def _look_at_ended(self, session: Session, tick: int) -> None:
        c2s = self._c2s
        if tick - session.ended_at > c2s.options.linger_timeout and session.stream in c2s.sessions:
            self.log.error(
                '{count} stanzas of {jid} are given up: no session manager has confirmed them',
                jid=session.jid,
                count=max(len(session.unconfirmed) - 1, 0),
            )
            c2s.drop(session)
        else:
            c2s.pins.look_at(session)

    def _look_at(self, session: Session, tick: int) -> None:
        c2s, conn, options = self._c2s, session.conn, self._c2s.options
        c2s.pins.look_at(session)
        if conn is None or conn.session is not session or isinstance(conn, Away):
            return
        if session.repeats_to and session.floor > session.repeats_to:
            session.flags, session.repeats_to = CLIENT, 0
        held = session.held
        if held is not None and len(held) and tick - held.since > options.csi_seconds:
            session.send_held('old')
        silent = tick - conn.last
        if session.congested_at and tick - session.congested_at > options.write_timeout:
            c2s.resumable.cut(session, 'connection-timeout', 'the client does not read')
            conn.abort()
        elif session.asked_at and min(silent, tick - session.asked_at) > options.ack_timeout:
            c2s.resumable.cut(session, 'connection-timeout', 'the client does not answer')
        elif options.idle_timeout and silent > options.idle_timeout:
            if session.acks is None:
                # No answer, but TCP finds out whether the client is there.
                session.write(b' ')
            elif not session.asked_at:
                session.probe()
