-- The script of fuzz_qmp.c: gives an input to a QMP monitor as a client's bytes. Byte 0x01 stands
-- for a command of the table below, the next byte says which, so that commands are found soon.

local lunik = require "lunik"
local decode = require "lunik.json_decode"
local input = require "spec.fuzz.input"
local send = require "spec.fuzz.send"

local commands = {
  '{"execute":"query-qmp-schema"}', '{"execute":"qom-list-types"}',
  '{"execute":"device_add","arguments":{"driver":"', '"}}', '{"execute":"', '","arguments":{',
  '{"execute":"object-add","arguments":{"qom-type":"memory-backend-ram","id":"m0","size":',
  '{"execute":"device_add","arguments":{"driver":"pc-dimm","memdev":"m0","id":"d0"}}',
  '{"execute":"device_del","arguments":{"id":"d0"}}', '{"execute":"object-del","arguments":{"id":',
  '{"execute":"qom-get","arguments":{"path":"d0","property":"', '{"execute":"qom-list",',
  '{"execute":"qom-set","arguments":{"path":"rtc","property":"', '"value":', '"id":', "}}", '"m0"',
  '{"execute":"chardev-add","arguments":{"id":"c0","backend":{"type":"null"}}}',
  '{"execute":"chardev-remove","arguments":{"id":"c0"}}', '{"execute":"query-chardev"}',
  '{"execute":"cont"}', '{"execute":"stop"}', '{"execute":"system_reset"}', '{"execute":"quit"}',
  '{"execute":"query-memory-devices"}', '{"exec-oob":"query-status"}', '{"execute":"query-memdev"}',
  '{"execute":"ringbuf-write","arguments":{"device":"client","data":"', '","format":"base64"}}',
}

-- Commands that would reach files of the user who runs this.
local refused = { "memsave", "dump%-guest", "blockdev%-add", "memory%-backend%-file",
  "chardev%-file", "rng%-random", "netdev", "/dev",
  '"file"', '"socket"', '"stdio"', '"pty"', "\\u" }

local function text_of(bytes)
  local text = bytes:gsub("\1(.)", function(which)
    return commands[which:byte() % #commands + 1]
  end)
  for _, pattern in ipairs(refused) do
    if text:find(pattern) then return nil end
  end
  return text
end

local function check_lines(text)
  for line in text:gmatch "(.-)\r\n" do
    local message, why = decode(line)
    if not message then error(("no JSON: %s: %q"):format(why, line), 0) end
    if not (message.QMP or message["return"] ~= nil or message.error or message.event) then
      error(("no message: %q"):format(line), 0)
    end
  end
end

return function(bytes)
  input.start(bytes)
  local text = text_of(bytes)
  if not text then return end
  local m = lunik.machine { board = "pc", accel = "none", memory = "16M", maxmem = "1G", slots = 2,
    serial = "none", acpi = true }
  local client = m:object_add("chardev-buffer", { id = "client", size = "4M" })
  lunik.qmp { machine = m, chardev = client }
  send(client, '{"execute":"qmp_capabilities"}')
  send(client, text)
  send(client, '\xff\n{"execute":"query-name","id":"last"}')
  if m.state ~= "closed" then
    local out = m:console(client):text()
    if not out:find '"id": "last"' then error("the last command has no answer", 0) end
    check_lines(out)
    m:close()
  end
end
