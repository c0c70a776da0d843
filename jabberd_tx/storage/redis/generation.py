"""Whether a Redis master still holds what was written to it.

A master that was restarted has lost all; one that was a replica may lack the last writes.  Either way what it holds
can't be told from the truth.  So it starts anew: whoever connects first empties the database and gives it a new
*generation*, which every script checks, and for a while, until all that is online has been announced again, nothing
may be concluded from what is missing.
"""

from __future__ import annotations

from secrets import token_hex
from typing import NamedTuple

from jabberd_tx.storage.redis.connection import RedisConnection, RedisLost
from jabberd_tx.storage.redis.script import Script

# What a script answers when the generation is another one.
CHANGED = 'GENERATION'

# The first lines of a script: keys 1 and argument 1 are the generation's.
CHECK = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return redis.error_reply('GENERATION another') end
"""

_SETTLE = Script(
    2,
    """
    local held = redis.call('GET', KEYS[1])
    if not held or held:sub(1, #ARGV[1]) ~= ARGV[1] then
        redis.call('FLUSHDB', 'ASYNC')
        held = ARGV[1] .. ARGV[2]
        redis.call('SET', KEYS[1], held)
        redis.call('SET', KEYS[2], '1', 'PX', ARGV[3])
    end
    return {held, redis.call('PTTL', KEYS[2])}
    """,
)


class Generation(NamedTuple):
    """token     changes whenever what was held may be gone
    waiting      seconds until absence means what it says; 0 or less: it does
    """

    token: bytes
    waiting: float


def generation_key(prefix: bytes) -> bytes:
    """Where the generation is kept."""
    return prefix + b'generation'


async def settle(connection: RedisConnection, prefix: bytes, announcing: float) -> Generation:
    """The generation of this master, a new one if this start of it has none.

    prefix      of all keys
    announcing  seconds in which sessions are announced again after a loss

    RedisLost when the server is no master.
    """
    role = (await connection.ask(b'ROLE'))[0]
    if role != b'master':
        raise RedisLost(f'the server is a {role.decode()}, not a master')
    start = _run_id(await connection.ask(b'INFO', b'server'))
    await _SETTLE.load(connection)
    keys = generation_key(prefix), prefix + b'announcing'
    milliseconds = b'%d' % max(1, announcing * 1000)
    token, left = await connection.ask(*_SETTLE(*keys, start, token_hex(8).encode(), milliseconds))
    return Generation(token, left / 1000)


def _run_id(info: bytes) -> bytes:
    """The server's own name for this start of it."""
    for line in info.split(b'\r\n'):
        if line.startswith(b'run_id:'):
            return line[7:] + b':'
    raise RedisLost('the server does not say which start of it this is')
