"""What changes sessions in Redis: each change is one script, which checks the generation and the epoch first.

Keys 1 the generation, 2 the user's hash; arguments 1 the generation, 2 how keys of nodes begin, 3 the stream, 4 the
user's bare JID.  Fields: sessions/record.py.
"""

from __future__ import annotations

from jabberd_tx.storage.redis.generation import CHECK
from jabberd_tx.storage.redis.script import Script

# What a script answers to a write with a lower epoch, or of a session that is not there.
STALE = b'stale'

_COMMON = (
    CHECK
    + """
local user, stream, member = KEYS[2], ARGV[3], ARGV[3] .. ARGV[4]
local function get(letter, of) return redis.call('HGET', user, (of or stream) .. letter) end
local nodes = ARGV[2]
local function hold(node, incarnation)
    redis.call('SADD', nodes .. node .. '\\0' .. incarnation, member)
    redis.call('SADD', nodes, node .. '\\0' .. incarnation)
end
local function let_go(node, incarnation, what)
    local held = nodes .. node .. '\\0' .. incarnation
    redis.call('SREM', held, what)
    if redis.call('EXISTS', held) == 0 then redis.call('SREM', nodes, node .. '\\0' .. incarnation) end
end
local function remove(of)
    local gone = {}
    local all = redis.call('HGETALL', user)
    for at = 1, #all, 2 do
        if all[at]:sub(1, 16) == of then
            gone[#gone + 1], gone[#gone + 2] = all[at], all[at + 1]
        end
    end
    let_go(get('n', of), get('i', of), of .. ARGV[4])
    for at = 1, #gone, 2 do redis.call('HDEL', user, gone[at]) end
    return gone
end
"""
)

# Arguments from 5 on: the epoch, jid, node, incarnation, 1 to replace, 1 if it says who got directed presence;
# from 11: field, value …
OPEN = Script(
    2,
    _COMMON
    + """
local epoch, jid, node, incarnation = tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8]
local own, other = get('e'), nil
local all = redis.call('HGETALL', user)
for at = 1, #all, 2 do
    if all[at]:sub(17, 17) == 'j' and all[at + 1] == jid and all[at]:sub(1, 16) ~= stream then
        other = all[at]:sub(1, 16)
    end
end
if own then
    own = tonumber(own)
    if epoch < own or (epoch == own and (get('n') ~= node or get('i') ~= incarnation)) then return 'stale' end
end
if other and ARGV[9] ~= '1' then return 'stale' end
local gone = other and remove(other) or {}
if own then
    let_go(get('n'), get('i'), member)
    if ARGV[10] == '1' then
        for at = 1, #all, 2 do
            if all[at]:sub(1, 17) == stream .. 'd' then redis.call('HDEL', user, all[at]) end
        end
    end
end
for at = 11, #ARGV, 2 do redis.call('HSET', user, ARGV[at], ARGV[at + 1]) end
hold(node, incarnation)
return gone
""",
)

# Arguments from 5 on: the epoch, how many fields to set, field, value …, fields to delete.
CHANGE = Script(
    2,
    _COMMON
    + """
local epoch, own = tonumber(ARGV[5]), get('e')
if not own or tonumber(own) > epoch then return 'stale' end
local node, incarnation = get('n'), get('i')
redis.call('HSET', user, stream .. 'e', ARGV[5])
local last = 6 + 2 * tonumber(ARGV[6])
for at = 7, last, 2 do redis.call('HSET', user, ARGV[at], ARGV[at + 1]) end
for at = last + 1, #ARGV do redis.call('HDEL', user, ARGV[at]) end
if get('n') ~= node or get('i') ~= incarnation then
    let_go(node, incarnation, member)
    hold(get('n'), get('i'))
end
return 'done'
""",
)

# Argument 5: the epoch.
CLOSE = Script(
    2,
    _COMMON
    + """
local own = get('e')
if not own or tonumber(own) > tonumber(ARGV[5]) then return 'stale' end
return remove(stream)
""",
)

# Keys 2 the claim; arguments 2 who wants it, 3 milliseconds, 4 whom it may be taken from.
CLAIM = Script(
    2,
    CHECK
    + """
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[2] and holder ~= ARGV[4] then return holder end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return ARGV[2]
""",
)

# Keys 2 the claim; argument 2 who had it.
RELEASE = Script(
    2,
    CHECK
    + """
if redis.call('GET', KEYS[2]) == ARGV[2] then redis.call('DEL', KEYS[2]) end
return 1
""",
)

# Keys 2 the user's streams by the time until which something of them may come back; in milliseconds.
_RETURNS = (
    CHECK
    + """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
"""
)

# Arguments 2 the stream, 3 milliseconds.
EXPECT = Script(
    2,
    _RETURNS
    + """
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[2])
local last = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
redis.call('PEXPIRE', KEYS[2], last - now + 1)
return 1
""",
)

# Argument 2 the stream.
RETURNED = Script(2, _RETURNS + "return redis.call('ZREM', KEYS[2], ARGV[2])")

EXPECTED = Script(2, _RETURNS + "return redis.call('ZCARD', KEYS[2])")

ALL = (OPEN, CHANGE, CLOSE, CLAIM, RELEASE, EXPECT, RETURNED, EXPECTED)
