"""The copies in Redis, for a process that has c2s or sm: its own connections to the masters that [redis] names."""

from __future__ import annotations

from jabberd_tx.services.server import Server
from jabberd_tx.services.shared_sessions import place_of
from jabberd_tx.storage.copies import scripts
from jabberd_tx.storage.copies.shared import SharedCopies
from jabberd_tx.storage.redis import options as redis_options
from jabberd_tx.storage.redis.master import RedisMaster


def open_shared_copies(process: Server) -> SharedCopies:
    """Stopped with the process.  ConfigError for addresses that are none."""
    options = process.section(redis_options.OPTIONS)
    masters = []
    for name in options.masters:
        place = place_of(process, options, name)
        master = RedisMaster(name, place, process.reactor, process.turn, options, scripts.ALL)
        master.start()
        process.on_stop(master.stop)
        masters.append(master)
    return SharedCopies(masters)
