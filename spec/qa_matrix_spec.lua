-- What teams that test virtual machines look at in hotplug of memory and PCI devices, as rows:
-- spec/support/matrix/ has them. Those with huge pages are in spec/huge_pages_matrix_spec.lua.
local describe_rows = require "spec.support.matrix.describe"

for _, group in ipairs { "lifecycle", "refusals", "host", "nodes", "pci", "cpus",
  "virtio_mem", "nvdimms" } do
  describe_rows(group)
end
