-- KEYS: owner. ARGV: session, when its login began ('' for unknown), how long to keep the index.
-- Enters the session, unless its login began before the owner's sessions were ended; gives whether.
-- An entry that is there keeps its age: healing asks how long ago the session was first entered.
local not_before = tonumber(redis.call('HGET', KEYS[1], 'not_before'))
if not_before and (ARGV[2] == '' or tonumber(ARGV[2]) <= not_before) then return 0 end
redis.call('HSETNX', KEYS[1], ARGV[1], text(server_now()))
keep(KEYS[1], tonumber(ARGV[3]))
return 1
