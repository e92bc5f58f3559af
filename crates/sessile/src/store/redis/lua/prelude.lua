-- What every script begins with. Instants are milliseconds since the Unix epoch; a session's hash
-- has the fields r (the record's bytes), v (its version), u (its last use), i (its idle timeout, ''
-- for none), a (its absolute deadline), o (its owner, '' for none), and while it is locked l (the
-- holder's token) and e (when the holder loses the lock).

-- The instant the session ends if nobody uses it again, and its last use; nothing when there is no
-- such session, or its fields are damaged.
local function deadline(key)
  local fields = redis.call('HMGET', key, 'u', 'i', 'a')
  local used, idle, absolute = tonumber(fields[1]), tonumber(fields[2]), tonumber(fields[3])
  if not used or not absolute then return nil end
  if not idle then return absolute, used end
  return math.min(absolute, used + idle), used
end

-- The server's own time: for leases and for the age of index entries, never for expiry.
local function server_now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A number as text. What Lua does by itself rounds to 14 digits.
local function text(number)
  return string.format('%.0f', number)
end

-- Lets the server keep the key at least until then.
local function keep(key, until_ms)
  local left = redis.call('PTTL', key)
  if left < 0 or server_now() + left < until_ms then
    redis.call('PEXPIREAT', key, text(until_ms))
  end
end
