-- KEYS: session. ARGV: r, v, u, i, a, o, when the server may collect it, expected version, lock token,
-- '1' when the owner's index has it already.
-- Gives {0} gone, {1, owner before, deadline before} written, {2, r, u} conflict, {3} lock lost,
-- {4} refused because it would gain an owner whose index may not have it yet.
local ends, used = deadline(KEYS[1])
if not ends or tonumber(ARGV[3]) >= ends then return {0, false, false} end
local known = redis.call('HMGET', KEYS[1], 'v', 'r', 'u', 'o', 'l', 'e')
if ARGV[9] ~= '' and (known[5] ~= ARGV[9] or (tonumber(known[6]) or 0) <= server_now()) then
  return {3, false, false}
end
if known[1] ~= ARGV[8] then return {2, known[2], known[3]} end
if ARGV[6] ~= '' and ARGV[10] ~= '1' and known[4] ~= ARGV[6] then return {4, false, false} end
redis.call('HSET', KEYS[1], 'r', ARGV[1], 'v', ARGV[2], 'u', text(math.max(used, tonumber(ARGV[3]))),
  'i', ARGV[4], 'a', ARGV[5], 'o', ARGV[6])
redis.call('PEXPIREAT', KEYS[1], ARGV[7])
return {1, known[4], text(ends)}
