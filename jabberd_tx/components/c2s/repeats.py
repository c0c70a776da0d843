"""What a session sends again when the way to its pin was lost, or when it has another pin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jabberd_tx.components.c2s.returned import HOPS
from jabberd_tx.link.frames import CLIENT, REPEAT, Route
from jabberd_tx.xmpp.errors import error_reply

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.session import Session
    from jabberd_tx.components.c2s.sm_node import SmNode
    from jabberd_tx.link.interfaces import Link


def repeat(session: Session) -> None:
    """Send all that is unconfirmed, in order, to where the session is pinned now; then let the client go on."""
    link, pin, epoch, unconfirmed = session.link, session.pin, session.epoch, session.unconfirmed
    assert link is not None
    for number, frame in unconfirmed.items():
        frame = frame._replace(dest=pin.node, epoch=epoch, flags=frame.flags | REPEAT)
        unconfirmed[number] = frame
        link.route(frame)
    if session.iqs is not None:
        _ask_again(session, link, pin)
    if session.full:
        session.release()


def _ask_again(session: Session, link: Link, pin: SmNode) -> None:
    """IQs that an earlier sm has taken and not answered: a get again, an error for a set."""
    assert session.iqs is not None
    for id, asked in session.iqs.all():
        if asked.number in session.unconfirmed:
            asked.pin, asked.given_up = pin, False  # it has just been repeated
        elif asked.pin is pin and not asked.given_up:
            pass  # its answer is under way
        elif asked.is_get and asked.pin is not pin:
            # Again whenever a link is lost, since nobody's confirm is waited for.
            uid = session.stream + asked.number.to_bytes(8, 'big')
            flags = CLIENT | REPEAT
            link.route(Route(pin.node, session.bare, session.c2s.node, session.epoch, uid, HOPS, flags, asked.stanza))
        else:
            session.iqs.answered(id)
            text = 'it may or may not have been done'
            session.answer(error_reply(asked.stanza, 'internal-server-error', text, 'wait'))
