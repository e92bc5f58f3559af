-- KEYS: session. ARGV: r, v, u, i, a, o, when the server may collect it.
-- Gives {1}, or {0, owner} when there is a record already.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return {0, redis.call('HGET', KEYS[1], 'o')}
end
redis.call('HSET', KEYS[1], 'r', ARGV[1], 'v', ARGV[2], 'u', ARGV[3], 'i', ARGV[4], 'a', ARGV[5],
  'o', ARGV[6])
redis.call('PEXPIREAT', KEYS[1], ARGV[7])
return {1, false}
