-- For wrk: each thread signs, then verifies what was signed, over one connection. The key is in CLAVIGER_KEY, the path
-- of the label in CLAVIGER_LABEL. Prints how many were verified, and how many answers were none.

local threads = {}
local headers = { ["authorization"] = "Bearer " .. os.getenv("CLAVIGER_KEY"), ["content-type"] = "application/json" }
local label = os.getenv("CLAVIGER_LABEL")

function setup(thread)
  table.insert(threads, thread)
end

function init()
  verified, refused, token = 0, 0, nil
end

function request()
  if token then
    return wrk.format("POST", label .. "/verify", headers, '{"token":"' .. token .. '"}')
  end
  return wrk.format("POST", label .. "/sign", headers, '{"claims":{"sub":"alice"}}')
end

function response(status, _, body)
  if status ~= 200 then
    refused, token = refused + 1, nil
  elseif token then
    verified, token = verified + 1, nil
  else
    token = body:match('"token":"([^"]+)"')
  end
end

function done(summary)
  local verified, refused = 0, 0
  for _, thread in ipairs(threads) do
    verified, refused = verified + thread:get("verified"), refused + thread:get("refused")
  end
  local e = summary.errors
  print(verified .. " verified, " .. refused .. " refused, " .. e.connect + e.read + e.write + e.timeout .. " errors")
end
