-- The examples of scripts/examples, run as their readers do, and their table in docs/scenarios.md.
local command = require "spec.support.command"

local FOLDER = "scripts/examples/"
local has_luv = pcall(require, "luv")

-- Runs a command line, which must succeed and write nothing to standard error. Returns what it
-- printed.
local function output(line)
  local out, err, code = command.run(line)
  assert.same({ "", 0 }, { err, code }, out)
  return out
end

-- Runs an example with the lunik command.
local function run(name, arguments)
  return output(("%s run %s%s %s"):format(command.lunik, FOLDER, name, arguments or ""))
end

-- Runs an example in C.
local function program(name)
  return output(("env LUA_PATH='scripts/?.lua;scripts/?/init.lua' %s/examples/%s"):format(
    command.build, name))
end

-- Fails unless the texts are in the output, in this order.
local function shows(texts, out)
  local from = 1
  for _, text in ipairs(texts) do
    local _, last = out:find(text, from, true)
    assert.is_truthy(last, ("'%s' is not in the rest of:\n%s"):format(text, out:sub(from)))
    from = last + 1
  end
end

describe("the example", function()
  it("embed.c is a C program with a machine", function()
    if not command.kvm() then return pending "no /dev/kvm" end
    shows({ "hello from the guest", "event: shutdown" }, program "embed")
  end)

  it("embed_lua.c has its machine built by a board", function()
    local out = program "embed_lua"
    assert.equal("C: the guest has answered\nLua: the guest answers for dimm1: status 0\n",
      out:gsub("^(Lua[^\n]*\n)(C[^\n]*\n)$", "%2%1"), out) -- in either order
  end)

  it("pci_device.c is a PCI device", function()
    assert.equal("found 1234:5a5a\n111 squared is 12321\nstatus 1, interrupt 11 is high\n"
      .. "loaded: 12321, status 1, interrupt 11 is high\nstatus 0, interrupt 11 is low\n",
      program "pci_device")
  end)

  it("embed.lua is plain Lua that drives a machine", function()
    assert.equal("the serial port says: hello from Lua\nmemory at 0x1000 says: some bytes\n"
      .. "shutdown: exit-device, code 1\n",
      output(command.interpreter .. " scripts/examples/embed.lua"))
  end)

  it("hello of ten lines says hello", function()
    if not command.kvm() then return pending "no /dev/kvm" end
    assert.equal("hello\n", run "hello.lua")
  end)

  it("listener-log logs what is mapped and why", function()
    local out = run "listener-log.lua"
    assert.matches("%+ memory 0*100000000%-0*10fffffff%s+rw%s+dimm1%-mem%s+device_add dimm1 ", out)
    assert.matches("%- memory 0*100000000%-.- dimm1%-mem%s+device_del dimm1 .-write of 0x8 "
      .. "to port 0xa14", out)
  end)

  it("dirty-rate plots in the terminal and as SVG", function()
    local file <close> = command.file("", ".svg")
    local out = run("dirty-rate.lua", tostring(file))
    shows({ "memory that the guest writes\n", "dirty rate, MiB/s\n", " 0 ┤", " s\n",
      "the same as a picture: " .. file .. "\n" }, out)
    local svg = command.read(file)
    shows({ "<svg ", "memory that the guest writes", "<polyline", "</svg>" }, svg)
  end)

  it("memory-policy plugs when the guest runs short and unplugs when it is idle", function()
    assert.equal([[
 60 of 127 MiB in use  enough
 90 of 127 MiB in use  enough
110 of 127 MiB in use  short: plugged dimm1
150 of 191 MiB in use  short: plugged dimm2
200 of 255 MiB in use  short: plugged dimm3
210 of 319 MiB in use  enough
120 of 319 MiB in use  idle: unplugged dimm3
100 of 255 MiB in use  idle: unplugged dimm2
 70 of 191 MiB in use  idle: unplugged dimm1
 40 of 127 MiB in use  enough
]], run "memory-policy.lua")
  end)

  it("numa-host-nodes binds each node's memory to a node of the host", function()
    local numa = io.open "/proc/self/numa_maps"
    if not numa then return pending "the kernel has no numa_maps" end
    numa:close()
    local out = run "numa-host-nodes.lua"
    for id, node in pairs { ram0 = 0, ram1 = 1, dimm1 = 1 } do
      local home = out:match(("%s, guest node %d: policy bind:(%%d+), "):format(id, node))
      assert.is_truthy(home, out)
      assert.matches(("%s, [^\n]*, 16384 pages on host node %s\n"):format(id, home), out)
    end
  end)

  it("hugepages takes an ordinary file where the host has no huge pages", function()
    local out = run "hugepages.lua"
    if out:find "no huge pages" then
      assert.matches("^no huge pages; as root: [me][^\n]+\ndimm1 is backed by pages of 4 KiB\n$",
        out)
    else
      assert.matches("^dimm1 is backed by pages of %d%d%d+ KiB\n$", out)
    end
  end)

  it("hugepages takes huge pages where there are some", function()
    local testing = require "lunik.testing"
    if not io.open("/proc/mounts"):read "a":find " hugetlbfs " then
      return pending "no hugetlbfs is mounted"
    end
    local pages = testing.huge_pages(32)
    assert.equal(("dimm1 is backed by pages of %d KiB\n"):format(pages.size >> 10),
      run "hugepages.lua")
  end)

  it("unplug-refused shows the guest's answer, and that it can be asked again", function()
    shows({ "refused: ", "'dimm1'", "source 0x3, status 0x80", "the DIMM is refused",
      "still has 191 MiB", "asked again: ejected; the guest has 63 MiB" }, run "unplug-refused.lua")
  end)

  it("unplug-unanswered times out, and a reset completes the removal", function()
    assert.equal([[
no answer: no removal of 'dimm1' within 0.5 s
the request is requested
after a reset it is ejected
DIMMs left: 0
]], run "unplug-unanswered.lua")
  end)

  it("backend-lost survives a truncated file", function()
    shows({ "reads as zeros: true\n", "dimm1-mem: a part of this memory is lost",
      "the machine is paused\n", "without the DIMM it is running, with 63 MiB\n" },
      run "backend-lost.lua")
  end)

  it("transaction-200 changes the memory map once, or not at all", function()
    shows({ "200 DIMMs made in ", "changes of the memory map: 1\n", "the guest has 1.6 GiB\n",
      "refused: ", "'no such backend'", "DIMMs: 200\n" }, run "transaction-200.lua")
  end)

  it("lua-device has an interrupt and a timer", function()
    assert.equal([[
 250 ms: interrupt
         ticks: 1
 500 ms: interrupt
         ticks: 2
 750 ms: interrupt
1000 ms: the line is high
         ticks: 4
]], run "lua-device.lua")
  end)

  it("edu has registers, an interrupt by message, and DMA", function()
    assert.equal([[
00:02.0 Unassigned class: 1234:11e8 (rev 10)
10! is 3628800
interrupted by the message 0x41
through the device
]], run "edu.lua")
  end)

  it("many-machines runs twenty at once", function()
    assert.equal("20 machines done, up to 20 at once\n"
      .. "memory of all guests, DIMMs included: 2.5 GiB\n", run "many-machines.lua")
  end)

  it("luv-server serves a client on a socket", function()
    if not has_luv then return pending "luv is not installed" end
    assert.equal([[
> memory
< 63 MiB
> plug 64M
< dimm1
> memory
< 127 MiB
> fly
< error: no command 'fly'
> unplug dimm7
< error: there is no device 'dimm7'
> unplug dimm1
< ejected
]], run "luv-server.lua")
  end)

  for _, name in ipairs { "memory-policy", "numa-host-nodes", "hugepages", "unplug-refused",
    "unplug-unanswered", "transaction-200", "many-machines", "listener-log" } do
    it(name .. " runs with the small guest as well", function()
      if not command.kvm() then return pending "no /dev/kvm" end
      assert.is_true(#run(name .. ".lua", "small") > 0)
    end)
  end
end)

describe("the table of scenarios", function()
  local text = command.read "docs/scenarios.md"

  local function names()
    local list = {}
    for name in command.run("ls " .. FOLDER):gmatch "[^\n]+" do list[#list + 1] = name end
    return list
  end

  it("lists every example once", function()
    for _, name in ipairs(names()) do
      local _, rows = text:gsub("\n| `" .. name:gsub("%p", "%%%0") .. "` |", "")
      assert.equal(1, rows, name)
    end
  end)

  it("lists nothing else", function()
    local known = {}
    for _, name in ipairs(names()) do known[name] = true end
    for name in text:gmatch "\n| `([^`]+)` |" do assert.is_true(known[name], name) end
  end)
end)

describe("every example in Lua", function()
  it("says at its beginning how it is run", function()
    for name in command.run("ls " .. FOLDER .. "*.lua"):gmatch "[^\n]+" do
      if not name:find "demo.lua" then -- make demo
        local head = command.read(name):match "^(%-%- .-)\nlocal "
        assert.matches("\n%-%-     %S[^\n]* " .. name:gsub("%p", "%%%0"), head, name)
      end
    end
  end)
end)
