-- Shared by both scripts. An account is a hash with s, what is spent, h, what is held, and one field for each hold:
-- "FLOOR MOST" while it is open, "x FLOOR" after its lease, "-" when it is settled. A sorted set has the time at which
-- each hold changes its state. The arithmetic is that of account.rs; amounts stay below 2^53, so doubles are exact.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local LEASE, REMEMBERED, SETTLED = 900000, 900000, 120000
local function text(number)
  return string.format('%.0f', number)
end
-- Opens an account that has spent at least `confirmed`; returns what is spent and held.
local function open(hash, due, confirmed)
  local values = redis.call('HMGET', hash, 's', 'h')
  local spent = math.max(tonumber(values[1] or 0), confirmed)
  local held = tonumber(values[2] or 0)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, 1000)) do
    local floor, most = string.match(redis.call('HGET', hash, id) or '', '^(%d+) (%d+)$')
    if floor then
      spent, held = spent + floor, math.max(held - most, 0)
      redis.call('HSET', hash, id, 'x ' .. floor)
      redis.call('ZADD', due, now + REMEMBERED, id)
    else
      redis.call('HDEL', hash, id)
      redis.call('ZREM', due, id)
    end
  end
  return spent, held
end
-- Writes an account of a window that ends at `finish`.
local function close(hash, due, spent, held, finish)
  redis.call('HSET', hash, 's', text(spent), 'h', text(held))
  local left = math.max(finish - now, 0) + 2 * REMEMBERED
  redis.call('PEXPIRE', hash, text(left))
  redis.call('PEXPIRE', due, text(left))
end
