-- A server in the machine's own process: other programs plug and unplug through a Unix socket.
--
--     lunik run scripts/examples/luv-server.lua [SOCKET]
--
-- What you should see: what a client sends (>) and what the server answers (<). With SOCKET it
-- serves others, until Ctrl-C:    printf 'plug 64M\nmemory\n' | nc -UN SOCKET
-- Needs luv (Debian: lua-luv), but no KVM.
local lunik = require "lunik"
local testing = require "lunik.testing"
local uv = require "luv"

lunik.use_luv(uv) -- from now on luv's loop and the machines' run together

local t <close> = testing.machine {}
local path = arg[1] or os.tmpname() .. ".socket"

local commands = {
  plug = function(size) return t:plug({ size = size }).id end,
  unplug = function(id) return t:unplug(id).state end,
  memory = function() return ("%d MiB"):format(t.guest:total() >> 20) end,
}

-- Carries out one line; returns the answer. Bad commands are answered, they don't end the server.
local function answer(line)
  local name, argument = line:match "^(%S*) ?(%S*)"
  if not commands[name] then return ("error: no command '%s'"):format(name) end
  local ok, result = pcall(commands[name], argument)
  return ok and result or "error: " .. result.message
end

-- Serves a client until it closes its side. luv's functions must not wait, but commands do: so what
-- comes in is sent as an event, and a coroutine for each client waits for these.
local function serve(client, number)
  local input <close> = t.m:watch("input", { client = number })
  client:read_start(function(_, bytes)
    t.m:emit("input", { client = number, bytes = bytes or "" })
  end)
  local text = ""
  repeat
    local bytes = input:wait().bytes
    text = text .. bytes
    for line in text:gmatch "(.-)\n" do client:write(answer(line) .. "\n") end
    text = text:match "[^\n]*$"
  until bytes == ""
  client:close()
end

local server, clients = uv.new_pipe(false), 0
assert(server:bind(path))
server:listen(16, function()
  local client = uv.new_pipe(false)
  server:accept(client)
  clients = clients + 1
  lunik.spawn(serve, client, clients)
end)

-- Without SOCKET the script is also the client.
local function play_client()
  local client = uv.new_pipe(false)
  client:connect(path, function()
    client:read_start(function(_, bytes) t.m:emit("answer", { text = bytes or "" }) end)
  end)
  for _, line in ipairs { "memory", "plug 64M", "memory", "fly", "unplug dimm7", "unplug dimm1" } do
    client:write(line .. "\n")
    print("> " .. line)
    io.write("< ", t.m:wait("answer", { timeout = 10 }).text)
  end
  client:shutdown()
  t.m:wait("answer", { text = "", timeout = 10 }) -- the server closes its side
  client:close()
end

if arg[1] then
  print("serving at " .. path)
  t.m:wait "shutdown"
end
play_client()
server:close()
os.remove(path)
