-- Adds the tokens of a finished request. KEYS: its subjects. ARGV: the tokens.
local tokens = tonumber(ARGV[1])
for _, key in ipairs(KEYS) do
  local r, rr, t, tt, td = read(key)
  write(key, r, rr, t + tokens, tt, td + tokens)
end
