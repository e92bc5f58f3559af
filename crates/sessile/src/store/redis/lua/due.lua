-- KEYS: due. ARGV: now, how many. Gives sessions and what they were filed under, in turns.
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'WITHSCORES', 'LIMIT', 0, ARGV[2])
