-- Deletes what was collected from one mailbox. KEYS: mailbox, companion.
-- ARGV: ms the companion lives, then for each copy its score, its id, and its length with the id. Replies how many were deleted.
local gone, freed = 0, 0
for i = 2, #ARGV, 3 do
  local named = redis.call('ZRANGE', KEYS[1], ARGV[i], ARGV[i], 'BYSCORE', 'LIMIT', 0, 256)
  for _, member in ipairs(named) do
    if #member == tonumber(ARGV[i + 2]) and string.sub(member, 1, 16) == ARGV[i + 1] then
      gone = gone + redis.call('ZREM', KEYS[1], member)
      freed = freed + #member - 16
    end
  end
end
local used = redis.call('HMGET', KEYS[2], 'bytes')[1]
if used and gone > 0 then
  redis.call('HSET', KEYS[2], 'bytes', string.format('%.0f', math.max(0, used - freed)))
  redis.call('PEXPIRE', KEYS[2], ARGV[1])
end
return gone
