-- Renews a lock: the value goes from `current` to `next`, whose counter is one higher, and its time to
-- live starts anew. A retry after a lost answer sends the same pair and finds `next` already there.
--
-- KEYS lock   ARGV current next ttl_ms
-- {1, value}: renewed      {0, value or ''}: somebody else has it, or nobody
local value = redis.call('GET', KEYS[1])
if value ~= ARGV[1] and value ~= ARGV[2] then return {0, value or ''} end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return {1, ARGV[2]}
