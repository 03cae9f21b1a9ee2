-- Takes a request where every limit of its holders allows it. A holder is a hash: its minute m, requests r of it and
-- rr of the one before, tokens t and tt likewise, its day d and tokens td of that. The same arithmetic as counts.rs.
-- KEYS: the holders. ARGV: for each, requests per minute, tokens per minute, tokens per day; 0 is no limit.
-- Gives the time in milliseconds, 1 where it was taken, and for each holder r, rr, t, tt, td.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local minute, day = math.floor(now / 60000), math.floor(now / 86400000)
local left = 60000 - now % 60000
local function used(current, previous)
  return math.floor(previous * left / 60000) + current
end
local holders, free = {}, true
for i, key in ipairs(KEYS) do
  local h = redis.call('HMGET', key, 'm', 'r', 'rr', 't', 'tt', 'd', 'td')
  for field = 1, 7 do
    h[field] = tonumber(h[field] or 0)
  end
  local m, r, rr, t, tt, d, td = unpack(h)
  if minute == m + 1 then
    r, rr, t, tt = 0, r, 0, t
  elseif minute ~= m then
    r, rr, t, tt = 0, 0, 0, 0
  end
  if day ~= d then
    td = 0
  end
  local limits = { tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i]) }
  for n, count in ipairs({ used(r, rr), used(t, tt), td }) do
    if limits[n] > 0 and count >= limits[n] then
      free = false
    end
  end
  holders[i] = { r, rr, t, tt, td }
end
local reply = { now, free and 1 or 0 }
for i, key in ipairs(KEYS) do
  local r, rr, t, tt, td = unpack(holders[i])
  if free then
    r = r + 1
    redis.call('HSET', key, 'm', minute, 'r', r, 'rr', rr, 't', t, 'tt', tt, 'd', day, 'td', td)
    redis.call('PEXPIRE', key, 86400000 - now % 86400000 + 120000)
  end
  for _, count in ipairs({ r, rr, t, tt, td }) do
    table.insert(reply, count)
  end
end
return reply
