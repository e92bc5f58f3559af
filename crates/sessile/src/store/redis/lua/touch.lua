-- KEYS: session. ARGV: when it was used. Gives whether it was live then.
local ends, used = deadline(KEYS[1])
local now = tonumber(ARGV[1])
if not ends or now >= ends then return 0 end
if now > used then redis.call('HSET', KEYS[1], 'u', ARGV[1]) end
return 1
