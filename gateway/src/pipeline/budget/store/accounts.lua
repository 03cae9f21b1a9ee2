-- Holds parts of budgets for requests, after settling the costs of requests that have ended.
-- KEYS: for each account its hash and its sorted set. ARGV: two texts, of which each line is words separated by spaces. An
-- account is the place of its hash, what is known to be spent, and the end of its window in milliseconds.
--   "s ACCOUNT COUNT", then for each hold its id and cost, replaces holds by costs; the reply is what is spent and held.
--   "r ID COUNT", then for each budget "ACCOUNT START LIMIT FLOOR MOST", holds a part of each budget if all fit; the reply is
--   the time, 1 if held, 0 if not, 2 if the time is outside a window, and for each account what is spent and held.
-- An account is a hash with s, what is spent, h, what is held, and one field for each hold: "FLOOR MOST" while it is open,
-- "x FLOOR" after its lease, "-" when it is settled. A sorted set has the time at which each hold changes its state. The
-- arithmetic is that of account.rs; amounts stay below 2^53, so doubles are exact.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local LEASE, REMEMBERED, SETTLED = 900000, 900000, 120000
local accounts, reply = {}, {}
local function text(number)
  return string.format('%.0f', number)
end
-- An account with at least what is known to be spent.
local function open(place, known, finish)
  local account = accounts[place]
  if account then
    account.spent = math.max(account.spent, known)
    return account
  end
  local hash, due = KEYS[place], KEYS[place + 1]
  local values = redis.call('HMGET', hash, 's', 'h')
  local spent = math.max(tonumber(values[1] or 0), known)
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
  account = { hash = hash, due = due, spent = spent, held = held, finish = finish }
  accounts[place] = account
  return account
end
local function settle(word, number)
  local place = number()
  local known = number()
  local account = open(place, known, number())
  for _ = 1, number() do
    local id = word()
    local cost = number()
    local state = redis.call('HGET', account.hash, id)
    if state ~= '-' then
      local _, most = string.match(state or '', '^(%d+) (%d+)$')
      local floor = string.match(state or '', '^x (%d+)$')
      account.held = math.max(account.held - (most or 0), 0)
      account.spent = math.max(account.spent - (floor or 0), 0) + cost
      redis.call('HSET', account.hash, id, '-')
      redis.call('ZADD', account.due, text(now + SETTLED), id)
    end
  end
  return text(account.spent) .. ' ' .. text(account.held)
end
local function reserve(word, number)
  local id = word()
  local parts, inside, fits = {}, true, true
  for i = 1, number() do
    local part = {}
    for _, field in ipairs({ 'place', 'known', 'finish', 'start', 'limit', 'floor', 'most' }) do
      part[field] = number()
    end
    inside = inside and now >= part.start and now < part.finish
    parts[i] = part
  end
  if not inside then
    return text(now) .. ' 2'
  end
  for _, part in ipairs(parts) do
    local account = open(part.place, part.known, part.finish)
    part.account, part.exists = account, redis.call('HGET', account.hash, id)
    if not part.exists and account.spent + account.held + part.most > part.limit then
      fits = false
    end
  end
  local row = { text(now), fits and '1' or '0' }
  for _, part in ipairs(parts) do
    local account = part.account
    if fits and not part.exists then
      account.held = account.held + part.most
      redis.call('HSET', account.hash, id, text(part.floor) .. ' ' .. text(part.most))
      redis.call('ZADD', account.due, text(now + LEASE), id)
    end
    row[#row + 1] = text(account.spent)
    row[#row + 1] = text(account.held)
  end
  return table.concat(row, ' ')
end
for _, argument in ipairs(ARGV) do
  local word = string.gmatch(argument, '%S+')
  local function number()
    return tonumber(word())
  end
  for name in word do
    local operation = name == 'r' and reserve or settle
    reply[#reply + 1] = operation(word, number)
  end
end
for _, account in pairs(accounts) do
  redis.call('HSET', account.hash, 's', text(account.spent), 'h', text(account.held))
  local left = math.max(account.finish - now, 0) + 2 * REMEMBERED
  redis.call('PEXPIRE', account.hash, text(left))
  redis.call('PEXPIRE', account.due, text(left))
end
return table.concat(reply, '\n')
