"""One stanza for many clients of this c2s: its bytes are made once, but for each client's address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jabberd_tx.link.frames import Fanout
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import addressed, head_and_tail

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.service import C2S
    from jabberd_tx.link.interfaces import Link


def take_fanout(c2s: C2S, frame: Fanout, link: Link) -> None:
    """Deliver it to those who are here, and say who is not."""
    stanza = frame.payload if isinstance(frame.payload, Stanza) else Stanza.unpack(frame.payload)
    head, tail = head_and_tail(stanza)
    sessions, elsewhere = c2s.sessions, []
    for stream, to in frame.targets:
        session = sessions.get(stream)
        if session is None or session.conn is None or session.conn.session is not session:
            elsewhere.append((stream, to))
        else:
            session.deliver_shared(frame, stanza, addressed(head, to, tail), to)
    # Of a message whose only takers are on the move the sm finds out where they are: it confirms it when they have it.
    held = stanza.name != 'message' or len(elsewhere) < len(frame.targets)
    failed = [stream for stream, to in elsewhere if not (held and c2s.moves.take_share(frame, stanza, stream, to))]
    counts = c2s.measures.sent
    setattr(counts, stanza.name, getattr(counts, stanza.name) + len(frame.targets) - len(failed))
    # With copies this waits until those of clients with acks are stored.
    links = c2s.links if c2s.copies is None else c2s.copies
    if failed:
        links.failed(frame.source, frame.uid, failed, link)
    else:
        links.confirm(frame.source, frame.uid, link)
