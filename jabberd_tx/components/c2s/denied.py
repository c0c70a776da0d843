"""What a router's filter rules do not let pass: the client gets the error that the rule names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jabberd_tx.xmpp.errors import condition_of, error_reply, may_reply
from jabberd_tx.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.session import Session


def refuse(session: Session, number: int, condition: str) -> None:
    """The client's stanza of that number is settled with an error, unless it is one that gets none."""
    payload = session.unconfirmed[number].payload
    stanza = payload if isinstance(payload, Stanza) else Stanza.unpack(payload)
    if stanza.name == 'iq' and session.iqs is not None:
        session.iqs.answered(stanza.attrs.get('id', ''))
    if may_reply(stanza) and session.conn is not None:
        session.answer(error_reply(stanza, condition_of(condition, 'not-allowed')))
    session.confirm(number)
