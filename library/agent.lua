---@meta lunik
-- What lunik.agent() returns, for editors and readers. spec/library/library_spec.lua compares it with the
-- live library in both directions.
--
-- The agent is a program in a Linux guest: static, one process, no libraries; as /init of an initramfs or
-- of a disk, or started by hand ("agent -p PORT"). The kernel's command line says
--   agent=PORT        where it listens: "ttyS0" (the default), "ttyS1", "hvc0", or the name of a virtio
--                     port, which it waits for
--   agent_call=ud2    for a kernel that takes system calls by `ud2` (as that of `make guest-linux` does);
--                     without it the agent uses `syscall`
-- On a port that the kernel's log shares, answers that come mixed with the log are asked for again.
--
-- All methods wait, as m:wait() does: in a coroutine they yield, elsewhere they run the loop. The agent does
-- one thing at a time. Errors of the guest's kernel have the code that fits best, such as "not-found", and
-- the field errno, such as "ENOENT". {code="timeout"} says what was waited for; {code="gone"}: the guest
-- has started again before it answered; {code="device"}: the answer makes no sense. Options of methods that
-- may take long: {timeout = seconds}.

---The agent of a guest.
---@class lunik.Agent
local Agent = {}

---Waits until the agent answers.
---@param options? {timeout?: number}
---@return {version: integer, pid: integer, call: "syscall"|"ud2"}
function Agent:ready(options) end

---Has the agent run a command of its protocol (spec/guests/agent/call.h): arguments are strings, integers and
---booleans.
---@param command string
---@param arguments? table<string, string|integer|boolean>
---@param options? {timeout?: number}
---@return table<string, string> fields Those of the answer.
function Agent:call(command, arguments, options) end

---Takes what the agent has printed. For an agent that is reached by a function.
---```lua
---local echo = lunik.agent { send = function() end }
---echo:feed "@0 ok ready=1 *742e3631\n"
---assert(tostring(echo):find "elsewhere")
---```
---@param bytes string
function Agent:feed(bytes) end

---Opens a file or a block device.
---@param path string
---@param flags? ("read"|"write"|"rdwr"|"create"|"exclusive"|"trunc"|"direct"|"sync"|"append"|"nonblock")[] Default: read.
---@return lunik.AgentFile
function Agent:open(path, flags) end

---Returns the contents of a file, such as one of /proc or /sys; at most 4 MiB.
---@param path string
---@return string
function Agent:read(path) end

---Writes a file by one write().
---@param path string
---@param data string At most 8192 bytes.
---@param how? "existing"|"create"|"append" "create": makes the file, or replaces its contents. "append": makes it, or adds to it. Default: it has to exist.
function Agent:write(path, data, how) end

---Returns what a path is; nil if there is nothing. Does not follow a symbolic link.
---@param path string
---@return {kind: "file"|"dir"|"link"|"block"|"char"|"fifo"|"socket", mode: integer, size: integer, inode: integer, links: integer, blocks: integer, modified: integer, major: integer, minor: integer}?
function Agent:stat(path) end

---Returns the names in a folder, sorted; those of folders end with "/".
---@param path string
---@return string[]
function Agent:list(path) end

---Makes a folder.
---@param path string
function Agent:mkdir(path) end

---Removes a file or an empty folder.
---@param path string
function Agent:remove(path) end

---Renames a file.
---@param path string
---@param to string
function Agent:rename(path, to) end

---Makes a symbolic link at path that leads to `to`.
---@param path string
---@param to string
function Agent:symlink(path, to) end

---Returns where a symbolic link leads.
---@param path string
---@return string
function Agent:readlink(path) end

---Makes a device node.
---@param path string
---@param kind "block"|"char"
---@param major integer 0 to 4095.
---@param minor integer 0 to 1048575.
function Agent:mknod(path, kind, major, minor) end

---Mounts a file system.
---@param source string Such as "/dev/vdb".
---@param target string
---@param type string Such as "ext2".
---@param options? string What the file system takes, with commas; "ro" mounts it read-only.
function Agent:mount(source, target, type, options) end

---Unmounts a file system.
---@param target string
function Agent:umount(target) end

---Has the guest write everything that is not on its disks yet.
function Agent:sync() end

---Returns the SHA-256 of a file or block device, as the guest reads it, in hexadecimal digits, and how many
---bytes that were.
---@param path string
---@param offset? lunik.Address
---@param size? lunik.Size
---@return string sha256, integer size
function Agent:sha256(path, offset, size) end

---Returns what a network interface is, after changing it if `want` is given.
---@param name string Such as "eth0".
---@param want? {address?: string, up?: boolean, mtu?: integer, gateway?: string} address: "10.0.2.15/24"; gateway: of the default route.
---@return {up: boolean, running: boolean, address?: string, mask?: string, mac?: string, mtu?: integer, index?: integer}
function Agent:network(name, want) end

---Returns the names of the network interfaces, sorted.
---@return string[]
function Agent:networks() end

---Adds a route, or removes it.
---@param destination string "10.2.0.0/16"
---@param how {gateway?: string, name?: string, remove?: boolean} name: the interface.
function Agent:route(destination, how) end

---Connects by TCP.
---@param address string IPv4.
---@param port integer
---@param options? {timeout?: number} Default 10 seconds.
---@return lunik.AgentSocket
function Agent:tcp(address, port, options) end

---Listens on a TCP port.
---@param port? integer Default: one that is free.
---@return lunik.AgentSocket
function Agent:listen(port) end

---Makes a UDP socket on a port.
---@param port? integer Default: one that is free.
---@return lunik.AgentSocket
function Agent:udp(port) end

---Sends ICMP echo requests, each after the answer to the one before.
---@param address string IPv4.
---@param options? {count?: integer, timeout?: number} Defaults: 1, and 10 seconds for all of them.
---@return {sent: integer, received: integer}
function Agent:ping(address, options) end

---Returns the CPUs that are present: number -> whether it is online.
---@return table<integer, boolean>
function Agent:cpus() end

---Takes a CPU online or offline.
---@param n integer
---@param online boolean
function Agent:set_cpu(n, online) end

---Has a CPU compute. The sum depends on the rounds alone.
---@param cpu integer? nil: any.
---@param rounds integer
---@param options? {timeout?: number}
---@return {cpu: integer, sum: integer, seconds: number}
function Agent:work(cpu, rounds, options) end

---Returns how much memory the guest has, in bytes: total, free, available, and every line of /proc/meminfo in
---lower case.
---@return table<string, integer>
function Agent:memory() end

---Returns the memory blocks by number, and the size of each in bytes.
---@return table<integer, "online"|"offline"|"going-offline"> blocks, integer size
function Agent:memory_blocks() end

---Takes a memory block online or offline.
---@param n integer
---@param how boolean|string true, false, "online_movable", "online_kernel".
function Agent:set_memory_block(n, how) end

---Allocates memory in the guest, which takes pages once it is filled.
---@param size lunik.Size A multiple of 8.
---@return lunik.AgentMemory
function Agent:allocate(size) end

---Returns the records of the kernel's log since the last call, or since the guest's start, and how many of
---them were overwritten before they were read.
---@param options? {level?: integer, match?: string} level: only records as severe as that, 0 to 7; match: a Lua pattern.
---@return {level: integer, text: string}[] records, integer lost
function Agent:log(options) end

---Writes a line to the kernel's log.
---@param text string
function Agent:log_write(text) end

---Returns the input events that have come since the first call, such as type 1, code 116 for a pressed
---power button. Waits for one, for at most the timeout.
---@param options? {timeout?: number} Default 10 seconds.
---@return {device: integer, type: integer, code: integer, value: integer}[]
function Agent:input(options) end

---Has the kernel do what a SysRq key does. Refused unless the agent is the guest's first process.
---@param key string Such as "c", which crashes it.
function Agent:sysrq(key) end

---Makes the kernel panic.
function Agent:panic() end

---Restarts the guest.
function Agent:reboot() end

---Turns the guest off.
function Agent:poweroff() end

---An open file or block device of a guest. Closed at the end of the scope of a <close> variable.
---@class lunik.AgentFile
local AgentFile = {}

---Reads from an offset on. Fewer bytes than asked for are the end of the file.
---@param offset lunik.Address? nil: one read from where the file stands, as of a stream.
---@param size lunik.Size
---@return string
function AgentFile:pread(offset, size) end

---Writes all the data.
---@param offset lunik.Address? nil: where the file stands.
---@param data string
function AgentFile:pwrite(offset, data) end

---Waits until what was written is on the disk.
function AgentFile:fsync() end

---Returns the size in bytes; of a block device, also the sizes of its logical and physical blocks.
---@return integer size, integer? logical, integer? physical
function AgentFile:size() end

---Discards a range of a block device; makes a hole in a file.
---@param offset lunik.Address
---@param size lunik.Size
function AgentFile:discard(offset, size) end

---Makes a range read as zeroes.
---@param offset lunik.Address
---@param size lunik.Size
function AgentFile:zero(offset, size) end

---Allocates a range of a file.
---@param offset lunik.Address
---@param size lunik.Size
function AgentFile:allocate(offset, size) end

---Sets the size of a file.
---@param size lunik.Size
function AgentFile:truncate(size) end

---Returns the SHA-256 of a range, in hexadecimal digits, and how many bytes that were.
---@param offset? lunik.Address Default 0.
---@param size? lunik.Size Default: to the end.
---@param options? {timeout?: number}
---@return string sha256, integer size
function AgentFile:sha256(offset, size, options) end

---Fills a range with a pattern that a seed makes: 64-bit words, by their place in the file.
---@param offset lunik.Address A multiple of 8.
---@param size lunik.Size A multiple of 8.
---@param seed integer
---@param options? {timeout?: number}
function AgentFile:fill(offset, size, seed, options) end

---Compares a range with the pattern of a seed. Returns true; or false and where the first 8 bytes are that
---differ.
---@param offset lunik.Address A multiple of 8.
---@param size lunik.Size A multiple of 8.
---@param seed integer
---@param options? {timeout?: number}
---@return boolean same, integer? offset
function AgentFile:verify(offset, size, seed, options) end

---Calls ioctl() with a number, or with data that the kernel may change.
---@param request integer
---@param value? integer|string Data: at most 4096 bytes.
---@return integer result, string? data
function AgentFile:ioctl(request, value) end

---Closes the file; does nothing the second time.
function AgentFile:close() end

---A TCP or UDP socket of a guest; IPv4. Has the fields address and port: of a listening or UDP socket its own,
---of an accepted one the other side's.
---@class lunik.AgentSocket
---@field address? string
---@field port? integer
local AgentSocket = {}

---Waits for a connection to a listening socket.
---@param options? {timeout?: number} Default 10 seconds.
---@return lunik.AgentSocket
function AgentSocket:accept(options) end

---Sends all the data.
---@param data string For UDP: at most 8192 bytes.
---@param options? {timeout?: number, address?: string, port?: integer} address and port: for UDP.
function AgentSocket:send(data, options) end

---Waits for data; "": the other side has closed.
---@param size? lunik.Size At most so many bytes; default and most 8192.
---@param options? {timeout?: number} Default 10 seconds.
---@return string data, string? address, integer? port
function AgentSocket:receive(size, options) end

---Says that nothing more will be sent.
function AgentSocket:shutdown() end

---Closes the socket; does nothing the second time.
function AgentSocket:close() end

---Memory that the agent holds in its guest. Given back at the end of the scope of a <close> variable.
---@class lunik.AgentMemory
---@field size integer
local AgentMemory = {}

---Fills the memory with a pattern that a seed makes.
---@param seed integer
---@param options? {timeout?: number}
function AgentMemory:fill(seed, options) end

---Compares the memory with the pattern of a seed. Returns true; or false and where the first 8 bytes are that
---differ.
---@param seed integer
---@param options? {timeout?: number}
---@return boolean same, integer? offset
function AgentMemory:verify(seed, options) end

---Returns the SHA-256 of the memory, in hexadecimal digits.
---@param options? {timeout?: number}
---@return string
function AgentMemory:sha256(options) end

---Gives the memory back to the guest; does nothing the second time.
function AgentMemory:free() end
