--- What a test expects of its machine: the DIMMs that it has plugged. check() compares it with
-- everything that knows of them. Other memory devices are left to the test.

local board = require "lunik.board"
local runner = require "lunik.testing.runner"

local model = {}

local function sorted(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  return keys
end

local function range(address, size)
  return ("0x%x, %s"):format(address, board.show(size))
end

-- ---- what there is -----------------------------------------------------------------------------

-- id -> data of the DIMMs in the machine's list; and how much of its window all others take.
local function listed(t)
  local found, others = {}, 0
  for _, device in ipairs(t.m:memory_devices()) do
    if device.type == "dimm" then
      found[device.data.id] = device.data
    else
      others = others + (device.data.max_size or device.data.size or 0)
    end
  end
  return found, others
end

-- How many NVDIMMs the machine has. They aren't the kit's: examples plug them by device_add.
local function nvdimms(m)
  local count = 0
  for _, device in ipairs(m:memory_devices()) do
    if device.type == "nvdimm" then count = count + 1 end
  end
  return count
end

--- How many DIMMs and NVDIMMs the machine has: each has a memslot of KVM's.
function model.count(t)
  local count = nvdimms(t.m)
  for _ in pairs((listed(t))) do count = count + 1 end
  return count
end

-- id of the DIMM -> {address=, size=} of what the map shows of it
local function mapped(t)
  local found = {}
  t.m:listen {
    name = "testing", space = t.m.memory,
    region_add = function(section)
      local owner = section.owner
      if not owner or owner.type ~= "pc-dimm" then return end
      local part = found[owner.id]
      if part and part.address + part.size == section.address then
        part.size = part.size + section.size
      else
        found[owner.id] = { address = section.address, size = section.size }
      end
    end,
  }:remove()
  return found
end

--- The device that has the machine's slots, or nil.
function model.slots_of(m)
  for _, object in ipairs(m:objects()) do
    if object.type == "device-memory" then return object end
  end
end

-- ---- comparisons: each appends lines of words --------------------------------------------------

local function compare_list(t, add)
  local found = listed(t)
  for _, id in ipairs(sorted(t.dimms)) do
    local dimm, data = t.dimms[id], found[id]
    if not data then
      add("the machine does not list %s", id)
    else
      for _, key in ipairs { "slot", "addr", "size", "node", "memdev" } do
        if data[key] ~= dimm[key] then
          add("the machine lists %s with %s %s, not %s", id, key, data[key], dimm[key])
        end
      end
    end
  end
  for _, id in ipairs(sorted(found)) do
    if not t.dimms[id] then
      add("the machine lists %s (slot %d, %s), which is not plugged", id, found[id].slot,
        range(found[id].addr, found[id].size))
    end
  end
end

local function compare_map(t, add)
  local found = mapped(t)
  for _, id in ipairs(sorted(t.dimms)) do
    local dimm, part = t.dimms[id], found[id]
    if not part then
      add("the map does not show %s", id)
    elseif part.address ~= dimm.addr or part.size ~= dimm.size then
      add("the map shows %s at %s, not at %s", id, range(part.address, part.size),
        range(dimm.addr, dimm.size))
    end
    found[id] = nil
  end
  for _, id in ipairs(sorted(found)) do
    add("the map shows %s at %s, which is not plugged", id,
      range(found[id].address, found[id].size))
  end
end

local function compare_used(t, add)
  local slots = model.slots_of(t.m)
  local _, sum = listed(t)
  for _, dimm in pairs(t.dimms) do sum = sum + dimm.size end
  if slots and slots.used ~= sum then
    add("%s of the machine's memory slots are used, not %s", board.show(slots.used),
      board.show(sum))
  end
end

local function compare_memslots(t, add)
  if t.m.accel ~= "kvm" or not t.base.memslots then return end
  local count = #sorted(t.dimms)
  local now = t.m.stats.memslots - t.base.memslots - nvdimms(t.m)
  if now ~= count then add("KVM has %d memslots for DIMMs, not %d", now, count) end
end

local function compare_guest_slots(t, add)
  local found = t.guest:memory()
  local sum = 0
  for _, id in ipairs(sorted(t.dimms)) do
    local dimm = t.dimms[id]
    local memory = found[dimm.slot]
    if dimm.state == "refused" and memory then
      add("the guest uses %s, which it has refused", id)
    elseif dimm.state ~= "refused" and not memory then
      add("the guest does not use %s (slot %d)", id, dimm.slot)
    elseif memory and (memory.address ~= dimm.addr or memory.size ~= dimm.size) then
      add("the guest uses slot %d as %s, but %s is %s", dimm.slot,
        range(memory.address, memory.size), id, range(dimm.addr, dimm.size))
    end
    sum = sum + (memory and memory.size or 0)
    found[dimm.slot] = nil
  end
  for _, slot in ipairs(sorted(found)) do
    add("the guest uses slot %d (%s), which is empty", slot,
      range(found[slot].address, found[slot].size))
  end
  return sum
end

local function compare_guest(t, add)
  if t.m.state ~= "running" or not t.guest:listens() then return end
  local sum
  if t:can "memory" then sum = compare_guest_slots(t, add) end
  local total = sum and t.base.total and t:can "total" and t.guest:total()
  if total and total ~= t.base.total + sum then
    add("the guest counts %s of memory, not %s and %s of DIMMs", board.show(total),
      board.show(t.base.total), board.show(sum))
  end
end

local UNCLEAN = { error = true, crashed = true, ["chardev-error"] = true,
  ["netdev-error"] = true }

-- Errors that the journal has and the test does not know of.
local function unclean(t, add)
  for _, ev in ipairs(t.journal.events) do
    if UNCLEAN[ev.name] and not t.pardoned[ev] then
      add("the journal has: %s", tostring(ev):match "^[^\n]*")
    end
  end
end

local function compare_log(t, add)
  unclean(t, add)
  if t.console.failure then add("%s which it must not", t.console.failure) end
end

local function compare_state(t, add)
  local state = t.m.state
  if state == "crashed" or state == "closed" then add("the machine is %s", state) end
end

local COMPARISONS = { compare_state, compare_list, compare_map, compare_used, compare_memslots,
  compare_guest, compare_log }

local function fail_with(what, problems)
  if #problems > 0 then runner.fail(what .. table.concat(problems, "\n  ")) end
end

-- Returns a list, and a function that adds a formatted line to it.
local function collector()
  local lines = {}
  return lines, function(format, ...) lines[#lines + 1] = format:format(...) end
end

--- Fails with everything in which test t's machine differs from what was plugged and unplugged.
function model.check(t)
  local problems, add = collector()
  for _, compare in ipairs(COMPARISONS) do
    if t.m.state ~= "closed" or compare == compare_state then compare(t, add) end
  end
  fail_with("check: ", problems)
end

--- Fails if the journal has errors that the test does not know of.
function model.check_journal(t)
  local problems, add = collector()
  unclean(t, add)
  fail_with("at the end: ", problems)
end

return model
