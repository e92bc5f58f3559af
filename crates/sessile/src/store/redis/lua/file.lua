-- KEYS: due, all. ARGV: session, filed under, to file under, in turns.
-- Files the session where it is still filed as the caller saw it ('' for whatever there is), or
-- strikes it out ('').
for at = 1, #ARGV, 3 do
  local id, seen, new = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  if seen == '' or tonumber(redis.call('ZSCORE', KEYS[1], id)) == tonumber(seen) then
    if new == '' then
      redis.call('ZREM', KEYS[1], id)
      redis.call('ZREM', KEYS[2], id)
    else
      redis.call('ZADD', KEYS[1], new, id)
      redis.call('ZADD', KEYS[2], 0, id)
    end
  end
end
return 1
