-- Replaces holds of one account by the costs of their requests.
-- KEYS: the hash and the sorted set. ARGV: what is known to be spent, the end of the window in milliseconds, and for each
-- hold its id and cost. Returns the time, 1, and what is spent and held.
local hash, due = KEYS[1], KEYS[2]
local spent, held = open(hash, due, tonumber(ARGV[1]))
for i = 3, #ARGV, 2 do
  local id, cost = ARGV[i], tonumber(ARGV[i + 1])
  local state = redis.call('HGET', hash, id)
  if state ~= '-' then
    local _, most = string.match(state or '', '^(%d+) (%d+)$')
    local floor = string.match(state or '', '^x (%d+)$')
    held = math.max(held - (most or 0), 0)
    spent = math.max(spent - (floor or 0), 0) + cost
    redis.call('HSET', hash, id, '-')
    redis.call('ZADD', due, text(now + SETTLED), id)
  end
end
close(hash, due, spent, held, tonumber(ARGV[2]))
return { now, 1, spent, held }
