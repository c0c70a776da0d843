"""What is done to copies in Redis at once: Lua.  Keys 1 and argument 1 are the generation's (redis/generation.py)."""

from __future__ import annotations

from jabberd_tx.storage.redis.generation import CHECK
from jabberd_tx.storage.redis.script import Script

_NOW = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
"""

# Keys 2 the log, 3 who has one; arguments 2 whose it is, 3 the chunk's number, 4 the chunk, 5 the first to be kept.
APPEND = Script(
    3,
    CHECK
    + """
local added = redis.pcall('XADD', KEYS[2], 'MINID', '=', ARGV[5] .. '-0', ARGV[3] .. '-0', 'c', ARGV[4])
if type(added) == 'table' and added.err and not added.err:find('equal or smaller', 1, true) then return added end
redis.call('SADD', KEYS[3], ARGV[2])
return 1
""",
)

# Keys 2 the claims on what one has left; arguments 2 the stream, 3 who wants it, 4 whom it may be taken from.
CLAIM = Script(
    2,
    CHECK
    + """
local holder = redis.call('HGET', KEYS[2], ARGV[2])
if holder and holder ~= ARGV[3] and holder ~= ARGV[4] then return holder end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
return ARGV[3]
""",
)

# Keys 2 the lease, as the millisecond when it ends; arguments 2 for how long, 3 after how long it is forgotten.
RENEW = Script(
    2,
    CHECK
    + _NOW
    + """
local before = redis.call('GET', KEYS[2])
redis.call('SET', KEYS[2], string.format('%d', now + ARGV[2]), 'PX', ARGV[3])
return before and tonumber(before) < now and 0 or 1
""",
)

# Keys 2 the lease; arguments 2 how long one is given that has none, 3 after how long it is forgotten.
LOST = Script(
    2,
    CHECK
    + _NOW
    + """
local ends = redis.call('GET', KEYS[2])
if not ends then
    ends = string.format('%d', now + ARGV[2])
    redis.call('SET', KEYS[2], ends, 'PX', ARGV[3])
end
return now - tonumber(ends)
""",
)

# Keys 2 who has a log, 3 the log, 4 the claims, 5 the lease; arguments 2 whose it is, 3 how long claims stay.
DROP = Script(
    5,
    CHECK
    + """
redis.call('SREM', KEYS[2], ARGV[2])
redis.call('DEL', KEYS[3], KEYS[5])
redis.call('PEXPIRE', KEYS[4], ARGV[3])
return 1
""",
)

ALL = (APPEND, CLAIM, RENEW, LOST, DROP)
