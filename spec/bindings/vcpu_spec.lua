-- vCPUs from Lua: registers, exits that a script decides about, handlers on their threads. On KVM.
local lunik = require "lunik"
local machines = require "spec.support.machines"
local command = require "spec.support.command"
local process = require "spec.support.process"
local small = require "spec.support.small_guest"

if not command.kvm() then
  return describe("vCPUs", function()
    it("need KVM", function() pending "no /dev/kvm" end)
  end)
end

local TIMEOUT = 30

local function boot(options)
  options = options or {}
  options.memory = options.memory or "32M"
  local m = small.machine(options)
  small.start(m)
  return m
end

-- Has the guest carry out a command; returns what comes after "ok ".
local function run(m, line)
  return (select(2, small.run(m, line)))
end

after_each(machines.close_all)

describe("registers", function()
  it("are read and written", function()
    local m = boot()
    m:pause()
    local cpu = m:cpu(0)
    assert.are.equal(cpu, m:cpus()[1])
    assert.are.equal(0, cpu.index)
    local regs = cpu:regs()
    assert.are.equal(regs.rip, cpu:reg "rip")
    assert.is_true(regs.cr0 & 0x80000001 == 0x80000001)
    assert.is_true(regs.efer & 0x400 ~= 0)
    cpu:set_reg("r15", -1)
    assert.are.equal(-1, cpu:reg "r15")
    cpu:set_reg("r15", regs.r15)
    assert.are.equal(regs.efer, cpu:msr(0xc0000080))
    cpu:set_msr(0xc0000102, 0x1234)
    assert.are.equal(0x1234, cpu:msr(0xc0000102))
    assert.is_truthy(cpu:dump():lower():find("rip", 1, true))
    assert.is_true(cpu.stats.exits > 0)
    m:resume()
    assert.are.equal("out", run(m, "out 0x80 1"))
    assert.are.equal(regs.efer, cpu:reg "efer") -- of a running one as well
    for _, case in ipairs {
      { cpu.reg, "rix", code = "not-found" }, { cpu.set_reg, "rix", 1, code = "not-found" },
      { cpu.msr, 0x12345678 }, { cpu.inject_exception, 32, code = "invalid" },
      { cpu.debug, { stp = true }, code = "invalid" },
    } do
      local err = machines.raised(case[1], cpu, table.unpack(case, 2))
      assert.is_true(case.code == nil or case.code == err.code, tostring(err.code) .. err.message)
    end
    assert.are.equal("invalid", machines.raised(m.cpu, m, 1).code)
  end)
end)

describe("an exit without a handler", function()
  it("stops the machine with a dump", function()
    local m = boot()
    m:console():write "triple\n"
    local ev = m:wait("crashed", { timeout = TIMEOUT })
    assert.are.equal("crashed", m.state)
    assert.are.equal("shutdown", ev.reason)
    assert.are.equal(0, ev.vcpu)
    assert.matches("\nr15 %x+  rip %x+  rfl %x+\ncs ", ev.dump)
    for line in ev.dump:gmatch "[^\n]+" do assert.is_true(#line <= 80, line) end
    assert.is_true(m:cpu(0):reg "cr3" ~= 0)
    m:start()
    m:console():expect("guest: ready", { timeout = TIMEOUT })
  end)

  it("does not affect other machines", function()
    local m, other = boot(), boot()
    m:console():write "triple\n"
    m:wait("crashed", { timeout = TIMEOUT })
    assert.are.same({ "crashed", "running" }, { m.state, other.state })
    run(other, "help")
    other:close()
  end)

  it("prints the dump when 'crashed' has no handler", function()
    local m = boot()
    local text = machines.stderr(function()
      m:console():write "triple\n"
      local err = machines.raised(function()
        m:console():expect("never", { timeout = TIMEOUT })
      end)
      assert.are.equal("state", err.code)
    end)
    assert.is_truthy(text:find("machine 'pc' crashed: shutdown: a triple fault", 1, true))
  end)
end)

describe("a vcpu-exit handler", function()
  it("pauses the machine", function()
    local m = boot()
    local exit
    m:on("vcpu-exit", function(ev)
      exit = ev
      return "pause"
    end)
    m:console():write "triple\n"
    m:wait("paused", { timeout = TIMEOUT })
    assert.are.equal("paused", m.state)
    assert.are.equal("shutdown", exit.reason)
    assert.are.equal(m:cpu(0), exit.vcpu)
  end)

  it("that has no answer leaves it to the next one", function()
    local m = boot()
    local order = {}
    m:on("vcpu-exit", function() order[#order + 1] = 1 end)
    m:on("vcpu-exit", function() order[#order + 1] = 2; error "broken" end)
    m:on("vcpu-exit", function() order[#order + 1] = 3 end)
    local errors = m:watch "error"
    m:console():write "triple\n"
    m:wait("crashed", { timeout = TIMEOUT })
    assert.are.same({ 1, 2, 3 }, order)
    assert.is_truthy(errors:wait({ timeout = 1 }).message:find "broken")
  end)

  -- A machine that runs real-mode code at 0x1000, interrupts off.
  local function bare(code)
    local m = lunik.machine { board = "micro", memory = "16M" }
    m:rom_add("code", 0x1000, code)
    m:on_reset(function()
      local cpu = m:cpu(0)
      cpu:set_reg("cs", 0)
      cpu:set_reg("cs.base", 0)
      cpu:set_reg("rip", 0x1000)
    end)
    return m
  end
  local nops_then_exit = "\x90\x90\x90\x90\x90\xb0\x05\xe6\xf4" -- mov al, 5; out 0xf4, al

  it("steps through the guest, then lets it run", function()
    local m = bare(nops_then_exit)
    local seen = {}
    m:on("vcpu-exit", function(ev)
      seen[#seen + 1] = ("%s %x"):format(ev.reason, ev.rip)
      assert(ev.rip == ev.vcpu:reg "rip")
      if #seen == 4 then
        ev.vcpu:debug()
      end
      return "resume"
    end)
    m:cpu(0):debug { step = true }
    m:start()
    assert.are.equal(11, m:wait("shutdown", { timeout = TIMEOUT }).code)
    assert.are.same({ "debug 1001", "debug 1002", "debug 1003", "debug 1004" }, seen)
  end)

  it("stops at breakpoints and changes registers", function()
    local m = bare(nops_then_exit)
    m:on("vcpu-exit", function(ev)
      assert(ev.rip == 0x1003)
      ev.vcpu:set_reg("rip", 0x1007) -- past mov al, 5
      ev.vcpu:set_reg("rax", 7)
      return "resume"
    end)
    m:cpu(0):debug { breakpoints = { 0x1003 } }
    m:start()
    assert.are.equal(15, m:wait("shutdown", { timeout = TIMEOUT }).code)
  end)
end)

describe("a paused machine's vCPUs", function()
  it("sleep until it goes on", function()
    boot { cpus = 4 }:pause()
    local before, sleeps
    for _ = 1, 50 do -- the last ones to stop may be on their way
      before, sleeps = sleeps, process.sleeps "lunik-vcpu"
      if sleeps == before then break end
      lunik.sleep(0.05)
    end
    assert.is_true(sleeps > 0)
    assert.equal(before, sleeps)
  end)
end)

describe("a handler on a vCPU's thread", function()
  it("answers the guest", function()
    local m = boot()
    m.io.root:add(m:region {
      kind = "io", size = 4, read = function(offset) return 0x40 + offset end,
    }, 0x500)
    assert.are.equal("in 0x42", run(m, "in 0x502"))
  end)

  it("has its turn while a script does nothing but poll the loop", function()
    local m = boot()
    local count, deadline = 0, lunik.now() + TIMEOUT
    m.io.root:add(m:region {
      kind = "io", size = 1, read = function()
        count = count + 1
        return 0
      end,
    }, 0x500)
    m:console():write "inloop 0x500 1000000\n"
    while count < 100 and lunik.now() < deadline do lunik.run "nowait" end
    assert.is_true(count >= 100, count .. " times")
  end)

  it("that raises is reported and the machine goes on", function()
    local m = boot()
    m.io.root:add(m:region { kind = "io", size = 4, read = function() error "bad" end }, 0x500)
    local errors = m:watch "error"
    assert.are.equal("in 0xff", run(m, "in 0x500"))
    local ev = errors:wait { timeout = 1 }
    assert.is_truthy(ev.message:find "bad")
    assert.are.equal(0, ev.vcpu)
    assert.is_truthy(ev.traceback:find("vcpu_spec", 1, true))
  end)

  it("can't wait or close its machine, but have both done", function()
    local m = boot()
    local errors, done = {}, false
    m.io.root:add(m:region {
      kind = "io", size = 4,
      write = function()
        errors[1] = machines.raised(lunik.sleep, 0.001)
        errors[2] = machines.raised(lunik.run)
        errors[3] = machines.raised(m.close, m)
        lunik.spawn(function()
          lunik.sleep(0.001)
          done = true
        end)
        lunik.defer(function() m:close() end)
      end,
    }, 0x500)
    m:console():write "out 0x500 1\n"
    lunik.run()
    assert.are.equal("closed", m.state)
    for i = 1, 3 do
      assert.are.equal("state", errors[i].code)
    end
    lunik.run()
    assert.is_true(done)
  end)

  it("can reset, pause and shut down the machine", function()
    local m = boot()
    local what
    m.io.root:add(m:region { kind = "io", size = 4, write = function() what() end }, 0x500)
    what = function() m:reset() end
    m:console():write "out 0x500 1\n"
    m:console():expect("guest: ready", { timeout = TIMEOUT })
    what = function() m:pause() end
    m:console():write "out 0x500 1\n"
    m:wait("paused", { timeout = TIMEOUT })
    m:resume()
    what = function() m:shutdown(5) end
    m:console():write "out 0x500 1\n"
    assert.are.equal(5, m:wait("shutdown", { timeout = TIMEOUT }).code)
  end)

  it("shares Lua with the loop and other vCPUs under load", function()
    local m = boot { cpus = 2 }
    run(m, "cpus")
    local count, ticks, stop = 0, 0, false
    m.io.root:add(m:region {
      kind = "io", size = 4,
      write = function(_, _, value)
        count = count + value
        local _ = { tostring(count), function() return value end }
      end,
    }, 0x500)
    local lines = 0
    m:on_irq(function() lines = lines + 1 end)
    local task = lunik.spawn(function()
      while not stop do
        ticks = ticks + 1
        lunik.sleep(0.001)
        collectgarbage "step"
      end
    end)
    run(m, "ap-touch 0x1000000 64")
    run(m, "outloop 0x500 1 5000")
    stop = true
    task:wait { timeout = 5 }
    assert.are.equal(5000, count)
    assert.is_true(ticks > 0)
  end)

  it("may be a device's, which is plugged while the guest runs", function()
    lunik.device {
      name = "adder", properties = { iobase = 0x500 },
      ports = {
        base = "iobase", size = 2,
        read = function(dev) return dev.sum & 0xff end,
        write = function(dev, _, _, value) dev.sum = dev.sum + value end,
      },
      realize = function(dev) dev.sum = 0 end,
    }
    local m = boot()
    m:device_add("adder", { id = "adder1" })
    run(m, "out 0x500 5")
    run(m, "out 0x500 6")
    assert.are.equal("in 0xb", run(m, "in 0x500"))
    m:device_del "adder1"
    assert.are.equal("in 0xff", run(m, "in 0x500"))
  end)
end)

describe("a script that ends", function()
  it("while vCPUs run is orderly", function()
    if command.interpreter ~= "lua5.4" then
      return pending "the lunik command runs on until the machines have ended"
    end
    local out, err, code = command.script(([[
      local m = lunik.machine {
        board = "pc", memory = "32M", cpus = 2, serial = "buffer", kernel = "%s/guests/small.elf",
      }
      m.io.root:add(m:region { kind = "io", size = 4, write = function() end }, 0x500)
      m:start()
      m:console():expect("guest: ready", { timeout = 30 })
      m:console():write "outloop 0x500 1 100000000\n"
      lunik.sleep(0.05)
    ]]):format(command.build))
    assert.are.same({ "", "lunik: machine 'pc' was still running when the script ended; stopped\n",
      0 }, { out, err, code })
  end)
end)
