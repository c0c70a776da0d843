"""What a session manager tells those who watch its sessions: ROUTE payloads named 'events' (docs/session-feed.md).

    watcher -> sm   watch      tell me of sessions, first of those that there are
    watcher -> sm   unwatch    no more
    sm -> watcher   session    jid, node, id (its stream, hex), epoch; its presence packed as `inner` if it is there:
                               it is there, or has moved
    sm -> watcher   whole      all that were there have been told
    sm -> watcher   presence   jid; the presence packed as `inner`, nothing when the client is unavailable
    sm -> watcher   ended      jid, id
    sm -> watcher   over       condition: nothing more comes; watch again

All carry `sm`, the node that speaks.
"""

from __future__ import annotations

from jabberd_tx.xmpp.stanza import Stanza

NAME = 'events'
WATCH, UNWATCH = 'watch', 'unwatch'
SESSION, WHOLE, PRESENCE, ENDED, OVER = 'session', 'whole', 'presence', 'ended', 'over'


def watch() -> Stanza:
    return Stanza(NAME, {'type': WATCH})


def unwatch() -> Stanza:
    return Stanza(NAME, {'type': UNWATCH})


def session(sm: str, jid: str, node: str, stream: bytes, epoch: int, presence: Stanza | None) -> Stanza:
    """`presence`: the last one that was broadcast, while the client is available."""
    attrs = {'type': SESSION, 'sm': sm, 'jid': jid, 'node': node, 'id': stream.hex(), 'epoch': str(epoch)}
    return Stanza(NAME, attrs, presence.pack() if presence is not None else b'')


def whole(sm: str) -> Stanza:
    return Stanza(NAME, {'type': WHOLE, 'sm': sm})


def presence(sm: str, jid: str, stanza: Stanza | None) -> Stanza:
    """`stanza`: what was broadcast; None: the client is unavailable now."""
    return Stanza(NAME, {'type': PRESENCE, 'sm': sm, 'jid': jid}, stanza.pack() if stanza is not None else b'')


def ended(sm: str, jid: str, stream: bytes) -> Stanza:
    return Stanza(NAME, {'type': ENDED, 'sm': sm, 'jid': jid, 'id': stream.hex()})


def over(sm: str, condition: str) -> Stanza:
    """`condition`: not-allowed, or resource-constraint when the watcher is too slow."""
    return Stanza(NAME, {'type': OVER, 'sm': sm, 'condition': condition})
