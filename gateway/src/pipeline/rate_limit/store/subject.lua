-- Shared by both scripts. A subject is a hash: minute m with requests r, of the previous minute rr; tokens t and tt
-- likewise; day d with tokens td. The arithmetic is that of counts.rs.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local minute, day = math.floor(now / 60000), math.floor(now / 86400000)
-- The counts r, rr, t, tt, td of a subject in the current minute and day.
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
