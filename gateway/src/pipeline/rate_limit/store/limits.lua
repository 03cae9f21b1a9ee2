-- Checks all limits of requests and counts those that are allowed, after adding the tokens of finished requests.
-- KEYS: the subjects. ARGV: two texts, of which each line is words separated by spaces. A subject is the place of its key.
--   "t SUBJECT TOKENS" adds tokens; the reply is an empty line.
--   "c COUNT", then for each subject "SUBJECT RPM TPM TPD", where 0 means no limit, checks a request; the reply is the time in
--   milliseconds, 1 if allowed, and for each subject r, rr, t, tt, td.
-- A subject is a hash: minute m with requests r, of the previous minute rr; tokens t and tt likewise; day d with tokens td.
-- The arithmetic is that of counts.rs.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local minute, day = math.floor(now / 60000), math.floor(now / 86400000)
local left = 60000 - now % 60000
local subjects, reply = {}, {}
local function text(number)
  return string.format('%.0f', number)
end
-- A subject with its counts in the current minute and day.
local function open(place)
  if subjects[place] then
    return subjects[place]
  end
  local h = redis.call('HMGET', KEYS[place], 'm', 'r', 'rr', 't', 'tt', 'd', 'td')
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
  local subject = { r = r, rr = rr, t = t, tt = tt, td = td, changed = false }
  subjects[place] = subject
  return subject
end
local function used(current, previous)
  return math.floor(previous * left / 60000) + current
end
local function check(number)
  local rows, allowed = {}, true
  for i = 1, number() do
    local s = open(number())
    local rpm = number()
    local tpm = number()
    local tpd = number()
    if (rpm > 0 and used(s.r, s.rr) >= rpm) or (tpm > 0 and used(s.t, s.tt) >= tpm) or (tpd > 0 and s.td >= tpd) then
      allowed = false
    end
    rows[i] = s
  end
  local row = { text(now), allowed and '1' or '0' }
  for _, s in ipairs(rows) do
    if allowed then
      s.r, s.changed = s.r + 1, true
    end
    for _, field in ipairs({ 'r', 'rr', 't', 'tt', 'td' }) do
      row[#row + 1] = text(s[field])
    end
  end
  return table.concat(row, ' ')
end
for _, argument in ipairs(ARGV) do
  local word = string.gmatch(argument, '%S+')
  local function number()
    return tonumber(word())
  end
  for name in word do
    if name == 'c' then
      reply[#reply + 1] = check(number)
    else
      local s = open(number())
      local tokens = number()
      s.t, s.td, s.changed = s.t + tokens, s.td + tokens, true
      reply[#reply + 1] = ''
    end
  end
end
for place, s in pairs(subjects) do
  if s.changed then
    redis.call('HSET', KEYS[place], 'm', minute, 'r', text(s.r), 'rr', text(s.rr), 't', text(s.t), 'tt', text(s.tt), 'd', day, 'td', text(s.td))
    redis.call('PEXPIRE', KEYS[place], 86400000 - now % 86400000 + 120000)
  end
end
return table.concat(reply, '\n')
