"""What an sm says about a session itself (link/session.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from jabberd_tx.components.c2s.session import ATTACHING, STARTING, Session
from jabberd_tx.link import session as vocabulary
from jabberd_tx.link.frames import Route
from jabberd_tx.xmpp.errors import CONDITIONS, STREAM_CONDITIONS
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.service import C2S
    from jabberd_tx.link.interfaces import Link

log = Logger()


def take_session_frame(c2s: C2S, session: Session, frame: Route, said: Stanza, link: Link) -> None:
    """Do what it says, and confirm it."""
    c2s.links.confirm(frame.source, frame.uid, link)
    kind = said.attrs.get('type')
    if kind == vocabulary.STARTED:
        _started(c2s, session, frame, said, link)
    elif kind == vocabulary.ATTACHED:
        if session.phase is ATTACHING:
            c2s.pins.take_started(frame, session, link)
            c2s.moves.settled(session)
    elif kind == vocabulary.ELSEWHERE:
        c2s.moves.elsewhere(session, frame.epoch, said.attrs.get('node', ''))
    elif kind == vocabulary.REFUSED:
        if session.phase is STARTING and frame.epoch == session.epoch:
            _refused(c2s, session, said)
    elif kind == vocabulary.CLOSE:
        if frame.epoch >= session.epoch:
            _close(c2s, session, frame, said, link)
            c2s.moves.settled(session)
        # Else an sm says it that the session has left: what it knows is old.
    elif kind == vocabulary.KEEP:
        if frame.epoch >= session.epoch:
            session.kept = said.inner
            if session.copies is not None:
                session.copies.keep(session.stream, session.kept)
    elif kind == vocabulary.LOST:
        if frame.epoch >= session.epoch:
            c2s.pins.attach_again(session)
    else:
        log.warn('{node} says {kind!r} about a session', node=frame.source, kind=kind)


def announce(c2s: C2S, sm: str) -> None:
    """The session store has lost what that sm had written to it: attach all that is pinned to it again."""
    for session in c2s.sessions.values():
        if session.pin.node == sm:
            c2s.pins.attach_again(session)


def _started(c2s: C2S, session: Session, frame: Route, said: Stanza, link: Link) -> None:
    c2s.offer.caps[session.domain] = said.attrs.get('caps', '')
    if session.phase is not STARTING or not c2s.pins.take_started(frame, session, link):
        return
    conn = session.conn
    if conn is None:
        return  # its end is on its way
    session.jid = said.attrs['jid']
    session.resource = ''
    c2s.streams += 1
    assert conn.login is not None
    conn.login.binding.bound(session)


def _refused(c2s: C2S, session: Session, said: Stanza) -> None:
    c2s.drop(session)
    conn, session.conn = session.conn, None
    if conn is not None and conn.login is not None:
        condition, text = said.attrs.get('condition', ''), said.attrs.get('text', '')
        conn.login.binding.refused(condition if condition in CONDITIONS else 'internal-server-error', text)


def _close(c2s: C2S, session: Session, frame: Route, said: Stanza, link: Link) -> None:
    condition, text = said.attrs.get('condition', ''), said.attrs.get('text', '')
    if condition not in STREAM_CONDITIONS:
        condition = 'internal-server-error'
    if session.phase is STARTING:
        conn = session.conn
        if conn is not None and conn.login is not None:
            conn.login.fail(condition, text)
        return
    session.fail(condition, text)
    # Who ends a session that it was asked to attach takes what is left of it.
    c2s.pins.take_started(frame, session, link)
