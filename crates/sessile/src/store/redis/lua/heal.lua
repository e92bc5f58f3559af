-- KEYS: owner. ARGV: an age, then sessions that were found absent.
-- Removes the entries that are older: the login of a younger one may still be on its way.
local oldest = server_now() - tonumber(ARGV[1])
for at = 2, #ARGV do
  local entered = tonumber(redis.call('HGET', KEYS[1], ARGV[at]))
  if entered and entered <= oldest then redis.call('HDEL', KEYS[1], ARGV[at]) end
end
return 1
