-- Reads a page from many mailboxes. KEYS: marker, then mailbox and companion of each want.
-- ARGV: most bytes, most envelopes, then for each want the era, score and first bytes of the last member of its cursor; '' is from nothing.
-- Replies the marker, then for each want: era, 1 if there is more, score and member of the cursor, and the members with their scores.
local left, room = tonumber(ARGV[1]), tonumber(ARGV[2])
local answer, waiting, taken = { redis.call('GET', KEYS[1]) or '' }, 0, 0
local wants = (#KEYS - 1) / 2
for i = 1, wants do waiting = waiting + redis.call('EXISTS', KEYS[2 * i]) end

-- Members of one score lie in the order of their bytes. Lua's own comparison follows the server's locale.
local function beyond(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x > y end
  end
  return #a > #b
end

for i = 1, wants do
  local mailbox = KEYS[2 * i]
  local kept = redis.call('HMGET', KEYS[2 * i + 1], 'era', 'hi')
  local era, hi = kept[1] or '', tonumber(kept[2] or '')
  local place, last, more, items = ARGV[3 * i + 1], ARGV[3 * i + 2], 0, {}
  if redis.call('EXISTS', mailbox) == 1 then
    -- A companion that was lost or set back cannot vouch that all that is new lies behind the cursor.
    if place ~= '' and hi and tonumber(place) > hi then
      local top = redis.call('ZRANGE', mailbox, 0, 0, 'REV', 'WITHSCORES')
      if tonumber(place) > tonumber(top[2]) then place = '' end
    end
    if place == '' or era ~= ARGV[3 * i] then place, last = '-inf', '' end
    local from, after, seen = place, last, 0
    local share, used, step = math.floor(left / waiting), 0, 2
    waiting = waiting - 1
    while more == 0 do
      local batch = redis.call('ZRANGE', mailbox, from, '+inf', 'BYSCORE', 'LIMIT', seen, step, 'WITHSCORES')
      for j = 1, #batch, 2 do
        local member, score = batch[j], batch[j + 1]
        if from == '-inf' or score ~= from or beyond(string.sub(member, 1, #after), after) then
          local size = math.max(#member - 16, 0)
          if taken > 0 and (size > left or room == 0 or (used > 0 and used + size > share)) then
            more = 1
            break
          end
          items[#items + 1], items[#items + 2] = member, score
          used, left, room, taken = used + size, left - size, room - 1, taken + 1
          place, last = score, string.sub(member, 1, 32)
        end
      end
      if #batch < 2 * step then break end
      seen = seen + step
      step = math.max(1, math.min(128, math.floor((share - used) / (used * 2 / math.max(#items, 2) + 1))))
    end
  else
    place, last = '-inf', ''
  end
  -- Whoever was given all of it goes on from the highest score, though nothing may lie there any more.
  if more == 0 and hi and tonumber(place) < hi then place, last = kept[2], '' end
  answer[#answer + 1] = { era, more, place, last, items }
end
return answer
