--- Words for the steps of a flight: one line each.

local board = require "lunik.board"

local words = {}

--- A time in the unit that suits it.
function words.time(ns)
  if ns < 1000 then return ("%d ns"):format(ns) end
  if ns < 1000000 then return ("%.1f us"):format(ns / 1e3) end
  if ns < 1000000000 then return ("%.3f ms"):format(ns / 1e6) end
  return ("%.3f s"):format(ns / 1e9)
end

local function span(address, size)
  return ("0x%x-0x%x"):format(address, address + size - 1)
end

-- The options of a call, the id first: a script's table has them in any order.
local function with_options(step, what)
  local id, others = nil, {}
  for option in (step.fields.options or ""):gmatch "%S+" do
    if option:find "^id=" then id = option else others[#others + 1] = option end
  end
  table.sort(others)
  table.insert(others, 1, id)
  return ("%s %s %s"):format(what, step.driver or "", table.concat(others, " "))
end

local texts = {}

function texts.device_add(step) return with_options(step, "device_add") end
function texts.object_add(step) return with_options(step, "object_add") end
function texts.device_del(step) return "device_del " .. (step.device or "") end
function texts.object_del(step) return "object_del " .. (step.device or "") end
function texts.guest_reset() return "the guest asks for a reset" end
function texts.vcpus_create() return "the vCPUs are made" end
function texts.vcpus_reset() return "the vCPUs are reset" end
function texts.boot_reset() return "what boots is loaded" end
function texts.go_on() return "devices and vCPUs run" end
function texts.device_reset(step) return "reset " .. (step.device or "") end
function texts.pre_plug(step) return ("%s checks %s"):format(step.name, step.device) end
function texts.realize(step) return "realize " .. (step.device or "") end
function texts.unrealize(step) return "unrealize " .. (step.device or "") end
function texts.plug(step) return ("%s plugs %s"):format(step.name, step.device) end
function texts.unplug(step) return ("%s unplugs %s"):format(step.name, step.device) end

function texts.unplug_request(step)
  return ("%s is asked to unplug %s"):format(step.name or "the type", step.device)
end

function texts.place(step)
  local f = step.fields
  return ("%s has slot %d, %s (%s)"):format(step.device, f.slot, span(f.address, f.size),
    board.show(f.size))
end

function texts.map() return "the memory map changes" end

function texts.section(step)
  local f = step.fields
  return ("%s %s %s: %s"):format(f.added and "+" or "-", f.space, span(f.address, f.size),
    step.name)
end

function texts.listener(step)
  local f = step.fields
  local text = ("listener %s"):format(step.name or "(unnamed)")
  if f.added then
    text = ("%s: %d added, %d removed, hooks took %s"):format(text, f.added, f.removed,
      words.time(f.hooks))
  end
  return f.undo and text .. ", taking back" or text
end

function texts.memslot(step)
  local f = step.fields
  return ("KVM memslot %d %s: %s"):format(f.id, f.added and "set" or "removed",
    span(f.address, f.size))
end

function texts.hold() return "vCPUs are kept outside the guest" end

function texts.shown(step)
  local f = step.fields
  if f.asks == "remove" then return ("slot %d asks for %s back"):format(f.slot, step.device) end
  return ("slot %d shows %s"):format(f.slot, step.device)
end

function texts.gpe(step) return ("GPE %d is raised"):format(step.fields.gpe) end

function texts.gsi(step)
  return ("GSI %d goes %s"):format(step.fields.gsi, step.fields.level and "high" or "low")
end

function texts.access(step)
  local f = step.fields
  local value = f.value and (" 0x%x"):format(f.value) or ""
  return ("guest %s%s %s %s+0x%x (%s 0x%x, %d byte%s)"):format(f.write and "writes" or "reads",
    value, f.write and "to" or "from", step.name, f.offset, f.bus, f.address, f.size,
    f.size == 1 and "" or "s")
end

function texts.ost(step)
  local f = step.fields
  return ("_OST source 0x%x, status 0x%x for slot %d"):format(f.source, f.status, f.slot)
end

function texts.eject(step) return "the guest ejects " .. (step.device or "") end
function texts.event(step) return "event " .. (step.name or "") end

function texts.handler(step)
  return ("handler %s:%d of %s"):format(step.name, step.fields.line, step.fields.event)
end

function texts.drain(step) return ("%s is to finish what is in flight"):format(step.device) end

-- A kind that a device outside the library reports: its name and its fields.
local function other(step)
  local parts = { (step.kind:gsub("_", " ")) }
  if step.name then parts[#parts + 1] = step.name end
  if step.device then parts[#parts + 1] = step.device end
  local keys = {}
  for key in pairs(step.fields) do keys[#keys + 1] = key end
  table.sort(keys)
  for _, key in ipairs(keys) do
    parts[#parts + 1] = ("%s=%s"):format(key, step.fields[key])
  end
  return table.concat(parts, " ")
end

--- Returns what a step does, in one line.
function words.step(step)
  local ok, text = pcall(texts[step.kind] or other, step)
  if not ok then text = other(step) end -- a device reports a known kind with other fields
  return (text:gsub("%c", "?"):gsub(" +$", ""))
end

--- Returns what a step is, without what differs from one device, address and time to the next: to
-- compare flights by.
function words.sort_of(step)
  local parts = { step.kind }
  local function add(part) if part then parts[#parts + 1] = part end end
  if step.kind == "access" then
    add(step.fields.write and "write" or "read")
    add(("%s+0x%x"):format(step.name, step.fields.offset))
  elseif step.kind == "event" or step.kind == "listener" then
    add(step.name)
  elseif step.kind == "gsi" then
    add(tostring(step.fields.gsi))
    add(step.fields.level and "high" or "low")
  elseif step.kind == "handler" then
    add(("%s:%d"):format(step.name, step.fields.line))
  elseif step.kind == "section" or step.kind == "memslot" then
    add(step.fields.added and "added" or "removed")
  elseif step.kind == "ost" then
    add(("source 0x%x status 0x%x"):format(step.fields.source, step.fields.status))
  end
  return table.concat(parts, " ")
end

return words
