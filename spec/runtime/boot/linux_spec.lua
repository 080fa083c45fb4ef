-- A real Linux kernel, where one has been built (`make guest-linux`) and there is time.
local command = require "spec.support.command"

local kernel = os.getenv("LUNIK_KERNEL") or "build/guest-linux/vmlinux"

local function missing()
  local file = io.open(kernel)
  if not command.kvm() then
    return "no /dev/kvm"
  elseif os.getenv("LUNIK_QUICK") then
    return "LUNIK_QUICK is set"
  elseif not file then
    return kernel .. " is not built (make guest-linux)"
  end
  file:close()
end

describe("Linux", function()
  for _, slots in ipairs { 4, 32 } do
    it(("takes a DIMM and gives it back, without a complaint in its log, with %d slots"):format(
      slots), function()
      local why = missing()
      if why then
        return pending(why)
      end
      local out, err, code = command.run(("LUNIK_SLOTS=%d LUNIK_KERNEL=%s %s run "
        .. "scripts/examples/linux-hotplug.lua"):format(slots, kernel, command.lunik))
      assert.same({ "", 0 }, { err, code }, out)
      assert.matches("Linux took it: %d+ MiB", out)
      assert.matches("Linux let it go: dimm1 is ejected", out, 1, true)
    end)
  end
end)
