-- Linux with persistent memory: modules from the start and added later, which its driver nd_pmem
-- reads and writes, and whose files have what it wrote; a module's labels.
local command = require "spec.support.command"
local testing = require "lunik.testing"

local MiB = 1 << 20
local SLOW = { timeout = 120 } -- seconds for what the guest does by itself
local ND = "/sys/bus/nd/"
local SET_LABELS, GET_LABELS = 0xc0084e06, 0xc00c4e05 -- ND_IOCTL_SET_CONFIG_DATA, _GET_CONFIG_DATA

local function unavailable()
  return testing.unavailable "linux" or os.getenv "LUNIK_QUICK" and "LUNIK_QUICK is set" or nil
end

local function eventually(what, look)
  return testing.eventually(look, { timeout = SLOW.timeout, what = what })
end

local function random_file(folder, name, megabytes)
  local path = folder .. "/" .. name
  local _, err, code = command.run(("head -c %dM /dev/urandom >%s"):format(megabytes, path))
  assert.equal(0, code, err)
  return path
end

local function backend(id, path, megabytes)
  return { id = id, size = megabytes << 20, mem_path = path, share = true, align = "2M" }
end

-- The guest reads what the file has, and the file has what the guest writes.
local function compare(agent, device, path)
  local function sum() return (command.run("sha256sum " .. path)):match "^%x+" end
  assert.equal(sum(), (agent:sha256(device)))
  local file <close> = agent:open(device, { "rdwr" })
  file:fill("1M", "2M", 12)
  file:pwrite(512, "from the guest")
  file:fsync()
  assert.equal("from the guest", command.read(path):sub(513, 526))
  assert.equal(sum(), (agent:sha256(device)))
end

-- The name of a device on the bus "nd" whose file fits a pattern.
local function named(agent, pattern, file, want)
  for _, name in ipairs(agent:list(ND .. "devices")) do
    name = name:gsub("/$", "")
    if name:find(pattern) and agent:read(ND .. "devices/" .. name .. file):find(want) then
      return name
    end
  end
end

-- The guest writes a label and reads it; the file has it behind the memory of that size.
local function exchange_label(agent, handle, path, size)
  local nmem = eventually("the module", function()
    return named(agent, "^nmem%d", "/nfit/handle", ("^0x%x\n"):format(handle))
  end)
  local region = eventually("its region", function()
    return named(agent, "^region%d", "/mapping0", "^" .. nmem .. ",")
  end)
  agent:write(ND .. "drivers/nd_region/unbind", region) -- labels are not in use then
  local text <const> = "label from guest"
  local device <close> = agent:open("/dev/" .. nmem, { "rdwr" })
  device:ioctl(SET_LABELS, ("<I4I4"):pack(4096, #text) .. text .. "\0\0\0\0")
  assert.equal(text, command.read(path):sub(size + 4097, size + 4096 + #text))
  local _, data = device:ioctl(GET_LABELS, ("<I4I4I4"):pack(4096, #text, 0) .. ("\0"):rep(#text))
  assert.equal(text, data:sub(13))
end

it("Linux reads and writes persistent memory and labels, which their files have", function()
  local why = unavailable()
  if why then return pending(why) end
  local folder = testing.directory()
  local cold = random_file(folder, "cold", 16)
  local t = testing.machine {
    guest = "linux", memory = "256M", maxmem = "1G", slots = 3, nvdimm = true,
    objects = { { "memory-backend-file", backend("cold", cold, 16) } },
    devices = { { "nvdimm", { id = "nv1", memdev = "cold" } } },
  }
  local agent, m = t.guest.agent, t.m
  if not agent:stat(ND .. "drivers/nd_pmem") then testing.skip "the kernel has no nd_pmem" end
  eventually("the module from the start", function() return agent:stat "/dev/pmem0" end)
  compare(agent, "/dev/pmem0", cold)

  local hot = random_file(folder, "hot", 16)
  m:object_add("memory-backend-file", backend("hot", hot, 16))
  m:device_add("nvdimm", { id = "nv2", memdev = "hot" })
  eventually("the added module", function() return agent:stat "/dev/pmem1" end)
  compare(agent, "/dev/pmem1", hot)

  local labels = random_file(folder, "labels", 18)
  m:object_add("memory-backend-file", backend("labels", labels, 18))
  m:device_add("nvdimm", { id = "nv3", memdev = "labels", label_size = "2M" })
  exchange_label(agent, m:object("nv3").slot + 1, labels, 16 * MiB)
  compare(agent, "/dev/pmem0", cold)
  t:check()
end)
