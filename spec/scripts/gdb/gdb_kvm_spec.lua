-- gdb debugs the small guest on KVM: breakpoints, steps, a watchpoint, Ctrl-C, threads, detaching.
local lunik = require "lunik"
local gdb = require "spec.support.gdb"
local machines = require "spec.support.machines"
local small = require "spec.support.small_guest"

local why = small.unavailable()
if why then
  return describe("gdb and a guest", function()
    it("need KVM", function() pending(why) end)
  end)
end

local AT = 0x1800000 -- memory that the guest does not use

describe("gdb and a guest", function()
  local m, path, server

  before_each(function()
    path = os.tmpname()
    os.remove(path)
    m = small.machine { memory = "64M", cpus = 2 }
    server = m:gdb { listen = "unix:" .. path }
    small.start(m)
  end)

  after_each(machines.close_all)

  local function running()
    return server.connected and server.session.running and m.state == "running"
  end

  -- Runs gdb with these commands; types a command for the guest each time that the guest goes on.
  local function debug(commands, ...)
    local ended = gdb.batch(("target remote %s\n"):format(path) .. commands,
      small.image "small.elf")
    for _, line in ipairs { ... } do
      gdb.wait_for(running)
      m:console():write(line .. "\n")
      gdb.wait_for(function() return not server.session.running end)
    end
    return ended(60)
  end

  -- The address of a function of the guest.
  local function symbol(name)
    local pipe = io.popen(("nm %s"):format(small.image "small.elf"))
    local address = pipe:read("a"):match("(%x+) %a " .. name .. "\n")
    pipe:close()
    return tonumber(address, 16)
  end

  local function works()
    gdb.wait_for(function() return m.state == "running" and not server.connected end)
    assert.matches("ok", select(2, small.run(m, "help")) or "ok")
  end

  it("stop at a function, step, watch memory and go on", function()
    local text = debug(([[
break command_write
continue
print $rip == (long)&command_write
backtrace 2
stepi
print $rip != (long)&command_write
watch *(int *)0x%x
continue
print *(int *)0x%x
info threads
delete
print $cs
print/x $efer & 0x400
detach
]]):format(AT, AT), ("write 0x%x 5 4"):format(AT))
    assert.matches("Breakpoint 1, 0x%x+ in command_write", text)
    assert.matches("#0 +0x%x+ in command_write", text)
    assert.matches("%$1 = 1\n", text)
    assert.matches("%$2 = 1\n", text)
    assert.matches("Hardware watchpoint 2", text)
    assert.matches("New value = 5", text)
    assert.matches("%$3 = 5\n", text)
    assert.matches("CPU#0 %[halted%]", text)
    assert.matches("CPU#1 %[halted%]", text)
    assert.matches("= 0x400\n", text)
    works()
  end)

  it("use int3 when the debug registers are taken, and the guest's memory shows none", function()
    local text = debug([[
hbreak serve
hbreak stop
hbreak poll_events
hbreak run_ud
break command_read
info breakpoints
continue
x/1xb (char *)&command_read
delete
detach
]], "read 0x1000 4")
    assert.matches("Breakpoint 5, 0x%x+ in command_read", text)
    assert.is_nil(text:match "<command_read>:%s+0xcc")
    works()
  end)

  it("stop the guest at once by an interrupt", function()
    local client = gdb.dial(path)
    client:ask "?"
    client:raw "$vCont;c#a8"
    gdb.wait_for(running)
    client:raw "\3"
    assert.matches("^T02thread:1;", client:next())
    assert.equal("paused", m.state)
    local tsc = m:cpu(0):msr(0x10)
    lunik.sleep(0.05)
    assert.equal(tsc, m:cpu(0):msr(0x10))
    client:close()
    works()
  end)

  it("step by step, with the registers of each step", function()
    m:console():write "outloop 0x80 1 2000000\n" -- a processor that halts makes no step
    local client = gdb.dial(path)
    client:ask "?"
    local cpu, seen = m:cpu(0), {}
    for i = 1, 5 do
      assert.matches("^T05thread:1;", client:ask "vCont;s:1")
      assert.equal("debug", m:qmp("query-status").status)
      seen[i] = cpu:reg "rip"
    end
    local fpu = cpu:fpu()
    assert.equal(512, #fpu)
    cpu:set_fpu(fpu)
    assert.equal(fpu, cpu:fpu())
    assert.equal(5, #seen)
    client:close()
    works()
  end)

  it("answer a client's packets about an int3", function()
    local client = gdb.dial(path)
    client:ask "qSupported:swbreak+;hwbreak+"
    local place = symbol "command_read"
    for i = 1, 4 do assert.equal("OK", client:ask(("Z1,%x,1"):format(0x100000 + i))) end
    assert.equal("E1c", client:ask "Z1,100009,1")
    assert.equal("OK", client:ask(("Z0,%x,1"):format(place)))
    client:raw "$vCont;c#a8"
    gdb.wait_for(running)
    m:console():write "read 0x1000 4\n"
    assert.equal("T05thread:1;swbreak:;", client:next())
    assert.equal(place, m:cpu(0):reg "rip")
    assert.not_equal("cc", client:ask(("m%x,1"):format(place)))
    assert.equal("OK", client:ask(("z0,%x,1"):format(place)))
    client:close()
    works()
  end)
end)
