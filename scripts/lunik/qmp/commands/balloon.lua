--- Commands about the balloon.

local failure = require "lunik.qmp.failure"

-- Calls m:balloon(), with QEMU's class where there is none.
local function balloon(m, size)
  local ok, result = pcall(m.balloon, m, size)
  if ok then return result end
  if result.code == "not-found" then
    failure.raise("DeviceNotActive", "No balloon device has been activated")
  end
  error(result, 0)
end

return {
  { name = "balloon", args = { value = "int" }, run = function(m, args)
    local most = balloon(m).memory
    if args.value <= 0 then failure.generic("Parameter 'target' expects a size") end
    balloon(m, math.min(args.value, most))
  end },
  { name = "query-balloon", returns = "BalloonInfo",
    run = function(m) return { actual = balloon(m).actual } end },
}
