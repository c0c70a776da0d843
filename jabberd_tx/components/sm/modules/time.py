"""XEP-0202: what time it is at the server."""

from __future__ import annotations

from datetime import UTC, datetime

from jabberd_tx.components.sm.iq import IqRequest
from jabberd_tx.components.sm.module import SERVER, Module, answers
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.payloads.delay import timestamp
from jabberd_tx.xmpp.stanza import Stanza


class Time(Module):
    """Tells the time."""

    name = 'time'
    xeps = ('XEP-0202',)
    server_features = (ns.TIME,)

    @answers('get', ns.TIME, 'time', SERVER)
    def tell(self, request: IqRequest) -> Stanza:
        """In UTC, and how far from it the server's own zone is now."""
        now = self.sm.reactor.seconds()
        xml = f"<time xmlns='{ns.TIME}'><tzo>{zone(now)}</tzo><utc>{timestamp(now)}</utc></time>"
        return request.result(ns.TIME, 'time', xml.encode())


def zone(at: float) -> str:
    """The local zone's distance from UTC at that time (unix seconds), as '+01:00' (XEP-0082)."""
    digits = datetime.fromtimestamp(at, UTC).astimezone().strftime('%z')
    return f'{digits[:3]}:{digits[3:5]}'
