"""What the gateway looks after once a second: components that stopped, or read nothing, or may be gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jabberd_tx.components.gateway.service import Gateway


def look_after(gateway: Gateway) -> None:
    """All streams."""
    options, now = gateway.options, gateway.reactor.seconds()
    for stream in gateway.streams():
        conn = stream.conn
        if stream.congested_at is not None:
            if now - stream.congested_at > options.write_timeout:
                gateway.refusals.note(stream.who, 'connection-timeout', 'it reads nothing')
                conn.abort()
        elif not conn.parser.idle and not conn.is_held and now - conn.heard > options.stall_timeout:
            stream.fail('connection-timeout', 'a stanza that does not go on')
        elif conn.wrote:
            conn.wrote, conn.said = False, now
        elif now - conn.said > options.keepalive:
            conn.write(b' ')
