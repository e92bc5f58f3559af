-- KEYS: session. ARGV: whose it must be ('' for anybody's), and '1' to write even when there is
-- nothing to delete, so that a WAIT behind it waits for an earlier deletion whose acknowledgement was
-- lost. Gives {whether it was there, owner}.
local owner = redis.call('HGET', KEYS[1], 'o')
local there = 0
if ARGV[1] == '' or owner == ARGV[1] then there = redis.call('DEL', KEYS[1]) end
if ARGV[2] == '1' and redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'deleted', '1')
  redis.call('DEL', KEYS[1])
end
return {there, owner}
