-- Checks all limits of a request's subjects and counts an allowed request.
-- KEYS: the subjects. ARGV: for each, requests per minute, tokens per minute, tokens per day; 0 means no limit.
-- Returns the time in milliseconds, 1 if allowed, and for each subject r, rr, t, tt, td.
local left = 60000 - now % 60000
local function used(current, previous)
  return math.floor(previous * left / 60000) + current
end
local subjects, allowed = {}, true
for i, key in ipairs(KEYS) do
  local r, rr, t, tt, td = read(key)
  local limits = { tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i]) }
  for n, count in ipairs({ used(r, rr), used(t, tt), td }) do
    if limits[n] > 0 and count >= limits[n] then
      allowed = false
    end
  end
  subjects[i] = { r, rr, t, tt, td }
end
local reply = { now, allowed and 1 or 0 }
for i, key in ipairs(KEYS) do
  local r, rr, t, tt, td = unpack(subjects[i])
  if allowed then
    r = r + 1
    write(key, r, rr, t, tt, td)
  end
  for _, count in ipairs({ r, rr, t, tt, td }) do
    table.insert(reply, count)
  end
end
return reply
