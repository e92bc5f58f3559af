-- KEYS: owner. ARGV: session, how long to keep the index.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then keep(KEYS[1], tonumber(ARGV[2])) end
return 1
