-- KEYS: session. ARGV: lock token.
if redis.call('HGET', KEYS[1], 'l') == ARGV[1] then redis.call('HDEL', KEYS[1], 'l', 'e') end
return 1
