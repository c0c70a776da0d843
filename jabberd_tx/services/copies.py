"""Where a process keeps copies and leases: in the Redis of [redis], or nowhere."""

from __future__ import annotations

from jabberd_tx.services.server import Server
from jabberd_tx.storage.copies.interface import CopyStore
from jabberd_tx.storage.redis import options as redis_options


def open_copies(process: Server) -> CopyStore | None:
    """As [redis] says; stopped with the process.  ConfigError for addresses that are none."""
    if not process.section(redis_options.OPTIONS).masters:
        return None
    # txredisapi installs a reactor where there is none: it is imported when somebody has chosen one.
    from jabberd_tx.services.shared_copies import open_shared_copies

    return open_shared_copies(process)
