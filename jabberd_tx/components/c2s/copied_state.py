"""A session as its copy has it, and a session made from a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jabberd_tx.components.c2s.away import Away
from jabberd_tx.components.c2s.client_iq import Asked, ClientIqs
from jabberd_tx.components.c2s.outbox import Unacked
from jabberd_tx.components.c2s.resumption import StreamId
from jabberd_tx.components.c2s.returned import HOPS
from jabberd_tx.components.c2s.session import ATTACHING, Session
from jabberd_tx.components.c2s.sm_node import NOWHERE
from jabberd_tx.link.frames import CLIENT, REPEAT, Route, make_uid
from jabberd_tx.link.stream_copies import OWN, Base, CopiedStream, may_go_back, stanza_of
from jabberd_tx.xmpp.acks import Acks
from jabberd_tx.xmpp.jid import parse
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.service import C2S

# So much higher is the epoch of a session that is made from a copy, which need not have its last one.
LEAP = 1000
# So many of a client's stanzas may have been taken though it was never told.
WINDOW = 64


def base_of(session: Session) -> Base:
    """The session has acks."""
    acks, resumption = session.acks, session.resumption
    assert acks is not None
    told = max(session.floor - 1, acks.state[1])
    key, secret = resumption.id if resumption is not None else (b'', b'')
    held = session.held.items if session.held is not None else ()
    return Base(
        session.jid,
        session.lang,
        told,
        session.epoch,
        session.presence,
        key,
        secret,
        resumption.seconds if resumption is not None else 0,
        resumption.before if resumption is not None else 0,
        acks.state,
        [(frame.uid if frame is not None else OWN, data) for frame, data in acks.unacked],
        [(frame.uid if frame is not None else OWN, data) for data, frame in held],
        [(number, _packed(frame)) for number, frame in session.unconfirmed.items() if number <= told],
        session.passed_on(),
        session.kept,
        asked_of(session, told),
    )


def asked_of(session: Session, told: int) -> list[tuple[str, bytes]]:
    """Its IQs up to that number which wait for an answer."""
    iqs = session.iqs.all() if session.iqs is not None else ()
    return [(id, asked.stanza.pack()) for id, asked in iqs if asked.number <= told]


def _packed(frame: Route) -> bytes:
    return frame.payload if isinstance(frame.payload, bytes) else frame.payload.pack()


def session_of(c2s: C2S, copy: CopiedStream) -> Session:
    """To be attached; its client is away.  The copy is of a stream that may be resumed.  ValueError."""
    session = Session(c2s, Away(None, 0), parse(copy.jid), '', copy.lang)
    session.stream, session.jid = copy.stream, copy.jid
    session.number, session.epoch = copy.told, copy.epoch + LEAP
    session.presence, session.kept = copy.presence, copy.kept
    session.phase = ATTACHING
    items: list[Unacked] = [(_back(c2s, copy, uid, data), data) for uid, data in (*copy.unacked, *copy.held)]
    session.restore_outbox(Acks.restored(copy.counters, items), copy.passed_on.states())
    for number, packed in copy.unconfirmed:
        uid = make_uid(copy.stream, number)
        session.unconfirmed[number] = Route(
            '', session.bare, c2s.node, session.epoch, uid, HOPS, CLIENT | REPEAT, Stanza.unpack(packed)
        )
    session.floor = min(session.unconfirmed, default=copy.told + 1)
    if copy.asked:
        session.iqs = ClientIqs()
        for id, packed in copy.asked.items():
            # Its answer is lost, and no session manager takes a stanza twice: it is answered with an error.
            session.iqs.add(id, Asked(0, NOWHERE, False, Stanza.unpack(packed)))
    # The client sends again what it was not told of: it may have been taken.
    session.flags, session.repeats_to = CLIENT | REPEAT, copy.told + WINDOW
    c2s.resumable.add(session, StreamId(copy.key, copy.secret), copy.seconds, copy.before)
    return session


def _back(c2s: C2S, copy: CopiedStream, uid: bytes, data: bytes) -> Route | None:
    if not may_go_back(uid, data):
        return None
    return Route(c2s.node, copy.stream, '', copy.epoch, uid, 0, 0, stanza_of(data))
