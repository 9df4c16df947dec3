-- Deletes old mail of one mailbox, a part at a time. KEYS: mailbox, companion.
-- ARGV: the oldest that stays, in µs; the oldest that is taken for a time at all, in µs; the most to delete; ms the companion lives.
-- Replies how many were deleted.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local oldest, newest = string.format('%.0f', now - ARGV[2]), string.format('(%.0f', now - ARGV[1])
local old = redis.call('ZRANGE', KEYS[1], oldest, newest, 'BYSCORE', 'LIMIT', 0, ARGV[3])
local freed = 0
for _, member in ipairs(old) do
  redis.call('ZREM', KEYS[1], member)
  freed = freed + math.max(0, #member - 16)
end
local used = redis.call('HMGET', KEYS[2], 'bytes')[1]
if used and #old > 0 then
  redis.call('HSET', KEYS[2], 'bytes', string.format('%.0f', math.max(0, used - freed)))
  redis.call('PEXPIRE', KEYS[2], ARGV[4])
end
return #old
