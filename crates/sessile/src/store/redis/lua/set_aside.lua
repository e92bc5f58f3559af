-- KEYS: session, where to put it. ARGV: the bytes that were found damaged.
-- Moves it unless somebody has written it anew.
if redis.call('HGET', KEYS[1], 'r') == ARGV[1] or not deadline(KEYS[1]) then
  if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('RENAME', KEYS[1], KEYS[2]) end
end
return 1
