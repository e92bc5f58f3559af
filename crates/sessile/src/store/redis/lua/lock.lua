-- KEYS: session. ARGV: now, lock token, how long it may be held.
-- Gives {0} absent, {1, r, u} locked, {2} held by another.
local ends = deadline(KEYS[1])
if not ends or tonumber(ARGV[1]) >= ends then return {0, false, false} end
local known = redis.call('HMGET', KEYS[1], 'r', 'u', 'l', 'e')
local now = server_now()
if known[3] and (tonumber(known[4]) or 0) > now then return {2, false, false} end
redis.call('HSET', KEYS[1], 'l', ARGV[2], 'e', text(now + tonumber(ARGV[3])))
return {1, known[1], known[2]}
