-- Leaves envelopes in one mailbox. KEYS: mailbox, companion.
-- ARGV: ms the mailbox lives, ms the companion lives, budget, µs after which a copy is renewed, era, channel, member...
-- Replies one number a member: 1 stored, 0 there before, -1 - used: the budget is used up.
-- Publishes the highest score; for one small envelope the era, the highest score before, its score and the member.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local kept = redis.call('HMGET', KEYS[2], 'hi', 'bytes', 'era')
local hi, used, budget = tonumber(kept[1] or 0), tonumber(kept[2] or 0), tonumber(ARGV[3])
if not kept[1] then redis.call('HSET', KEYS[2], 'era', ARGV[5], 'hi', 0) end
-- The highest score stands for a companion that was lost, and for another program's mail; a year ahead is no clock of ours.
local top = redis.call('ZRANGE', KEYS[1], 0, 0, 'REV', 'WITHSCORES')
if not top[1] then
  used = 0
elseif tonumber(top[2]) < now + 31536000000000 then
  hi = math.max(hi, tonumber(top[2]))
end
hi = math.floor(hi)
local before = string.format('%.0f', hi)
if hi < now then hi = now - 1 end
local outcomes, stored, there = {}, 0, 0
for i = 7, #ARGV do
  local member = ARGV[i]
  local size = #member - 16
  local old = nil
  if used + size > budget then
    old = redis.call('ZSCORE', KEYS[1], member)
    if not old then outcomes[i - 6] = -1 - used end
  elseif redis.call('ZADD', KEYS[1], 'NX', string.format('%.0f', hi + 1), member) == 1 then
    hi, used, stored = hi + 1, used + size, stored + 1
    outcomes[i - 6] = 1
  else
    old = redis.call('ZSCORE', KEYS[1], member)
  end
  if old then
    there = there + 1
    outcomes[i - 6] = 0
    if now - old > tonumber(ARGV[4]) then
      hi = hi + 1
      redis.call('ZADD', KEYS[1], 'XX', string.format('%.0f', hi), member)
    end
  end
end
if stored + there > 0 then
  redis.call('HSET', KEYS[2], 'hi', string.format('%.0f', hi), 'bytes', string.format('%.0f', used))
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
if stored > 0 then
  local message = string.format('%.0f', hi)
  if #ARGV == 7 and #ARGV[7] <= 4096 then
    message = table.concat({ kept[3] or ARGV[5], before, message, ARGV[7] }, ' ')
  end
  redis.pcall('PUBLISH', ARGV[6], message)
end
return outcomes
