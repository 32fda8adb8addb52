-- Carries out writing commands under a fence and an expected revision, or none of them. Every write of a
-- state record raises its revision, so that what was read with it still holds when it is written.
--
-- KEYS fence state   ARGV fence revision, then for each command: the number of its words (at most
--                    7000), its words; the second word is a key
-- fence '': a write that needs no lease      revision '': whatever it is
-- {1, revision}: written   {0, revision}: it was changed meanwhile   {-1, fence}: a newer fence is out
local number = function(text) return tonumber(text or 0) or 0 end
if ARGV[1] ~= '' then
  local newest = math.max(number(redis.call('GET', KEYS[1])), number(redis.call('HGET', KEYS[2], '__fence')))
  if number(ARGV[1]) < newest then return {-1, string.format('%.0f', newest)} end
end
local revision = redis.call('HGET', KEYS[2], '__rev') or '0'
if ARGV[2] ~= '' and ARGV[2] ~= revision then return {0, revision} end

-- A script that fails half-way is not rolled back: whatever can be refused must be refused before the
-- first write. For maxmemory, replicas and the disk Redis itself sees to that: it judges by the first
-- command alone. So over maxmemory a write that begins with DEL, HDEL or ZREM is carried out, whole, and
-- any other is refused, whole. Redis before 7 has no acl_check_cmd.
local kinds = {H = 'hash', Z = 'zset', SADD = 'set', SREM = 'set', INCR = 'string', INCRBY = 'string'}
local at = 3
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

at = 3
while at <= #ARGV do
  local count = tonumber(ARGV[at])
  redis.call(unpack(ARGV, at + 1, at + count))
  at = at + count + 1
end
if ARGV[1] ~= '' then redis.call('HSET', KEYS[2], '__fence', ARGV[1]) end
local raised = redis.call('HINCRBY', KEYS[2], '__rev', 1)
return {1, string.format('%.0f', raised)}
