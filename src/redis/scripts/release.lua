-- Gives a lock back if it is still ours, whatever its counter says; a clean release leaves a tombstone
-- that counts only on the server process that recorded it.
--
-- KEYS lock released   ARGV owner_prefix fence clean      owner_prefix = uuid:fence:
-- 1: given back      0: it was not ours any more
local value = redis.call('GET', KEYS[1])
if not value or string.sub(value, 1, #ARGV[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
if ARGV[3] == '1' then
  local info = redis.pcall('INFO', 'server')
  local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or ''
  redis.call('SET', KEYS[2], ARGV[2] .. ':' .. run)
end
return 1
