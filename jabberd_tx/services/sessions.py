"""The session store of a session manager: in its memory, or in the Redis that it shares with others."""

from __future__ import annotations

from jabberd_tx.services.server import Server
from jabberd_tx.storage.redis import options as redis_options
from jabberd_tx.storage.sessions.interface import SessionStore
from jabberd_tx.storage.sessions.memory import MemorySessions


def open_sessions(process: Server) -> SessionStore:
    """As [redis] says; stopped with the process.  ConfigError for addresses that are none."""
    if not process.section(redis_options.OPTIONS).masters:
        return MemorySessions(process.reactor)
    # txredisapi installs a reactor where there is none: it is imported when somebody has chosen one.
    from jabberd_tx.services.shared_sessions import open_shared

    return open_shared(process)
