-- Adds the tokens of a request that is over. KEYS: its holders, hashes as in take.lua. ARGV: the tokens.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local minute, day = math.floor(now / 60000), math.floor(now / 86400000)
local tokens = tonumber(ARGV[1])
for _, key in ipairs(KEYS) do
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
  redis.call('HSET', key, 'm', minute, 'r', r, 'rr', rr, 't', t + tokens, 'tt', tt, 'd', day, 'td', td + tokens)
  redis.call('PEXPIRE', key, 86400000 - now % 86400000 + 120000)
end
