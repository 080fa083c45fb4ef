-- Coroutines made by lunik.spawn(): whose errors are reported, other code that resumes or closes
-- them, where a wait that failed was begun.
local lunik = require "lunik"
local machines = require "spec.support.machines"

after_each(machines.close_all)

local HERE = debug.getinfo(1, "S").short_src

local function current_line() return debug.getinfo(2, "l").currentline end

describe("a coroutine's error", function()
  local function failing(seconds)
    return lunik.spawn(function()
      if seconds then lunik.sleep(seconds) end
      error "broken"
    end)
  end

  local function said_of(fn) return machines.stderr(fn) end

  it("is raised, not reported, where it is waited for", function()
    assert.are.equal("", said_of(function()
      local task = failing()
      machines.raised(task.wait, task)
      task = failing(0.001)
      machines.raised(task.wait, task)
      lunik.sleep(0.001)
    end))
  end)

  it("is not reported where the tasks are waited for one after the other", function()
    assert.are.equal("", said_of(function()
      local slow, first, later = lunik.spawn(lunik.sleep, 0.02), failing(), failing(0.001)
      slow:wait()
      machines.raised(first.wait, first)
      machines.raised(later.wait, later)
    end))
  end)

  it("is reported in the loop's next turn where it is not waited for", function()
    local text = said_of(function()
      failing()
      lunik.run "nowait"
    end)
    assert.is_truthy(text:find("lunik: a coroutine: " .. HERE .. ":", 1, true), text)
    assert.is_truthy(text:find("broken", 1, true), text)
    assert.is_truthy(text:find("stack traceback", 1, true), text)
  end)

  it("is reported once, also where the task is waited for later", function()
    local task
    local text = said_of(function()
      task = failing()
      lunik.run "nowait"
      lunik.run "nowait"
    end)
    assert.is_truthy(text:find("broken", 1, true), text)
    assert.are.equal("", said_of(function() machines.raised(task.wait, task) end))
  end)

  it("is reported at the program's end", function()
    local command = require "spec.support.command"
    local script = 'require"lunik".spawn(error, "unseen") %s'
    for _, ending in ipairs { "", "os.exit(0)", "os.exit(0, true)", "error()" } do
      local _, err = command.run(("%s -e '%s'"):format(command.lunik, script:format(ending)))
      assert.is_truthy(err:find("lunik: a coroutine: unseen", 1, true), ending .. err)
    end
  end)

  it("is a stack overflow where so many are nested", function()
    local function nest(n)
      return n == 0 and 0 or lunik.spawn(nest, n - 1):wait()
    end
    assert.are.equal(0, nest(20))
    local err
    local text = said_of(function()
      err = machines.raised(nest, 300)
      lunik.sleep(0.001)
    end)
    assert.are.equal("C stack overflow", tostring(err))
    assert.are.equal("", text)
  end)
end)

describe("other code", function()
  local function sleeper()
    local thread
    local task = lunik.spawn(function()
      thread = coroutine.running()
      lunik.sleep(0.02)
      return 7
    end)
    return task, thread
  end

  it("that resumes a coroutine does not end its wait", function()
    local task, thread = sleeper()
    assert.is_false(task.done)
    assert.is_true(coroutine.resume(thread, "x"))
    assert.is_true(coroutine.resume(thread))
    assert.is_false(task.done)
    assert.are.equal(7, task:wait { timeout = 5 })
    assert.is_true(task.done)
  end)

  it("that closes a coroutine ends the wait for it", function()
    local task, thread = sleeper()
    lunik.defer(function() coroutine.close(thread) end)
    local err = machines.raised(task.wait, task, { timeout = 5 })
    assert.are.equal("state", err.code)
    assert.is_truthy(err.message:find("closed", 1, true), err.message)
    assert.is_true(task.done)
    assert.is_false(lunik.run())
  end)

  it("that closes a coroutine gets what that raises, and so does who waits", function()
    local thread
    local task = lunik.spawn(function()
      thread = coroutine.running()
      local _ <close> = setmetatable({}, { __close = function() error("at the end", 0) end })
      lunik.sleep(10)
    end)
    assert.are.same({ false, "at the end" }, { coroutine.close(thread) })
    task:cancel()
    assert.is_true(task.done)
    assert.is_false(task.ok)
  end)

  it("that takes a coroutine to its end leaves no wait behind", function()
    for _, raised in ipairs { false, true } do
      local thread
      local task = lunik.spawn(function()
        thread = coroutine.running()
        coroutine.yield()
        if raised then error("oh", 0) end
      end)
      assert.are.equal(not raised, coroutine.resume(thread))
      local err = machines.raised(task.wait, task, { timeout = 5 })
      assert.are.equal(raised and "oh" or "state", raised and err or err.code)
    end
  end)

  it("that resumes a coroutine may meet its own end of a wait", function()
    local m = machines.none()
    local thread
    local task = lunik.spawn(function()
      thread = coroutine.running()
      coroutine.yield()
      return m:wait("tick", { timeout = 5 }).name
    end)
    coroutine.resume(thread)
    m:emit "tick"
    assert.are.equal("tick", task:wait { timeout = 5 })
  end)
end)

describe("a wait that fails says in which line", function()
  local function fails(fn, code)
    local err = machines.raised(fn)
    assert.are.equal(code, err.code)
    return err
  end

  it("that stands, in the main chunk and in a coroutine", function()
    local m, guest = machines.pc()
    m:object_add("memory-backend-ram", { id = "mem1", size = "128M" })
    m:device_add("pc-dimm", { id = "dimm1", memdev = "mem1" })
    m:wait("acpi-ost", { timeout = 5 })
    guest:detach()
    local watch, slow = m:watch "tick", lunik.spawn(lunik.sleep, 10)
    local removal
    local line = current_line()
    local cases = {
      function() m:wait("tick", { timeout = 0.001 }) end,
      function() watch:wait { timeout = 0.001 } end,
      function() slow:wait { timeout = 0.001 } end,
      function() removal = removal or m:device_del "dimm1" removal:wait { timeout = 0 } end,
      function() m:console():expect("nothing", { timeout = 0.001 }) end,
    }
    for i, case in ipairs(cases) do
      local where = ("%s:%d"):format(HERE, line + 1 + i)
      assert.are.equal(where, fails(case, "timeout").where)
      local task = lunik.spawn(function() return fails(case, "timeout") end)
      assert.are.equal(where, task:wait { timeout = 5 }.where)
    end
    assert.are.equal("no end of the coroutine within 0.001 s", fails(cases[3], "timeout").message)
    slow:cancel()
  end)

  it("where the machine stops", function()
    local m = machines.none()
    m:start()
    lunik.defer(function() m:shutdown() end)
    local line = current_line() + 1
    local err = fails(function() m:wait("tick", { timeout = 5 }) end, "state")
    assert.are.equal(("%s:%d"):format(HERE, line), err.where)
  end)
end)
