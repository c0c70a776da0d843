"""A <resume/> where a resource could be bound (XEP-0198 §5): the stream is the session's again, or may still bind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from jabberd_tx.components.c2s.resuming import resume, resumed, wake
from jabberd_tx.components.c2s.resumption import NotResumed
from jabberd_tx.xmpp import acks
from jabberd_tx.xmpp.events import Nonza
from jabberd_tx.xmpp.jid import Jid

if TYPE_CHECKING:
    from jabberd_tx.components.c2s.connection import ClientConnection
    from jabberd_tx.components.c2s.stream import Login


def ask_to_resume(login: Login, conn: ClientConnection, who: Jid, request: Nonza) -> Deferred[None]:
    """Begin; the connection is held.  Cancelled when the stream is over."""
    task = Deferred.fromCoroutine(_run(login, conn, who, request))
    task.addErrback(lambda failure: None if login.is_over else login.broken(failure))
    return task


async def _run(login: Login, conn: ClientConnection, who: Jid, request: Nonza) -> None:
    try:
        session = await resume(login.c2s, who, request)
    except acks.AcksError as error:
        login.end_with(error.to_xml())
    except NotResumed as reason:
        login.not_resumed(reason.to_xml())
    else:
        login.over()
        conn.write(resumed(session, request))
        wake(session, conn)
