-- Causes of changes of the memory map: device, property, register write, script.
local lunik = require "lunik"
local machines = require "spec.support.machines"

local here = debug.getinfo(1, "S").short_src .. ":%d+" -- a pattern

-- Whether what m:why() or a listener says matches a pattern.
local function says(pattern, cause)
  assert(cause, "nothing is known")
  assert.matches(pattern, cause.text)
end

describe("causes", function()
  after_each(machines.close_all)

  it("name the device that a script added, and the register write that ejected it", function()
    local m = machines.pc()
    local log = {}
    m:listen {
      space = m.memory,
      region_add = function(s) log[#log + 1] = { "+" .. s.name, s.cause } end,
      region_del = function(s) log[#log + 1] = { "-" .. s.name, s.cause } end,
    }
    log = {}
    m:object_add("memory-backend-ram", { id = "mem", size = "2M" })
    local dimm = m:device_add("pc-dimm", { id = "dimm", memdev = "mem" })
    local at = dimm.addr
    assert.are.equal("+mem", log[1][1])
    says("^device_add dimm %(pc%-dimm%), by script " .. here .. "$", log[1][2])
    assert.are.equal("device_add", log[1][2].action)
    assert.are.equal("dimm", log[1][2].name)
    assert.are.equal("script", log[1][2].by.action)
    assert.are.same(log[1][2], m:why(at))
    m:wait("acpi-ost", { timeout = 5 })
    m:device_del("dimm"):wait { timeout = 5 }
    assert.are.equal("-mem", log[2][1])
    says("^device_del dimm %(pc%-dimm%), by write of 0x8 to port 0xa14 "
      .. "%(acpi%-mem%-hotplug, 1 bytes%)$", log[2][2])
    assert.are.same(log[2][2], m:why(at))
    local access = m:why(at).by
    assert.are.equal(0xa14, access.address)
    assert.are.equal(8, access.value)
    assert.are.equal(1, access.size)
    assert.is_nil(access.vcpu)
    assert.are.equal(2, #log)
  end)

  it("are passed to a new listener, whatever was done last", function()
    local m, told = machines.pc(), {}
    m.memory.root:add(m:region { kind = "reserved", name = "last", size = "4K" }, "3G")
    m:listen { region_add = function(s) told[#told + 1] = s end }
    assert.is_true(#told > 10)
    for _, section in ipairs(told) do
      assert.are.same(section.space:why(section.address), section.cause)
    end
  end)

  it("tell the changes of one transaction apart", function()
    local m = machines.none()
    local function io(name)
      return m:region { kind = "io", name = name, size = 16, read = function() return 0 end }
    end
    local a, b, opened = io "a", io "b", nil
    m:listen { begin = function(cause) opened = cause or opened end }
    local first = debug.getinfo(1, "l").currentline
    m:transaction(function()
      m.io.root:add(a, 0x5000)
      m.io.root:add(b, 0x5010)
    end)
    says("^script [^ ]*:" .. first + 1 .. "$", opened)
    local function line(n)
      return ("^script [^ ]*:%d, by script [^ ]*:%d"):format(first + n, first + 1)
    end
    says(line(2), m.io:why(0x5000))
    says(line(3), m.io:why(0x501f))
    assert.is_nil(m.io:why(0x5020))
    a.enabled = false
    says("^script [^ ]*:" .. first + 12 .. "$", m.io:why(0x5000))
    says(line(3), m.io:why(0x5010))
  end)

  it("name what a guest's register write moves, splits and uncovers", function()
    local m = machines.none()
    local low = m:region { kind = "io", name = "low", size = 0x100, read = function() return 1 end }
    local bar = m:region { kind = "io", name = "bar", size = 0x10, read = function() return 2 end }
    m.io.root:add(low, 0x5000)
    m.io.root:add(bar, 0x5020, { priority = 1 })
    m.io.root:add(m:region {
      kind = "io", name = "config", size = 4,
      write = function(_, _, value) bar.offset = value end,
    }, 0x6000)
    m:outl(0x6000, 0x5080)
    local moved = "^script [^ ]*:%d+, by write of 0x5080 to port 0x6000 %(config, 4 bytes%)$"
    says(moved, m.io:why(0x5080))
    says(moved, m.io:why(0x5020))
    assert.are.equal("low", m.io:find(0x5020).name)
    says(moved, m.io:why(0x5000)) -- its range ends elsewhere now
  end)

  it("know the reset and the property", function()
    local m = machines.none()
    local window = m:region { kind = "io", name = "w", size = 1, read = function() return 0 end }
    lunik.device {
      name = "cause-spec",
      properties = { at = { kind = "uint", default = 0x5000, live = true } },
      realize = function() m.io.root:add(window, 0x5000) end,
      reset = function() window.offset = 0x5000 end,
    }
    m:device_add("cause-spec", { id = "dev" })
    says("^script [^ ]+, by device_add dev %(cause%-spec%), by script", m.io:why(0x5000))
    window.offset = 0x5001
    m:start()
    m:reset()
    lunik.sleep(0.05)
    says("reset", m.io:why(0x5000))
  end)

  it("are not left behind by what fails", function()
    local m = machines.none()
    local a = m:region { kind = "io", name = "a", size = 16, read = function() return 0 end }
    pcall(m.device_add, m, "pc-dimm", { id = "x" })
    pcall(m.transaction, m, function() error "no" end)
    pcall(m.io.root.add, m.io.root, m.memory.root, 0)
    m.io.root:add(a, 0x5000)
    assert.is_nil(m.io:why(0x5000).by)
  end)

  it("name the vCPU", function()
    local KVM = io.open "/dev/kvm"
    if not KVM then return pending "no /dev/kvm" end
    KVM:close()
    local m = lunik.machine { board = "micro", memory = "16M" }
    local bar = m:region { kind = "io", name = "bar", size = 16, read = function() return 0 end }
    m.io.root:add(bar, 0x5000)
    m.io.root:add(m:region {
      kind = "io", name = "config", size = 1,
      write = function(_, _, value) bar.offset = 0x5000 + value end,
    }, 0x60)
    -- mov al, 0x40; out 0x60, al; hlt
    m:rom_add("code", 0x1000, "\xb0\x40\xe6\x60\xf4")
    m:on_reset(function()
      local cpu = m:cpu(0)
      cpu:set_reg("cs", 0)
      cpu:set_reg("cs.base", 0)
      cpu:set_reg("rip", 0x1000)
    end)
    m:start()
    for _ = 1, 200 do
      if bar.offset == 0x5040 then break end
      lunik.sleep(0.01)
    end
    local cause = m.io:why(0x5040)
    says("vCPU 0: write of 0x40 to port 0x60 %(config, 1 bytes%)$", cause)
    assert.are.equal(0, cause.by.vcpu)
  end)
end)
