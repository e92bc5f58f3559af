-- KEYS: session. ARGV: now.
-- Gives {0} absent, {1, owner} removed, {2, deadline} live, {3} damaged.
if redis.call('EXISTS', KEYS[1]) == 0 then return {0, false} end
local ends = deadline(KEYS[1])
if not ends then return {3, false} end
if tonumber(ARGV[1]) < ends then return {2, text(ends)} end
local owner = redis.call('HGET', KEYS[1], 'o')
redis.call('DEL', KEYS[1])
return {1, owner}
