-- KEYS: session. ARGV: whose it must be ('' for anybody's). Gives {whether it was there, owner}.
local owner = redis.call('HGET', KEYS[1], 'o')
if ARGV[1] ~= '' and owner ~= ARGV[1] then return {0, owner} end
return {redis.call('DEL', KEYS[1]), owner}
