-- Adds the tokens of a request that is over. KEYS: its holders. ARGV: the tokens.
local tokens = tonumber(ARGV[1])
for _, key in ipairs(KEYS) do
  local r, rr, t, tt, td = read(key)
  write(key, r, rr, t + tokens, tt, td + tokens)
end
