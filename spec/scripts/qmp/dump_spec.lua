-- dump-guest-memory: an ELF core file of the guest's memory.
local uv = require "luv"
local lunik = require "lunik"
local dispatch = require "lunik.qmp.dispatch"

describe("dump-guest-memory", function()
  local m, path

  before_each(function()
    m = lunik.machine { board = "pc", accel = "none", memory = "16M", serial = "none" }
    path = os.tmpname()
  end)

  after_each(function()
    m:close()
    os.remove(path)
  end)

  local function contents()
    local file <close> = io.open(path, "rb")
    return file:read "a"
  end

  local function dump(args, monitor)
    args.paging = false
    return dispatch.call(m, "dump-guest-memory", args, monitor)
  end

  -- Returns the segments of a core file: {kind =, offset =, address =, size =}.
  local function segments(text)
    assert.equal("\x7fELF\2\1\1", text:sub(1, 7))
    local kind, machine = ("<I2I2"):unpack(text, 17)
    assert.same({ 4, 62 }, { kind, machine })
    local at, count = ("<i8"):unpack(text, 33), ("<I2"):unpack(text, 57)
    local list = {}
    for i = 1, count do
      local p_type, _, offset, _, address, size =
        ("<I4I4i8i8i8i8"):unpack(text, at + 56 * (i - 1) + 1)
      list[i] = { kind = p_type, offset = offset, address = address, size = size }
    end
    return list
  end

  local function byte_at(text, address)
    for _, s in ipairs(segments(text)) do
      if s.kind == 1 and address >= s.address and address < s.address + s.size then
        return text:byte(s.offset + address - s.address + 1)
      end
    end
  end

  it("writes all memory where the headers say", function()
    m:write(0x1234, "\x5a")
    m:write((16 << 20) - 1, "\xa5")
    dump { protocol = "file:" .. path }
    local text = contents()
    local list = segments(text)
    assert.equal(4, list[1].kind)
    assert.equal(#text, list[#list].offset + list[#list].size)
    assert.equal(0x5a, byte_at(text, 0x1234))
    assert.equal(0xa5, byte_at(text, (16 << 20) - 1))
    local result = m:qmp "query-dump"
    assert.equal("completed", result.status)
    assert.equal(result.total, result.completed)
    assert.is_true(result.total >= 15 << 20)
  end)

  it("has two notes for each vCPU, with its registers", function()
    local cpu = { index = 2 }
    function cpu.reg(_, name) return name == "rip" and 0x1234 or name == "rbx" and -2 or 1 end
    function cpu.msr() return 0x77 end
    local machine = { cpus = function() return { cpu } end }
    local text = require("lunik.qmp.core_file").head(machine, {})
    local at = segments(text)[1].offset + 1
    local name, size, kind = ("<I4I4I4"):unpack(text, at)
    assert.same({ 5, 336, 1, "CORE\0" }, { name, size, kind, text:sub(at + 12, at + 16) })
    assert.equal(3, (("<I4"):unpack(text, at + 20 + 32)))
    assert.equal(0x1234, (("<i8"):unpack(text, at + 20 + 112 + 16 * 8)))
    at = at + 20 + size
    name, size, kind = ("<I4I4I4"):unpack(text, at)
    assert.same({ 5, 440, 0, "QEMU\0" }, { name, size, kind, text:sub(at + 12, at + 16) })
    local version, own, rax, rbx = ("<I4I4i8i8"):unpack(text, at + 20)
    assert.same({ 1, 440, 1, -2 }, { version, own, rax, rbx })
    assert.equal(0x77, (("<i8"):unpack(text, at + 20 + size - 8)))
    assert.equal(#text, at + 20 + size - 1)
  end)

  it("writes a part", function()
    m:write(0x3000, "part")
    dump { protocol = "file:" .. path, begin = 0x3000, length = 4 }
    local text = contents()
    assert.equal("part", text:sub(-4))
    assert.equal(2, #segments(text))
  end)

  it("goes on behind the command's back, and says when it is done", function()
    local watch <close> = m:watch "dump-completed"
    dump { protocol = "file:" .. path, detach = true }
    assert.equal("active", m:qmp "query-dump".status)
    local ok = pcall(dump, { protocol = "file:" .. path })
    assert.is_false(ok)
    local ev = watch:wait { timeout = 20 }
    assert.equal("completed", ev.status)
    assert.equal(ev.total, ev.completed)
    assert.equal("completed", m:qmp "query-dump".status)
  end)

  it("has the guest stand still meanwhile", function()
    m:start()
    local watch <close> = m:watch { "paused", "resumed" }
    dump { protocol = "file:" .. path, begin = 0, length = 4096 }
    assert.equal("paused", watch:wait().name)
    assert.equal("resumed", watch:wait().name)
    assert.equal("running", m.state)
  end)

  it("waits for the reader of a pipe, without stopping the loop", function()
    m:write(0x2000, "piped")
    local pipe = uv.pipe({ nonblock = true }, {})
    local monitor = { fds = { dump = pipe.write } }
    local task = lunik.spawn(dump, { protocol = "fd:dump", begin = 0, length = 1 << 20 }, monitor)
    lunik.sleep(0.02)
    assert.equal("active", m:qmp "query-dump".status)
    local parts = {}
    for _ = 1, 20000 do
      local part = uv.fs_read(pipe.read, 65536)
      if part == "" then break end
      parts[#parts + 1] = part
      if not part then lunik.sleep(0.001) end
    end
    task:wait { timeout = 1 }
    uv.fs_close(pipe.read)
    local text = table.concat(parts)
    local list = segments(text)
    assert.equal(#text, list[#list].offset + list[#list].size)
    assert.equal(("p"):byte(), byte_at(text, 0x2000))
    assert.is_nil(monitor.fds.dump)
  end)

  it("fails if the reader goes", function()
    local pipe = uv.pipe({}, {})
    uv.fs_close(pipe.read)
    local watch <close> = m:watch "dump-completed"
    local ok, err = pcall(dump, { protocol = "fd:dump" }, { fds = { dump = pipe.write } })
    assert.is_false(ok)
    assert.truthy(err.message:find("broken pipe", 1, true), err.message)
    local ev = watch:wait()
    assert.equal("failed", ev.status)
    assert.truthy(ev.error:find("broken pipe", 1, true))
    assert.equal("failed", m:qmp "query-dump".status)
  end)

  it("names what is wrong with its arguments", function()
    for _, case in ipairs {
      { { protocol = path }, "'protocol' expects" },
      { { protocol = "fd:none" }, "'none' not found" },
      { { protocol = "file:/nosuch/folder/x" }, "/nosuch/folder/x" },
      { { protocol = "file:" .. path, begin = 0 }, "'length' is missing" },
      { { protocol = "file:" .. path, length = 1 }, "'begin' is missing" },
      { { protocol = "file:" .. path, begin = 0, length = 0 }, "0 bytes" },
      { { protocol = "file:" .. path, begin = math.maxinteger, length = 2 }, "unable to find" },
      { { protocol = "file:" .. path, begin = 1 << 40, length = 2 }, "no guest memory" },
      { { protocol = "file:" .. path, format = "kdump-zlib" }, "Only the format elf" },
    } do
      local ok, err = pcall(dump, case[1])
      assert.is_false(ok)
      assert.truthy(err.message:find(case[2], 1, true), err.message)
    end
    assert.is_false((pcall(m.qmp, m, "dump-guest-memory",
      { paging = true, protocol = "file:" .. path })))
    assert.equal("none", m:qmp "query-dump".status)
  end)
end)
