-- KEYS: owner. ARGV: logins that began until then are refused; how long that is remembered.
-- Gives the sessions in the index.
local known = tonumber(redis.call('HGET', KEYS[1], 'not_before')) or 0
local not_before = math.max(known, tonumber(ARGV[1]))
redis.call('HSET', KEYS[1], 'not_before', text(not_before))
keep(KEYS[1], math.max(server_now(), not_before) + tonumber(ARGV[2]))
return redis.call('HKEYS', KEYS[1])
