-- Adopts the costs of a gateway in accounts of budgets, and leases it parts of what is left.
-- Follows beginning.lua. KEYS: for each account its hash and its sorted set. The words, for each account:
--   PLACE ID KNOWN SINCE START END LIMIT COST UNCONFIRMED FLOOR KEEP WANT SPARE
-- where PLACE is that of its hash, START and END are its window in milliseconds, and the rest is `Ask` of account.rs. The reply
-- has for each account a line with what is spent, what is held, what is leased and when the account began.
-- An account is a hash with s, what is spent, h, what is held, b, when it began, k, what gateways knew to be spent before, and
-- one field for each gateway: "COST FLOOR LEASE", or "x COST FLOOR" after its lease. A sorted set has the time at which each of them changes its state. The arithmetic is that of
-- ledger.rs; amounts stay below 2^53, so doubles are exact.
local LEASE, REMEMBERED, SPARE_PART = 300000, 900000, 1024
-- Ends leases that are over; what is spent and held then.
local function expire(hash, due, spent, held)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, 1000)) do
    local cost, floor, lease = string.match(redis.call('HGET', hash, id) or '', '^(%d+) (%d+) (%d+)$')
    if cost then
      spent, held = spent + floor, math.max(held - lease, 0)
      redis.call('HSET', hash, id, 'x ' .. cost .. ' ' .. floor)
      redis.call('ZADD', due, text(now + REMEMBERED), id)
    else
      redis.call('HDEL', hash, id)
      redis.call('ZREM', due, id)
    end
  end
  return spent, held
end
for place in word do
  local hash, due = KEYS[tonumber(place)], KEYS[place + 1]
  local id = word()
  local known, since, start, finish, limit, cost = number(), word(), number(), number(), number(), number()
  local unconfirmed, floor, lease, want, spare = number(), number(), number(), number(), number()
  local values = redis.call('HMGET', hash, 's', 'h', 'b', 'k')
  local spent, begun = tonumber(values[1] or 0), values[3] or text(now)
  local before, held = tonumber(values[4] or spent), tonumber(values[2] or 0)
  if since == begun and known > spent then
    -- The server has restored an earlier state: it begins again. 0 milliseconds delete a key, without the permission for DEL.
    redis.call('PEXPIRE', hash, 0)
    redis.call('PEXPIRE', due, 0)
    spent, before, held, begun = known, known, 0, text(math.max(now, begun + 1))
  elseif since ~= begun and known > before then
    spent, before = spent + known - before, known
  end
  spent, held = expire(hash, due, spent, held)
  local state = redis.call('HGET', hash, id) or ''
  local cost_before, _, lease_before = string.match(state, '^(%d+) (%d+) (%d+)$')
  if cost_before then
    held = math.max(held - lease_before, 0)
    spent = spent + math.max(cost - cost_before, 0)
  else
    local cost_at_end, floor_at_end = string.match(state, '^x (%d+) (%d+)$')
    if cost_at_end then
      spent = math.max(spent - floor_at_end, 0) + math.max(cost - cost_at_end, 0)
    else
      spent = spent + unconfirmed
    end
  end
  if now >= start and now < finish then
    local left = math.max(limit - spent - held - lease, 0)
    lease = lease + math.min(want + math.min(spare, math.floor(left / SPARE_PART)), left)
  end
  held = held + lease
  redis.call('HSET', hash, 's', text(spent), 'h', text(held), 'b', begun, 'k', text(before), id, text(cost) .. ' ' .. text(floor) .. ' ' .. text(lease))
  redis.call('ZADD', due, text(now + LEASE), id)
  local left = text(math.max(finish - now, 0) + 2 * REMEMBERED)
  redis.call('PEXPIRE', hash, left)
  redis.call('PEXPIRE', due, left)
  reply[#reply + 1] = text(spent) .. ' ' .. text(held) .. ' ' .. text(lease) .. ' ' .. begun
end
return table.concat(reply, '\n')
