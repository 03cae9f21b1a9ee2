-- What both scripts share: a holder is a hash, its minute m, requests r of it and rr of the one before, tokens t and tt
-- likewise, its day d and tokens td of that. The same arithmetic as counts.rs.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local minute, day = math.floor(now / 60000), math.floor(now / 86400000)
-- The counts r, rr, t, tt, td of a holder, moved on to this minute and day.
local function read(key)
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
  return r, rr, t, tt, td
end
local function write(key, r, rr, t, tt, td)
  redis.call('HSET', key, 'm', minute, 'r', r, 'rr', rr, 't', t, 'tt', tt, 'd', day, 'td', td)
  redis.call('PEXPIRE', key, 86400000 - now % 86400000 + 120000)
end
