-- Carries out reading commands, all at one instant: what they answer belongs together.
--
-- KEYS none   ARGV for each command: the number of its words, then its words
-- The answers in the order of the commands. INFO answers false to a user who may not call it.
local replies = {}
local at = 1
while at <= #ARGV do
  local count = tonumber(ARGV[at])
  local words = {unpack(ARGV, at + 1, at + count)}
  if words[1] == 'INFO' then
    local reply = redis.pcall(unpack(words))
    replies[#replies + 1] = type(reply) == 'string' and reply or false
  else
    replies[#replies + 1] = redis.call(unpack(words))
  end
  at = at + count + 1
end
return replies
