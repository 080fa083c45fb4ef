-- Each call into libc and libuv that can fail does so in turn, below what guests and the peers of
-- character devices cause. These get no error: the machine goes on, or it stops and an
-- event says why; nothing leaks, and the next time it works.
local lunik = require "lunik"
local uv = require "luv"
local faults = require "faults"
local accels = require "spec.support.accels"
local machines = require "spec.support.machines"
local small = require "spec.support.small_guest"
local steps = require "spec.support.fault_steps"
local terminal = require "spec.support.terminal"
local walks = require "spec.support.faults"

-- Runs the loop until fn() or for some seconds, without anything that could fail.
local function until_true(fn, seconds)
  local deadline = lunik.now() + (seconds or small.TIMEOUT)
  while not fn() do
    if lunik.now() > deadline then return false end
    lunik.run "nowait"
  end
  return true
end

-- Events and messages of a machine.
local function listen(m)
  local told = {}
  m:on("*", function(ev) told[ev.name] = true end)
  return setmetatable(told, { __index = {
    forget = function() for name in pairs(told) do told[name] = nil end end,
    any = function(names)
      for _, name in ipairs(names) do
        if told[name] then return true end
      end
      return false
    end,
  } })
end

-- Ways in which a guest resets or ends its machine: by its console, or by its ports.
local RESET_PORT = { "reset port", "reset", function(m)
  m:outb(0xcf9, 2)
  m:outb(0xcf9, 6)
end }
local OTHER_RESETS = {
  { "keyboard controller", "reset 1", function(m) m:outb(0x64, 0xfe) end },
  { "fast reset", "reset 2", function(m)
    m:outb(0x92, 0)
    m:outb(0x92, 1)
  end },
}
local POWER_OFF = { "power off", "poweroff", function(m) m:outw(0x604, 0x2000) end, all = true }

-- ---- peers -------------------------------------------------------------------------------------

local COM2 = 0x2f8
local ERRORS = { "chardev-error", "error" }

local function received(m)
  local text = ""
  while m:inb(COM2 + 5) & 1 == 1 do text = text .. string.char(m:inb(COM2)) end
  return text
end

local function peer_at(fd, close)
  return {
    write = function(text) return uv.fs_write(fd, text) end,
    read = function() return uv.fs_read(fd, 100) end,
    close = close,
  }
end

local function dial(path)
  local pipe = uv.new_pipe(false)
  pipe:connect(path)
  return peer_at(pipe:fileno(), function()
    pipe:close()
    uv.run "nowait"
  end)
end

local function open_terminal(path)
  local how = uv.constants
  local fd = assert(uv.fs_open(path, how.O_RDWR | how.O_NOCTTY | how.O_NONBLOCK, 0))
  return peer_at(fd, function() uv.fs_close(fd) end)
end

-- A machine whose second serial port is the character device c.
local function with_chardev(kind, props)
  local m = machines.none()
  m:on("error", function() end)
  props.id = "c"
  local object = m:object_add(kind, props)
  m:device_add("serial16550", { id = "serial1", iobase = COM2, irq = 3, chardev = "c" })
  m:start()
  m:outb(COM2 + 2, 1) -- the FIFO
  return m, object, listen(m)
end

-- Says something both ways, through a peer with write(text) and read().
local function talk(m, peer)
  local got = ""
  peer.write "abc"
  assert(until_true(function()
    got = got .. received(m)
    return got:find "abc$"
  end), "input is lost: " .. got)
  machines.send(m, COM2, "xyz")
  got = ""
  assert(until_true(function()
    got = got .. (peer.read() or "")
    return got:find "xyz$"
  end), "output is lost: " .. got)
end

-- Fails if something has not come through, without a report. What was not taken before may come
-- first.
local function must_have(got, want, told)
  if got:sub(-#want) == want or told.any { "chardev-disconnected", table.unpack(ERRORS) } then
    return
  end
  local _, name, trace = faults.disarm()
  error(("'%s' instead of '%s', and no report (%s)\n%s"):format(got, want, name,
    walks.trace_text(trace or {})))
end

-- A peer comes and goes while calls fail: it is there, or has been refused with a report;
-- the next one is there.
local function peer_steps(m, object, told, call)
  local peer
  local function leave()
    if peer then peer.close() end
    peer = nil
    assert(until_true(function() return not object.connected end), "the peer does not go")
    told.forget()
  end
  local function arrive()
    peer = call()
    assert(until_true(function() return object.connected end), "the next one is not there")
  end
  local function again()
    leave()
    arrive()
    talk(m, peer)
  end
  return {
    { name = "a peer comes", run = function()
      peer = call()
      for _ = 1, 3 do lunik.run "nowait" end
    end, undo = function()
      assert(until_true(function() return object.connected or told.any(ERRORS) end),
        "there is no report")
      again()
      leave()
    end, go_on = arrive },
    { name = "a peer types", run = function()
      peer.write "abc"
      for _ = 1, 3 do lunik.run "nowait" end
    end, undo = function()
      local got = ""
      until_true(function()
        got = got .. received(m)
        return got:find "abc$" or not object.connected or told.any(ERRORS)
      end)
      must_have(got, "abc", told)
      again()
    end },
    { name = "a peer reads", run = function()
      machines.send(m, COM2, "xyz")
      until_true(function() end, 0.005)
    end, undo = function()
      local got = ""
      until_true(function()
        got = got .. (peer.read() or "")
        return got:find "xyz$" or not object.connected or told.any(ERRORS)
      end)
      must_have(got, "xyz", told)
      again()
    end },
    { name = "a peer goes", run = function()
      peer.close()
      peer = nil
      for _ = 1, 3 do lunik.run "nowait" end
    end, undo = again, go_on = leave },
  }
end

describe("faults, peers:", function()
  after_each(machines.close_all)

  it("of a socket", function()
    local path = os.tmpname()
    os.remove(path)
    local m, object, told = with_chardev("chardev-socket", { path = path })
    walks.assert(steps.on(m, peer_steps(m, object, told, function() return dial(path) end)))
  end)

  it("of a terminal", function()
    if terminal.missing() then return pending(terminal.missing()) end
    local m, object, told = with_chardev("chardev-pty", {})
    walks.assert(steps.on(m, peer_steps(m, object, told, function()
      return open_terminal(object:get "path")
    end)))
  end)
end)

-- ---- guests ------------------------------------------------------------------------------------

accels("faults, accel %s:", function(reason) pending(reason) end, function(accel)
  after_each(machines.close_all)

  local function start(m)
    m:console():read()
    m:start()
    if accel == "kvm" then small.ready(m) end
  end

  -- A step in which the guest does something that makes events of those names.
  local function guest(m, told, how, names, undo)
    return { name = how[1], all = how.all, run = function()
      told.forget()
      if accel == "kvm" then
        m:console():write(how[2] .. "\n")
      else
        how[3](m)
      end
      assert(until_true(function() return told.any(names) end), "nothing has happened")
    end, undo = undo }
  end

  it("the guest resets the machine", function()
    local m = steps.running(accel, { cpus = 1 })
    local told = listen(m)
    local list = {}
    for _, how in ipairs { RESET_PORT, table.unpack(accel == "none" and OTHER_RESETS or {}) } do
      list[#list + 1] = guest(m, told, how, { "reset", "shutdown", "error" }, function()
        lunik.sleep(0)
        if m.state == "running" then
          if accel == "kvm" then small.ready(m) end
        else
          assert(told.error, how[1] .. " has failed without a report")
          assert(m.state == "shutdown", m.state)
          start(m)
        end
      end)
    end
    walks.assert(steps.on(m, list))
  end)

  it("the guest powers the machine off", function()
    local m = steps.running(accel)
    local told = listen(m)
    walks.assert(steps.on(m, { guest(m, told, POWER_OFF, { "shutdown", "error" }, function()
      lunik.sleep(0)
      assert(m.state == "shutdown", m.state)
      local err = machines.raised(m.wait, m, "acpi-ost", { timeout = small.TIMEOUT })
      assert(err.code ~= "timeout", "who waits is not told of the end")
      assert.equal(0, m:wait("shutdown").code)
      start(m)
    end) }))
  end)
end)
