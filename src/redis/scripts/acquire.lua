-- Takes a lock that nobody has, or takes it over from a holder whose value is still exactly the one that
-- stood still (DESIGN section 5). The fence is above every fence of this mailbox that Redis, its state
-- record or the asking node knows of, and at least the milliseconds of Redis.
--
-- KEYS lock fence released state   ARGV uuid ttl_ms high_water expected_value_or_empty
-- {1, fence, clean}: taken; clean = 1 when the last holder signed off on this very server process
-- {0, value, pttl_ms}: somebody has it      {-2, key, type}: a key holds a foreign type
for i = 1, 4 do
  local kind = redis.call('TYPE', KEYS[i]).ok
  if kind ~= 'none' and kind ~= ((i == 4) and 'hash' or 'string') then
    return {-2, KEYS[i], kind}
  end
end
local current = redis.call('GET', KEYS[1])
if current and (ARGV[4] == '' or current ~= ARGV[4]) then
  return {0, current, redis.call('PTTL', KEYS[1])}
end
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
local number = function(text) return tonumber(text or 0) or 0 end
local issued = redis.call('GET', KEYS[2])
local seen = redis.call('HGET', KEYS[4], '__fence')
-- What is no whole number, or one that a double does not hold exactly, is not of our making.
local foreign = function(text)
  return text and not (string.match(text, '^%d+$') and tonumber(text) < 4503599627370496)
end
if foreign(issued) then return {-2, KEYS[2], 'text'} end
if foreign(seen) then return {-2, KEYS[4], 'text'} end
local fence = string.format('%.0f',
  math.max(number(issued) + 1, number(ARGV[3]) + 1, number(seen) + 1, ms))
-- A user who may not call INFO gets no clean hand-over, but gets the lock.
local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or ''
local clean = 0
if not current and issued and run ~= '' and redis.call('GET', KEYS[3]) == issued .. ':' .. run then
  clean = 1
end
redis.call('SET', KEYS[2], fence)
redis.call('SET', KEYS[1], ARGV[1] .. ':' .. fence .. ':0', 'PX', ARGV[2])
return {1, fence, clean}
