-- The first lines of each script. ARGV[1] is a text of words separated by spaces. The reply is a text of lines; the first line
-- has the server's time in milliseconds.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function text(number)
  return string.format('%.0f', number)
end
local word = string.gmatch(ARGV[1], '%S+')
local function number()
  return tonumber(word())
end
local reply = { text(now) }
