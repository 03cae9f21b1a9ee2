-- Adds the tokens of finished requests of a gateway to counts, and counts requests that wait or are expected.
-- Follows beginning.lua. KEYS: the subjects. The words, for each subject:
--   PLACE RPM TPM TPD TOKENS RETURNED MINUTE WAITING SPARE
-- where PLACE is that of its key, 0 means no limit, and the rest is `Ask` of shared_counts.rs. The reply has for each
-- subject a line with the requests that are counted for this gateway, and r, rr, t, tt, td.
-- A subject is a hash: minute m with requests r, of the previous minute rr; tokens t and tt likewise; day d with tokens td.
-- The arithmetic is that of counts.rs.
local SPARE_PART = 1024
local minute, day = math.floor(now / 60000), math.floor(now / 86400000)
local left = 60000 - now % 60000
local function used(current, previous)
  return math.floor(previous * left / 60000) + current
end
for place in word do
  local key = KEYS[tonumber(place)]
  local rpm, tpm, tpd, tokens = number(), number(), number(), number()
  local returned, returned_minute, waiting, spare = number(), number(), number(), number()
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
  t, td = t + tokens, td + tokens
  if returned_minute == minute then
    r = math.max(r - returned, 0)
  elseif returned_minute == minute - 1 then
    rr = math.max(rr - returned, 0)
  end
  local granted = 0
  local is_full = (tpm > 0 and used(t, tt) >= tpm) or (tpd > 0 and td >= tpd)
  if rpm > 0 and not is_full then
    local free = math.max(rpm - used(r, rr), 0)
    granted = math.min(waiting + math.min(spare, math.floor(free / SPARE_PART)), free)
    r = r + granted
  end
  if tokens > 0 or returned > 0 or granted > 0 then
    redis.call('HSET', key, 'm', minute, 'r', text(r), 'rr', text(rr), 't', text(t), 'tt', text(tt), 'd', day, 'td', text(td))
    redis.call('PEXPIRE', key, 86400000 - now % 86400000 + 120000)
  end
  local row = { granted, r, rr, t, tt, td }
  for field = 1, 6 do
    row[field] = text(row[field])
  end
  reply[#reply + 1] = table.concat(row, ' ')
end
return table.concat(reply, '\n')
