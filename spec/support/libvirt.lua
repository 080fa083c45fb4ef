-- For specs: Debian's libvirt with lunik-qemu as its only emulator, in namespaces of its own.
--
-- The driver runs within virsh (qemu:///embed), so no daemon is needed, and another virsh is as a
-- daemon that has been restarted: the domains live on. A shell in a PID namespace runs virsh, and
-- reaps the emulators, since libvirt waits until the process of a domain has gone.
local command = require "spec.support.command"
local lunik = require "lunik"

local libvirt = {}

local Libvirt = {}
Libvirt.__index = Libvirt

local PROGRAMS = { "virsh", "unshare", "mount", "bash", "stdbuf" }
local USER = 64055 -- of Debian's libvirt-qemu

-- How a program runs in namespaces of its own.
local UNSHARE = "unshare --mount --pid --fork --kill-child --mount-proc"

-- Why it can't run here, or nil.
function libvirt.unavailable()
  for _, program in ipairs(PROGRAMS) do
    if not os.execute("command -v " .. program .. " >/dev/null") then
      return "no " .. program .. " (Debian: libvirt-clients, libvirt-daemon-driver-qemu)"
    end
  end
  if command.interpreter ~= "lua5.4" then return "a sanitizer reports what it finds to libvirt" end
  if not os.execute "ls /usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so >/dev/null 2>&1"
  then
    return "no driver for QEMU (Debian: libvirt-daemon-driver-qemu)"
  end
  if not command.root() then return "the user is not root" end
  return not os.execute(UNSHARE .. " true 2>/dev/null")
    and "no namespaces for mounts and processes" or nil
end

local CONFIGURATION = [[
user="root"
group="root"
security_driver="none"
stdio_handler="file"
cgroup_controllers=[]
namespaces=[]
remember_owner=0
]]

local INIT = [[
mount --bind @/passwd /etc/passwd
mount --bind @/group /etc/group
mount -t tmpfs tmpfs /run
export HOME=@/home LC_ALL=C
export LIBVIRT_LOG_FILTERS="1:qemu.qemu_monitor 1:util.command"
export LIBVIRT_LOG_OUTPUTS="1:file:@/log"
virsh=$(command -v virsh)
stdbuf=$(command -v stdbuf)
again=@/again # without it ends all when virsh does, as when the spec has been killed
touch $again
while rm $again; do
    PATH=@/bin $stdbuf -o0 $virsh -q -c 'qemu:///embed?root=@/root' <@/commands >>@/out 2>&1
    echo "virsh ended: $?" >>@/out
done
]]

-- Adds libvirt's user or group to a copy of the host's.
local function with_user(name, line)
  local text = command.read(name)
  return text:find "\nlibvirt%-qemu:" and text or text .. line .. "\n"
end

-- Starts the shell.
function libvirt.new()
  local folder = command.run "mktemp -d":gsub("\n", "")
  assert(os.execute(("mkdir -p %s/bin %s/home %s/root/etc"):gsub("%%s", folder)))
  assert(os.execute(("ln -s \"$(realpath -s %s/lunik-qemu)\" %s/bin/qemu-system-x86_64"):format(
    command.build, folder)))
  command.write(folder .. "/passwd",
    with_user("/etc/passwd", ("libvirt-qemu:x:%d:%d::/:/bin/false"):format(USER, USER)))
  command.write(folder .. "/group", with_user("/etc/group", ("libvirt-qemu:x:%d:"):format(USER)))
  command.write(folder .. "/root/etc/qemu.conf", CONFIGURATION)
  command.write(folder .. "/init", (INIT:gsub("@", folder)))
  command.write(folder .. "/out", "")
  assert(os.execute(("mkfifo %s/commands"):format(folder)))
  assert(os.execute((([[sh -c 'echo $$ >@/pid; exec %s bash @/init' >@/shell 2>&1 </dev/null &]])
    :gsub("@", folder):gsub("%%s", UNSHARE))))
  local self = setmetatable({ folder = folder, count = 0, read = 0 }, Libvirt)
  self:open()
  self:run "version"
  return self
end

-- Connects to a virsh that waits for commands.
function Libvirt:open()
  self.commands = assert(io.open(self.folder .. "/commands", "w"))
  self.commands:setvbuf "no"
end

-- Writes a file into the folder; returns its path.
function Libvirt:file(name, text)
  local path = self.folder .. "/" .. name
  command.write(path, text)
  return path
end

-- Has virsh run commands, separated by ";". Returns a function that waits until it has, and returns
-- the output and whether there was no error.
function Libvirt:start(commands)
  self.count = self.count + 1
  local mark = ("[done %d]"):format(self.count)
  for line in commands:gmatch "[^;]+" do self.commands:write(line, "\n") end
  self.commands:write("echo ", mark, "\n")
  return function()
    local deadline = lunik.now() + 60
    while true do
      local text = command.read(self.folder .. "/out")
      local from, to = text:find("\n" .. mark, self.read + 1, true)
      if from then
        local out = text:sub(self.read + 1, from)
        self.read = to
        return out, not out:find "%f[%w]error: "
      end
      assert(not text:find("virsh ended", self.read + 1, true), text:sub(self.read + 1))
      assert(lunik.now() < deadline, "virsh does not end: " .. commands)
      lunik.sleep(0.002)
    end
  end
end

-- Runs commands to their end; returns their output.
function Libvirt:run(commands)
  local out, ok = self:start(commands)()
  if not ok then error(("virsh %s: %s"):format(commands, out), 2) end
  return out
end

-- Ends virsh, and starts another one, which finds the domains.
function Libvirt:restart()
  self:run "list --all"
  self:file("again", "")
  self.commands:write "quit\n"
  self.commands:close()
  local text
  repeat
    text = command.read(self.folder .. "/out")
    lunik.sleep(0.002)
  until text:find("virsh ended", self.read + 1, true)
  self.read = #text
  self:open()
end

-- Known complaints about the box that the spec runs in.
local ABOUT_THE_HOST = { "No access manager registered", "/dev/kvm", "virConnectSetKeepAlive",
  "cgroup", "dmidecode", "dbus", "D%-Bus", "udev", "netcontrol", "dnsmasq", "nodedev", "resctrl",
  "cpu affinity is not supported", "HostCPU" }

-- Ignores what is in libvirt's log so far.
function Libvirt:forget_errors()
  self.seen = #command.read(self.folder .. "/log")
end

-- The errors in libvirt's log that are not about the host, and not expected: a pattern.
function Libvirt:errors(expected)
  local found = {}
  for line in command.read(self.folder .. "/log"):sub(self.seen + 1):gmatch "[^\n]+" do
    local message = line:match "^[^{]-: %d+: error : (.*)$"
    local about_host = expected and message and message:find(expected)
    for _, pattern in ipairs(ABOUT_THE_HOST) do
      about_host = about_host or message and message:find(pattern)
    end
    if message and not about_host then found[#found + 1] = message end
  end
  return found
end

function Libvirt:close()
  os.execute("kill -9 " .. command.read(self.folder .. "/pid"))
  self.commands:close()
  os.execute("rm -rf " .. self.folder)
end

return libvirt
