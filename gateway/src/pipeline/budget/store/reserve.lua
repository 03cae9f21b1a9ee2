-- Holds a part of each of a request's budgets if it fits into all of them.
-- KEYS: for each account its hash and its sorted set. ARGV: the id of the hold, then for each account its limit, the
-- floor, the most, what is known to be spent, and the start and end of its window in milliseconds.
-- Returns the time, 1 if held, 0 if not, 2 if the time is outside a window, and for each account what is spent and held.
local id = ARGV[1]
local count = #KEYS / 2
for i = 1, count do
  local at = 6 * i - 4
  if now < tonumber(ARGV[at + 4]) or now >= tonumber(ARGV[at + 5]) then
    return { now, 2 }
  end
end
local rows, fits = {}, true
for i = 1, count do
  local at = 6 * i - 4
  local hash, due = KEYS[2 * i - 1], KEYS[2 * i]
  local spent, held = open(hash, due, tonumber(ARGV[at + 3]))
  local known = redis.call('HGET', hash, id)
  if not known and spent + held + tonumber(ARGV[at + 2]) > tonumber(ARGV[at]) then
    fits = false
  end
  rows[i] = { spent, held, known }
end
local reply = { now, fits and 1 or 0 }
for i = 1, count do
  local at = 6 * i - 4
  local hash, due = KEYS[2 * i - 1], KEYS[2 * i]
  local spent, held, known = rows[i][1], rows[i][2], rows[i][3]
  if fits and not known then
    held = held + tonumber(ARGV[at + 2])
    redis.call('HSET', hash, id, ARGV[at + 1] .. ' ' .. ARGV[at + 2])
    redis.call('ZADD', due, text(now + LEASE), id)
  end
  close(hash, due, spent, held, tonumber(ARGV[at + 5]))
  table.insert(reply, spent)
  table.insert(reply, held)
end
return reply
