"""A session on its way to another worker: all that it has, in bytes, without its connection and its pin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cbor2 import dumps, loads

from jabberd_tx.components.c2s.away import Away
from jabberd_tx.components.c2s.client_iq import Asked, ClientIqs
from jabberd_tx.components.c2s.outbox import Unacked
from jabberd_tx.components.c2s.resumption import StreamId
from jabberd_tx.components.c2s.returned import HOPS
from jabberd_tx.components.c2s.session import ATTACHING, Session
from jabberd_tx.link.frames import CLIENT, REPEAT, Route, make_uid
from jabberd_tx.xmpp.acks import Acks
from jabberd_tx.xmpp.jid import parse
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.service import C2S

# Of one part: it stays below the limit of a frame.
PART = 200_000


def pack(session: Session) -> list[bytes]:
    """In parts; the session has acks, and may be resumed."""
    acks, resumption = session.acks, session.resumption
    assert acks is not None and resumption is not None
    unacked = [
        (frame.uid, _packed(frame), data) if frame is not None else (b'', b'', data) for frame, data in acks.unacked
    ]
    unconfirmed = [(number, _packed(frame)) for number, frame in session.unconfirmed.items()]
    iqs = session.iqs.all() if session.iqs is not None else []
    asked = [(id, iq.number, iq.pin.node, iq.is_get, iq.given_up, iq.stanza.pack()) for id, iq in iqs]
    data = dumps(
        [
            session.stream, session.jid, session.lang, session.number, session.floor, session.epoch, session.presence,
            *resumption.id, resumption.seconds, resumption.before, acks.state, unacked, unconfirmed, asked,
            session.passed_on(), session.kept, session.repeats_to,
        ]
    )  # fmt: skip
    return [data[at : at + PART] for at in range(0, len(data), PART)]


def _packed(frame: Route) -> bytes:
    return frame.payload if isinstance(frame.payload, bytes) else frame.payload.pack()


def unpack(c2s: C2S, data: bytes) -> Session:
    """The session, to be attached; its client is away.  ValueError for what another version has packed."""
    (
        stream, jid, lang, number, floor, epoch, presence, key, secret, seconds, before, counters, unacked,
        unconfirmed, asked, passed_on, kept, repeats_to,
    ) = loads(data)  # fmt: skip
    session = Session(c2s, Away(None, 0), parse(jid), '', lang)
    session.stream, session.jid = stream, jid
    session.number, session.floor, session.epoch, session.presence = number, floor, epoch, presence
    session.kept = kept
    session.repeats_to = repeats_to
    if repeats_to:
        session.flags = CLIENT | REPEAT
    session.phase = ATTACHING
    items: list[Unacked] = [
        (Route(c2s.node, stream, '', epoch, uid, 0, 0, packed) if uid else None, data) for uid, packed, data in unacked
    ]
    session.restore_outbox(Acks.restored(tuple(counters), items), passed_on)
    for number, packed in unconfirmed:
        uid = make_uid(stream, number)
        flags = CLIENT | REPEAT
        frame = Route('', session.bare, c2s.node, epoch, uid, HOPS, flags, Stanza.unpack(packed))
        session.unconfirmed[number] = frame
    if asked:
        session.iqs = ClientIqs()
    for id, number, node, is_get, given_up, packed in asked:
        iq = Asked(number, c2s.pins.node(node), is_get, Stanza.unpack(packed))
        iq.given_up = given_up
        session.iqs.add(id, iq)  # type: ignore[union-attr]
    c2s.resumable.add(session, StreamId(key, secret), seconds, before)
    return session
