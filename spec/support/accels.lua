-- For specs: a group of tests for machines without vCPUs, and the same for machines with KVM.
local busted = require "busted"
local small = require "spec.support.small_guest"

-- Describes each; what has a %s for the accelerator, fn(accel) has the tests. Where there is no KVM
-- calls skip with the reason, which is to end a test: function(reason) pending(reason) end.
return function(what, skip, fn)
  for _, accel in ipairs { "none", "kvm" } do
    busted.describe(what:format(accel), function()
      local reason = accel == "kvm" and small.unavailable()
      if reason then
        return busted.it("needs KVM", function() skip(reason) end)
      end
      fn(accel)
    end)
  end
end
