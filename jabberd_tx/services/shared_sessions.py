"""The session store in Redis: its masters, as [redis] names them."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IStreamClientEndpoint

from jabberd_tx.base.options import ConfigError
from jabberd_tx.link.directory import parse_address
from jabberd_tx.services.server import Server
from jabberd_tx.storage.redis import options as redis_options
from jabberd_tx.storage.redis.master import RedisMaster
from jabberd_tx.storage.redis.places import SentinelPlace, fixed
from jabberd_tx.storage.redis.tracking import NearCache
from jabberd_tx.storage.sessions import scripts
from jabberd_tx.storage.sessions.shared import SharedSessions


def open_shared(process: Server) -> SharedSessions:
    """Stopped with the process.  ConfigError for addresses that are none."""
    options = process.section(redis_options.OPTIONS)
    masters = []
    for name in options.masters:
        place = place_of(process, options, name)
        master = RedisMaster(name, place, process.reactor, process.turn, options, scripts.ALL)
        cache = NearCache(master, place, process.reactor, process.turn, options)
        master.start()
        process.on_stop(master.stop)
        cache.start()
        process.on_stop(cache.stop)
        masters.append((master, cache))
    process.http.check('redis', lambda: _missing([master for master, _ in masters]))
    return SharedSessions(masters)


def place_of(process: Server, options: Any, name: str) -> IStreamClientEndpoint:
    """Where that master is.  ConfigError."""
    if options.sentinels:
        try:
            addresses = [parse_address(text) for text in options.sentinels]
        except ValueError as error:
            raise ConfigError(f'redis.sentinels: {error}') from None
        return SentinelPlace(process.reactor, process.turn, [(one.host, one.port) for one in addresses], name)
    try:
        return fixed(process.reactor, name)
    except (ValueError, TypeError) as error:
        wanted = 'expected an endpoint such as tcp:127.0.0.1:6379'
        raise ConfigError(f'redis.masters: {wanted}, not {name!r}: {error}') from None


def _missing(masters: list[RedisMaster]) -> str | None:
    """Which masters are not there, for the health check."""
    away = [master.name for master in masters if master.connection is None]
    return f'no connection to {", ".join(away)}' if away else None
