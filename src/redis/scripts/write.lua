-- Carries out writing commands under a fence and an expected revision, or none of them. Every write of a
-- state record raises its revision, so that what was read with it still holds when it is written. Writes
-- under a fence are counted apart: by that count their holder sees that Redis lost some of them, or that
-- somebody else set the state right, before it writes over what it no longer knows.
--
-- KEYS fence state   ARGV fence revision count slack, then for each command: the number of its words (at
--                    most 7000), its words; the second word is a key
-- fence '': a write that needs no lease      revision, count '': whatever it is
-- slack 1: the count may be one higher, because a write had no answer
-- {1, revision, count}: written   {0, revision}: it was changed meanwhile   {-1, fence}: a newer fence is
-- out   {-2, count}: the state is not the one that this holder wrote last
local number = function(text) return tonumber(text or 0) or 0 end
if ARGV[1] ~= '' then
  local newest = math.max(number(redis.call('GET', KEYS[1])), number(redis.call('HGET', KEYS[2], '__fence')))
  if number(ARGV[1]) < newest then return {-1, string.format('%.0f', newest)} end
end
local count = number(redis.call('HGET', KEYS[2], '__count'))
if ARGV[3] ~= '' and count ~= number(ARGV[3]) and count ~= number(ARGV[3]) + number(ARGV[4]) then
  return {-2, string.format('%.0f', count)}
end
local revision = redis.call('HGET', KEYS[2], '__rev') or '0'
-- HINCRBY would refuse it after everything else is written.
if not string.match(revision, '^%d+$') or #revision > 15 then
  return redis.error_reply('WRONGTYPE the revision of the state is no number of ours')
end
if ARGV[2] ~= '' and ARGV[2] ~= revision then return {0, revision} end

-- A script that fails half-way is not rolled back: whatever can be refused must be refused before the
-- first write. For maxmemory, replicas and the disk Redis itself sees to that: it judges by the first
-- command alone. So over maxmemory a write that begins with DEL, HDEL or ZREM is carried out, whole, and
-- any other is refused, whole. Redis before 7 has no acl_check_cmd.
local kinds = {H = 'hash', Z = 'zset', SADD = 'set', SREM = 'set', INCR = 'string', INCRBY = 'string'}
local at = 5
while at <= #ARGV do
  local name, key = string.upper(ARGV[at + 1]), ARGV[at + 2]
  local wanted = kinds[name] or kinds[string.sub(name, 1, 1)]
  local kind = redis.call('TYPE', key).ok
  if wanted and kind ~= 'none' and kind ~= wanted then
    return redis.error_reply('WRONGTYPE a key holds the wrong kind of value')
  end
  if redis.acl_check_cmd and not redis.acl_check_cmd(name, key) then
    return redis.error_reply('NOPERM the user may not run a command of this write')
  end
  at = at + ARGV[at] + 1
end

at = 5
while at <= #ARGV do
  local words = tonumber(ARGV[at])
  redis.call(unpack(ARGV, at + 1, at + words))
  at = at + words + 1
end
if ARGV[1] ~= '' then
  redis.call('HSET', KEYS[2], '__fence', ARGV[1])
  count = redis.call('HINCRBY', KEYS[2], '__count', 1)
end
local raised = redis.call('HINCRBY', KEYS[2], '__rev', 1)
return {1, string.format('%.0f', raised), string.format('%.0f', count)}
