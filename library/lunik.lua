---@meta lunik
-- The Lua API of Lunik, for editors and readers. spec/library/library_spec.lua compares it with the live
-- library in both directions.
--
-- Conventions. Sizes, addresses and ports are integers or strings like "512M" and "0x1000", in
-- arguments, options and properties. Names of properties may be written with '_' for '-'.
-- 64-bit values are Lua integers: those above 2^63-1 look negative (print them with %x). Failures raise error objects: tables with code ("invalid", "not-found",
-- "exists", "busy", "no-space", "no-memory", "state", "unsupported", "denied", "io", "timeout",
-- "gone", "access", "device", "script"), message and where ("file:line"); tostring() returns
-- "where: message". A call that fails leaves the machine as it was.
--
-- Waiting. Calls that wait (m:wait, watch:wait, console:expect, task:wait, unplug:wait, lunik.sleep)
-- yield in a coroutine made by lunik.spawn; elsewhere they run the loop; in a handler they raise an
-- error. m:wait also finds an event that came before it: since this coroutine last acted on the
-- machine (start, reset, pause, resume, shutdown, powerdown, device_add, device_del, console:write)
-- or, if it has not, since it first waited for the console. So a wait can't miss an event caused by
-- a call, even if other waits come in between. Each event is found once; the last 1,000 events of a
-- run are kept. Use m:watch in other cases.
--
-- Interrupts. A signal (Ctrl-C, SIGTERM) to the lunik command ends the script, or at the prompt the
-- typed chunk, also while it waits. In a handler (or a coroutine run by one), on any thread, that
-- does not return within a tenth of a second the error "interrupted!" is raised; if it catches that,
-- it gets another tenth of a second. A second signal before that ends the process at once.
--
-- Handles. The same object is always the same userdata. A handle may outlive its object: using it
-- then raises {code = "gone"}. Collecting a handle does not unplug, delete or stop anything.

---@class lunik
---@field version string The library's version.
---@field SIZE_MAX integer As a region's size: all 2^64 bytes.
local lunik = {}

---A size: bytes, or a string such as "512M", "4G", "0x1000".
---@alias lunik.Size integer|string

---An address, an offset or a port: an integer, or a string such as "4G", "0x100000000".
---@alias lunik.Address integer|string

---A short description of a character device: "stdio", "pty", "buffer" (kept in memory, see
---m:console), "null", "none" (no device), "file:PATH", "unix:PATH" (a listening socket), a function
---that gets the bytes, {type, properties}, or the id of an existing one. With "stdio", Ctrl-C ends the
---command; with {"chardev-stdio", {signal = false}} the guest gets Ctrl-C, and Ctrl-] ends the
---command. At the prompt, which reads standard input itself, "stdio" is refused unless the script has
---set lunik.share_terminal = true.
---@alias lunik.Chardev string|table|function|lunik.Object

---An error that a call raises; tostring() gives "where: message".
---@class lunik.Error
---@field code string What kind of failure: see "Conventions".
---@field message string What failed, for which value, and what was expected.
---@field where? string The line of the script that made the call.

---What lunik.machine() makes. A board may have further options.
---@class lunik.MachineOptions
---@field board? string|lunik.Board A board's name ("pc", "micro"), a file's path, or a board. Default "pc".
---@field accel? "kvm"|"none" "none": no vCPUs, everything else as with KVM. Default "kvm".
---@field name? string For messages and lists. Default: the board's.
---@field cpus? integer Number of vCPUs at the start. Default 1.
---@field maxcpus? integer How many there can be, by plugging: cpus to 255. Default cpus. It is sockets x dies x cores x threads.
---@field sockets? integer Default: one; with several NUMA nodes one for each, if the vCPUs divide evenly.
---@field dies? integer Per socket. Default 1.
---@field cores? integer Per die.
---@field threads? integer Per core.
---@field memory? lunik.Size RAM. Default "128M".
---@field maxmem? lunik.Size The size to which memory may grow by plugging, which also needs slots. Refused if it is beyond the guest's addresses (m.address_bits).
---@field slots? integer How many memory devices can be plugged, 0 to 256. Default 0; more need maxmem.
---@field memdev? string The backend (of objects) that is the machine's RAM.
---@field kernel? string ELF with PVH note, multiboot 1 image or bzImage to boot.
---@field initrd? string The kernel's initial RAM disk, a file.
---@field cmdline? string The kernel's command line.
---@field modules? string[] Multiboot modules: "path arguments".
---@field firmware? string A flat firmware image that ends at 4 GiB.
---@field serial? lunik.Chardev What the serial port is connected to. Default "none".
---@field objects? table[] {type, properties} of objects made before the board.
---@field devices? table[] {driver, properties} of devices made after the board.
---@field numa? lunik.NumaNode[] The guest's NUMA nodes.
---@field cpu? table CPUID features: "+name", "-name", name = value (family, model, stepping, ...).
---@field clock? "manual" Only m:advance() moves the machine's clock.
---@field sandbox? boolean|lunik.SandboxPolicy The sandbox that the process enters before the machine starts, as by lunik.sandbox(); true: as {}. false: does not enter the lunik command's default sandbox. A process has one sandbox: only the first start enters it.
---@field dirty_ring? integer Makes KVM report dirty pages in rings with that number of entries, one for each vCPU. A power of two; default: no rings.
---@field irqchip? "kernel"|"split" Where the interrupt controllers and the interval timer are with KVM: all in KVM, or only the local APICs, and the 8259As, the I/O APIC and the 8254 are devices of the machine (isa-i8259, ioapic, isa-pit), as with QEMU's kernel-irqchip. Without KVM the boards have these devices in any case. Default "kernel".
---@field drain_timeout? number Seconds that a device has to finish what is in flight before a pause, reset, close or removal. Default 10.
---@field dirty_log? "auto"|"bitmap"|"manual" How KVM reports dirty pages without rings: pages are write-protected again when they are synced ("bitmap") or cleared ("manual"). Default: "manual" if KVM has it.

---A board builds a machine. It is a Lua file that returns this table (scripts/boards/micro.lua is a
---short example to copy), or the table itself. A name without "/" and ".lua" is one of lunik.boards(),
---any other the path of a file. The lunik command runs such a file as a machine whose serial port is
---on the terminal: lunik -o memory=1G -o kernel=vmlinux scripts/boards/pc.lua. There, tables are
---written as in Lua, booleans as true, on, yes, false, off or no; functions can't be given.
---@class lunik.Board
---@field name? string Also the default name of the machine.
---@field description? string One line about the board.
---@field options? table<string, any> Further options of lunik.machine(): name = default, which also sets the kind ("64M" is a size); or name = {kind=, default=, choices=, doc=}; kinds are "size", "address", "integer", "count", "string", "boolean", "function", "table", "seconds", "any".
---@field build fun(m: lunik.Machine, opt: table) Builds the machine. opt: the checked options: sizes in bytes, defaults filled in, serial the chardev's id or nil. If it raises an error, lunik.machine() closes the machine and raises that.
---@field finish? fun(m: lunik.Machine, opt: table) Called after the devices in the options have been added: loads the kernel, assembles the tables.

---Functions for boards: require "lunik.board".
---@class lunik.BoardModule
---@field KiB integer
---@field MiB integer
---@field GiB integer
---@field memory fun(m: lunik.Machine, opt: table): lunik.Bank[], integer Checks memory, memdev, numa, maxmem and slots; makes the backends that opt does not name. Returns the banks in the guest's order, and their total size.
---@field map_ram fun(m: lunik.Machine, banks: lunik.Bank[], name: string, offset: lunik.Address, base: lunik.Address, size: lunik.Size) Maps size bytes of the banks, from offset on, at guest address base; size 0: does nothing.
---@field report_ram fun(m: lunik.Machine, banks: lunik.Bank[], offset: lunik.Address, base: lunik.Address, size: lunik.Size) Reports the same range to the guest as RAM, as m:fwmap_add() does.
---@field check_slots fun(opt: table, memory: integer) Checks maxmem and slots; memory() does so too.
---@field align_up fun(value: integer, to: integer): integer The next multiple of `to`.
---@field show fun(size: integer): string "512M"

---A part of the machine's RAM: a backend, and the guest's NUMA node that it belongs to.
---@class lunik.Bank
---@field memdev lunik.Object The backend.
---@field size integer Bytes.
---@field node integer The guest's node, from 0.

---A NUMA node of the guest: its vCPUs, its memory, and how far the others are.
---@class lunik.NumaNode
---@field cpus? integer[] The vCPUs of the node, from 0. vCPUs without a node are in node 0.
---@field memory? lunik.Size The node's memory.
---@field memdev? string The backend that is the node's memory.
---@field distances? integer[] To every node: 10 to itself, 11 to 254 to others, 255: unreachable. Default: the distance that the other node gives to this one; 20 if it gives none.

---Makes a machine: its objects, then what its board builds, then its devices. Boards may have
---further options. An unknown option is an error.
---```lua
---local small <close> = lunik.machine { board = "micro", accel = "none", memory = "16M" }
---small:write(0x1000, "hello")
---assert(small:read(0x1000, 5) == "hello")
---```
---@param options lunik.MachineOptions
---@return lunik.Machine
function lunik.machine(options) end

---Permissions of a sandboxed process in addition to running its machines.
---@class lunik.SandboxPolicy
---@field allow? string[] Of "files" (open, make, change and remove any file, load libraries), "listen" (make Unix domain sockets that others connect to), "sockets" (connect to those of others as well), "network" (Internet sockets), "exec" (start programs, which are in the sandbox as well; needs "files"). Default: none.
---@field read? string[] Instead of "files": files and directories that may be read, with all below them. The library adds its own scripts and boards. Needs Landlock (Linux 5.13).
---@field write? string[] The same for reading, writing, making and removing.
---@field default? boolean Adds what the lunik command allows by default: "listen", and the paths that SECURITY.md lists. Needs Landlock; not with "files".
---@field user? string|integer The user to change to, by name or number. /dev/kvm is kept open; the user has to be able to read the library's files.
---@field group? string|integer Default: the user's own.

---Enters a sandbox, which restricts the process for good to what it needs to run machines:
---no_new_privs, only the capabilities that the policy needs, a seccomp filter. To be called before a
---machine is started and before the process has other threads (luv's workers, for example). A call
---that is not allowed fails with code "denied" or, in io and os, as these do, and its message says
---what to allow; calls that only an attacker makes (ptrace, mount, bpf, ...) end the process. Handlers
---that run on a vCPU's thread can never start programs or make sockets: use lunik.defer() to do so on
---the loop. Entering takes 0.3 ms; a guest's exit takes 0.07 us longer, 0.1 us if "sockets", "network"
---or "exec" is allowed.
---
---Permissions that later calls need: "ram" and "memfd" backends, their preallocation, timers, further
---machines: none. A "file" backend: none, if its fd was opened or received before; else "files", or its
---directory in write. chardev-file, a logfile: "files", or its directory in write. chardev-pty: "files", or
---"/dev/ptmx" and "/dev/pts" in write, which has other programs' terminals as well. chardev-socket:
---"listen", or "sockets" to connect, and the socket's directory in write. os.execute, io.popen:
---"exec" and "files"; waiting for programs that run already needs nothing. luv, LuaSocket: "network".
---
---The lunik command enters a sandbox when the first machine starts: with default = true, and with the
---groups that the modules loaded by then need: "network", "exec" and all "files" for luv and posix,
---"network" for socket. With "files" root keeps the capabilities to reach other users' files, and
---those for priorities and limits. To have another policy, use the command's --no-sandbox or
--- `--sandbox=LIST`, or call lunik.sandbox{...} or lunik.sandbox(false) before the start.
---Without Landlock in the kernel all files are allowed. If the host has no seccomp, the process has
---other threads or a sanitizer, the machine starts without a sandbox; option W (warnings) reports
---why. Programs that load the library themselves are in no sandbox unless they ask for one.
---
---Without arguments: returns what is allowed, or nil if the process is in no sandbox.
---@param policy? lunik.SandboxPolicy|boolean
---@return {allow: string[], paths: boolean}?
function lunik.sandbox(policy) end

---Returns the machines that are not closed, oldest first.
---@return lunik.Machine[]
function lunik.machines() end

---Returns the names of the boards that come with the library.
---@return string[]
function lunik.boards() end

---A device type that is written in Lua.
---@class lunik.DeviceDefinition
---@field name string The type's name, for m:device_add().
---@field doc? string What help shows of it.
---@field properties? table<string, any> name = default, or name = {kind=, default=, doc=, min=, max=, choices=, required=, live=, link=}; kinds are size, uint, int, bool, enum, string, link, list. The default's kind is used if none is given: an integer is a uint, or an int if it is negative. Values of size and uint may be strings such as "4K". live: may be set later.
---@field ports? lunik.DeviceRegion|lunik.DeviceRegion[] I/O ports up to 0xffff, mapped as long as the device exists.
---@field mmio? lunik.DeviceRegion|lunik.DeviceRegion[] The same in memory.
---@field realize? fun(dev: lunik.Dev) The device is being made; raising an error refuses it. Everything that it maps shows after it has returned, in one transaction.
---@field unrealize? fun(dev: lunik.Dev) The device is being removed. If its machine is closed only its table is left.
---@field reset? fun(dev: lunik.Dev) Power-on state.
---@field run_state? fun(dev: lunik.Dev, running: boolean) vCPUs are about to run, or have stopped.
---@field drain? fun(dev: lunik.Dev, done: fun()) Start no new work, and call done when nothing is in flight any more: at once, or later from a timer, an event handler or a coroutine. See Machine:drain. Later calls of done do nothing. A device also counts as finished when its drain function raises an error, which is reported, or no longer refers to done.
---@field undrain? fun(dev: lunik.Dev) Start new work again, first the requests that have come meanwhile.
---@field unplug? fun(dev: lunik.Dev) m:device_del(): answer with dev:eject() or dev:refuse(). Without it the device is removed at once.
---@field hotplug? boolean May be added to a started machine. Default true.
---@field pci? lunik.DevicePci Makes it a PCI device, with the properties bus, addr ("auto": the first slot that is free) and acpi-index. It comes and goes as PCI hotplug has it; unplug is not for it.
---@field state? table<string, table> What is saved of it: name = {} (64 bits), { bytes = N } or { timer = fun(dev) }; see dev.state. Without it a device can't be saved.
---@field loaded? fun(dev: lunik.Dev) A saved state has been loaded into dev.state.

---The PCI side of a device. Numbers that are not given are 0, but for those below.
---@class lunik.DevicePci
---@field vendor integer 0 to 0xffff.
---@field device integer 0 to 0xffff.
---@field class? integer Base class, subclass and programming interface, 24 bits. Default 0xff0000.
---@field revision? integer 0 to 255.
---@field subsystem_vendor? integer
---@field subsystem? integer
---@field pin? integer The interrupt pin, 1 to 4 for INTA# to INTD#, 0: none. Default 1.
---@field bars? lunik.DeviceBar[]
---@field rom? table The expansion ROM: {data = string}, or {size=, read = fun(dev, offset, size)}; size is a power of two from 2K.
---@field msi? integer|table How many vectors of MSI, 1, 2, 4 ... 32; or {vectors=, masks = true}.
---@field msix? integer|table How many vectors of MSI-X, 1 to 2048; or {vectors=, bar=, table=, pba=}: where their table and pending bits are. By default in a BAR of their own.
---@field capabilities? table[] Others: {id=, data = string}, the bytes behind the two of the list, read-only.
---@field function_reset? boolean The guest can reset the function alone. Default true.

---A base address register and its registers or memory.
---@class lunik.DeviceBar
---@field index integer 0 to 5; one with 64 bits takes the next as well.
---@field kind? "io"|"mem32"|"mem64"|"mem32-prefetch"|"mem64-prefetch" Default mem32.
---@field size? lunik.Size|fun(dev: lunik.Dev): lunik.Size A power of two, or the name of a property.
---@field memdev? string The name of a link property: the BAR is the RAM of that backend.
---@field name? string
---@field read? fun(dev: lunik.Dev, offset: integer, size: integer): integer?, string? As a region's: see lunik.RegionOptions.
---@field write? fun(dev: lunik.Dev, offset: integer, size: integer, value: integer): boolean?, string?
---@field peek? fun(dev: lunik.Dev, offset: integer, size: integer): integer?, string?
---@field valid? lunik.AccessRules
---@field impl? lunik.AccessRules
---@field endian? "little"|"big"

---A device's ports or registers. The device is refused if another region is there already, unless
---priority or overlap is given as for Region:add.
---@class lunik.DeviceRegion
---@field base lunik.Address|fun(dev: lunik.Dev): lunik.Address An address, or the name of a property.
---@field size lunik.Size|fun(dev: lunik.Dev): lunik.Size Or the name of a property.
---@field name? string
---@field read? fun(dev: lunik.Dev, offset: integer, size: integer): integer?, string? As a region's: see lunik.RegionOptions.
---@field write? fun(dev: lunik.Dev, offset: integer, size: integer, value: integer): boolean?, string?
---@field peek? fun(dev: lunik.Dev, offset: integer, size: integer): integer?, string?
---@field valid? lunik.AccessRules
---@field impl? lunik.AccessRules
---@field endian? "little"|"big"
---@field priority? integer Where regions overlap, the one with the higher priority shows. Default 0, as for the builtin devices.
---@field overlap? boolean May overlap a region of the same priority.

---Defines a device type. Defining a name again replaces the type for devices made from then on;
---existing devices keep theirs. The library's own types can't be replaced. A type's functions run
---under the machine lock, on the thread of the vCPU whose access they handle.
---```lua
---lunik.device {
---  name = "counter", properties = { base = { kind = "uint", default = 0x510 }, step = 1 },
---  ports = {
---    base = "base", size = 1,
---    read = function(dev)
---      dev.count = dev.count + dev.props.step
---      return dev.count
---    end,
---  },
---  realize = function(dev) dev.count = 0 end,
---}
---m:device_add("counter", { id = "slow" })
---m:device_add("counter", { id = "fast", base = 0x520, step = 10 })
---assert(m:inb(0x510) == 1 and m:inb(0x520) == 10 and m:inb(0x520) == 20)
---```
---@param definition lunik.DeviceDefinition
---@return string name
function lunik.device(definition) end

---Runs fn(...) in a coroutine that may wait. It starts at once, up to its first wait.
---```lua
---local task = lunik.spawn(function()
---  return m:wait("hello", { timeout = 5 }).from
---end)
---m:emit("hello", { from = "a script" })
---assert(task:wait() == "a script")
---```
---@param fn function
---@return lunik.Task
function lunik.spawn(fn, ...) end

---Waits for a number of seconds.
---@param seconds number
function lunik.sleep(seconds) end

---Calls fn soon, from the loop: for actions that a handler must not take, such as closing its machine.
---@param fn function
function lunik.defer(fn) end

---Runs the loop: until lunik.stop() or no machine runs or sleeps and no timer is set ("default"), until
---something has happened ("once"), or without waiting ("nowait"). Returns whether more may happen.
---@param mode? "default"|"once"|"nowait"
---@return boolean more
function lunik.run(mode) end

---Makes lunik.run() return; a wait that runs the loop fails.
function lunik.stop() end

---Closes every machine and ends the process. Only in the lunik command.
---@param code? integer
function lunik.exit(code) end

---Returns the seconds of real time since the library was loaded.
---@return number
function lunik.now() end

---Calls fn(access) for every rejected access of every machine, also of those made later. See
---Machine:on_rejected.
---@param fn fun(access: lunik.Rejection)
---@return lunik.Subscription
function lunik.on_rejected(fn) end

---Writes a line for every rejected access of every machine, also of those made later, but at most
---limit (default 20) lines a second; further ones are only counted. write: default standard error. The
---command's option "-d rejected" does this.
---@param options? {limit?: integer, write?: fun(line: string)}
---@return lunik.Subscription
function lunik.log_rejected(options) end

---Calls fn for that event ("*": any) of every machine, also of those made later.
---@param event lunik.EventName
---@param fn fun(ev: lunik.Event)
---@return lunik.Subscription
function lunik.on(event, fn) end

---Sets the function that is called for errors without a caller to be raised to: of a handler on a
---machine without "error" handlers; of a coroutine that no task:wait() has waited for by the loop's
---next turn, or a second later during waits for other coroutines. nil: prints them to standard error,
---waiting for a reader for a second at most. A message has no zero bytes ("\\0" instead), and names
---the type of a value that has no text.
---@param fn? fun(message: string, traceback: string?, source: string, machine: lunik.Machine?)
function lunik.on_error(fn) end

---Returns the names of all types.
---@return string[]
function lunik.types() end

---A type of objects or devices, as lunik.type() describes it.
---@class lunik.Type
---@field name string
---@field parent? string
---@field doc string
---@field abstract boolean Only a parent for others.
---@field device boolean For device_add; else for object_add.
---@field hotplug boolean May be added to a started machine.
---@field unplug boolean May be removed from one.
---@field props lunik.Property[] Inherited ones first.

---A property of a type.
---@class lunik.Property
---@field name string
---@field kind "size"|"uint"|"int"|"bool"|"enum"|"string"|"link"|"list"
---@field doc string
---@field default? any
---@field min? integer
---@field max? integer
---@field choices? string[]
---@field link? string What type or interface the object must have.
---@field required boolean
---@field readonly boolean
---@field live boolean May be set after creation.

---Describes a type.
---@param name string
---@return lunik.Type
function lunik.type(name) end

---What lunik.report() writes, and about what.
---@class lunik.ReportOptions
---@field file string The page's file (HTML), opened by the call.
---@field title? string Default: the script's name.
---@field script? string Default: that of the command.
---@field arguments? string[] Default: those of the command.
---@field events? integer How many events are kept, the oldest and the newest; default 10000.
---@field flights? integer Default 1000.
---@field steps? integer Of all flights; default 30000.
---@field machines? integer Default 100.
---@field console? lunik.Size Of the output of all consoles; default "1M".

---Returns the agent of a Linux guest, through which a script has the guest do things: read and write files and
---block devices, use the network, online CPUs and memory, and so on. The agent is a program that runs as
---the guest's /init and listens on the port that the word agent=PORT on the kernel's
---command line names. See library/agent.lua.
---```lua
---local a = lunik.agent(m) -- the guest's serial port
---local ok, err = pcall(a.ready, a, { timeout = 0.01 }) -- no guest runs in this machine
---assert(not ok and err.code == "timeout")
---```
---@param m lunik.Machine|{send: fun(bytes: string), timeout?: number} A machine; or, for an agent that is reached by other means, a table with a function that sends bytes to it; what it prints is given to agent:feed().
---@param options? {chardev?: string|lunik.Object|lunik.Console, timeout?: number} chardev: the chardev-buffer that the agent's port is connected to. Default: the object "agent" if there is one, else that of the serial port. timeout: seconds that the agent has for an answer, default 60.
---@return lunik.Agent
function lunik.agent(m, options) end

---Follows the run from now on, and writes a page about it at its end: result, errors, a timeline of
---flights and events, consoles, memory maps before and after, machines with their devices. The page
---needs no other file and no network. It is written by finish(), at the end of a <close> variable's
---scope, or when the process ends, also by an error or a signal. Its record is limited; the page
---says what it has not kept. Options `--report` of lunik run and lunik test make one.
---```lua
---local path = os.tmpname()
---local report = lunik.report { file = path, title = "one machine" }
---local small = lunik.machine { board = "micro", accel = "none", memory = "16M" }
---report:note "made"
---small:close()
---report:finish()
---assert(io.open(path):read "a":find("<title>one machine</title>", 1, true))
---os.remove(path)
---```
---@param options lunik.ReportOptions
---@return lunik.Report
function lunik.report(options) end

---What lunik.qmp() makes.
---@class lunik.QmpOptions
---@field machine lunik.Machine
---@field path? lunik.Chardev What the clients connect to: "unix:PATH", a listening socket that only the user can open; or {"chardev-socket", {fd = N}} for one that the program has inherited.
---@field chardev? string|lunik.Object Instead of path: an existing character device, which stays when the monitor is closed.
---@field on_quit? fun() Called for the command quit, which otherwise ends the machine's run, or closes a machine that has not been started.

---Serves QMP, QEMU's control protocol: programs that drive QEMU drive the machine. A socket serves a
---client at a time, the next waits; a machine may have several monitors. What a client may do is what
---a script may do (SECURITY.md). Commands run one after the other; the events that one causes are sent
---before its answer. See docs/howto/qmp.md.
---```lua
---local path = os.tmpname()
---os.remove(path)
---local monitor <close> = lunik.qmp { machine = m, path = "unix:" .. path }
---local user = lunik.machine { board = "micro", accel = "none", memory = "1M" }
---user:object_add("chardev-socket", { id = "c", path = path, server = false })
---local client, text = user:stream "c", ""
---client:on_data(function(bytes) text = text .. bytes end)
---client:write '{"execute": "qmp_capabilities"} {"execute": "query-name", "id": 1}'
---while not text:find '"id": 1' do lunik.run "nowait" end
---assert(text:find('{"return": {"name":"pc"}, "id": 1}', 1, true))
---user:close()
---```
---@param options lunik.QmpOptions
---@return lunik.Monitor
function lunik.qmp(options) end

---Lets other terminals have prompts of this process, by `lunik attach PATH`, and show its machines, by
---`lunik top PATH`: listens at a Unix socket that only this user can open (mode 0600), and replaces the
---file of a server that is gone. A client may do all that a script of this process may. Lines run
---in coroutines, one after another for each client; print and io.write in them, and in functions that
---they define, go to that client. A client that goes interrupts its line that still waits. The loop goes
---on while a client is attached, but not for the socket alone.
---```lua
---local path = os.tmpname() .. ".sock"
---local prompt <close> = lunik.prompt { path = path }
---assert(prompt.path == path and prompt.clients == 0)
---assert(not pcall(lunik.prompt, { path = path })) -- it is in use
---```
---@param options {path: string} A path, or "unix:PATH".
---@return lunik.PromptServer
function lunik.prompt(options) end

---A prompt for other terminals. A to-be-closed variable closes it.
---@class lunik.PromptServer
---@field path string
---@field clients integer How many are attached.
local PromptServer = {}

---Ends it: removes the socket and closes the clients' connections.
function PromptServer:close() end

---A QMP server on a character device.
---@class lunik.Monitor
---@field machine lunik.Machine
---@field negotiated boolean A client is there and has negotiated.
local Monitor = {}

---Sends the client an event of the script's own.
---@param name string
---@param data? table
---@param time? integer CLOCK_MONOTONIC in ns; default: now.
function Monitor:event(name, data, time) end

---Ends the monitor, and disconnects its client if lunik.qmp() was given a path. Also called for a
---<close> variable.
function Monitor:close() end

---Disassembles machine code of x86, in AT&T syntax. Bytes that are no instruction are ".byte" each.
---Raises {code="unsupported"} if Lunik was built without capstone, or its library is not installed.
---```lua
---local ok, code = pcall(lunik.disassemble, "\x90\xc3", 0x1000, 64)
---assert(not ok and code.code == "unsupported" or code[2].address == 0x1001 and code[2].text:find "ret")
---```
---@param bytes string
---@param address? integer Of the first byte; 0.
---@param mode? 16|32|64 Bits of the code segment; 64.
---@return {address: integer, bytes: string, text: string}[]
function lunik.disassemble(bytes, address, mode) end

---A gdb server on a character device, made by m:gdb().
---@class lunik.Gdb
---@field machine lunik.Machine
---@field connected boolean A client is there, and has not detached.
local Gdb = {}

---Ends the server; a client is disconnected, as if it had detached. Also called for a <close> variable.
function Gdb:close() end

---Returns a size as a number of bytes.
---@param size lunik.Size
---@return integer
function lunik.size(size) end

---Returns the one of the names that a misspelt name most likely means.
---@param name string
---@param names string[]
---@return string?
function lunik.suggest(name, names) end

---Returns an error object, for error().
---@param code string
---@param message string
---@return lunik.Error
function lunik.error(code, message) end

---Makes luv's loop drive Lunik's, so that uv.run() serves both and waits serve luv. To be called once,
---before either loop runs. Without it lunik.run(), waits and the end of a script do not run luv's
---timers and sockets.
---@param uv? table The luv module; without it, it is required.
function lunik.use_luv(uv) end

-- ---- machines ----------------------------------------------------------------------------------

---A machine. Its methods that act on it raise {code = "gone"} once it is closed.
---@class lunik.Machine
---@field name string
---@field state "created"|"running"|"suspended"|"paused"|"shutdown"|"crashed"|"closed" Suspended: the guest sleeps (ACPI S3).
---@field accel "kvm"|"none"
---@field irqchip "kernel"|"split" The option that it was made with.
---@field address_bits integer Bits of a physical address that the guest's processors have: with KVM the host's, else 52.
---@field exit_code integer The exit code of the run; 0 before its end.
---@field memory lunik.Space The guest's physical memory.
---@field io lunik.Space The guest's I/O ports.
---@field stats {memslots: integer, max_memslots: integer, holds: integer} KVM's memslots, 0 without KVM. holds: commits that kept the vCPUs out of the guest for a moment, because they replaced a memslot at addresses that stayed mapped, or one that was logged.
local Machine = {}

---Starts a created machine (after a reset), resumes a paused one (a guest that was suspended sleeps on), restarts a stopped one (not from a
---vCPU's handler: use lunik.defer there). If devices have something in flight from the last run, it
---waits for them as a reset does. Raises {code="state"} in an on_reset function, inside a
---transaction and in a listener's functions.
---@return lunik.Machine self
function Machine:start() end

---Pauses a running or suspended machine. Returns when no vCPU is in the guest any more, devices have finished what was in
---flight, and all clocks stand still: the machine's, which drives the PM timer, m:timer() and, unless
---it follows the host's, the RTC; and KVM's, which are kvmclock, the PIT, the local APICs' timers and
---the TSCs (these from Linux 5.16 on). The clocks also stand still after a shutdown or crash. The
---guest's kvmclock shows that it was stopped. From a vCPU's handler: pauses soon after that has
---returned.
---
---It waits for devices that have something in flight (see Machine:drain). If one has not finished
---within the machine's drain_timeout, it raises {code="timeout"} and the machine keeps running. A
---handler can't wait: there it returns at once, and the machine pauses when the devices have finished:
---event "paused", or "error" with source "pause".
function Machine:pause() end

---Makes all devices finish what is in flight and start no new work until the drain is closed: for
---actions that need idle devices. vCPUs keep running; what they request from a device waits. It waits
---as m:pause() does, and raises {code="timeout"} if a device has not finished within the machine's
---drain_timeout; the devices then work again. Devices are also drained before the machine is paused,
---reset, shut down or closed, and a device before it is removed. It can't be called from a handler.
---```lua
---local drain = m:drain()
---assert(tostring(drain):find "held") -- nothing is in flight here
---drain:close()
---```
---@return lunik.Drain
function Machine:drain() end

---Keeps the devices of a machine idle until it is closed.
---@class lunik.Drain
---@field machine lunik.Machine
local Drain = {}

---Lets the devices go on, unless there are other drains or the machine is paused. Does nothing the
---second time; also called for a <close> variable.
function Drain:close() end

---Resumes a paused machine. One whose guest sleeps is "suspended" again.
function Machine:resume() end

---Wakes a machine whose guest has suspended itself to memory (ACPI S3), as a key press would: devices
---and vCPUs are reset, memory stays as it is, event "wakeup", and the machine runs. It waits for devices
---as m:reset() does. Firmware then goes on at the waking vector of the guest's FACS; a machine without
---firmware enters that itself. Raises {code="state"} if the machine is not suspended, or if its kernel
---was booted directly and has set no waking vector: then the guest sleeps on.
---
---While it is suspended the machine's clock and its devices go on: the guest is also woken by the
---real-time clock's alarm and by m:powerdown(). m:reset() starts its system anew.
---```lua
---m:start()
---m:outw(0x604, 1 << 10 | 1 << 13) -- what the guest does: SLP_TYP 1, SLP_EN
---assert(m.state == "suspended")
---m:wakeup()
---assert(m.state == "running" and m:inw(0x600) & 1 << 15 ~= 0) -- WAK_STS
---```
function Machine:wakeup() end

---Restores the state after power-on; a suspended machine runs then. From a vCPU's handler: once that has returned. A reset does not
---change memory, the machine check banks of the vCPUs, and lines that are held high, which the
---interrupt controllers see again.
---
---It waits for devices as m:pause() does, but continues without those that have not finished within
---the machine's drain_timeout, with an event "error" of source "reset" for each.
---
---The old system can't answer any more: a requested removal is completed (the device is ejected, its
---handle's state is "ejected"), and plugged memory that it has not accepted yet is there for the next
---system from the start, without an insert event. QEMU keeps both pending for the next system.
function Machine:reset() end

---Ends the run: event "shutdown" with reason "host-quit".
---@param code? integer The exit code, 0 to 255.
function Machine:shutdown(code) end

---Presses the power button. It wakes a suspended machine.
function Machine:powerdown() end

---Stops the machine and frees everything. Devices finish what is in flight first, as for a reset
---(source "close"); a handler can't wait for that, so the machine closes soon after it has returned.
---The guest's output is written first: functions are called for the last time, files are complete. For
---a slow reader of a pipe ("file:FIFO", "stdio") it waits up to a second without progress and five in
---all; other machines run meanwhile. Only for standard output, and if there is no other machine, it
---waits until the reader or a signal ends the wait. Sockets and terminals get what they take at once.
---The event "chardev-error" reports lost output. os.exit(), and in the command SIGINT and SIGTERM,
---close all machines before they end the process. Also called for a <close> variable. It can't be
---called from a handler of one of the machine's devices or vCPUs, nor from a finalizer: use lunik.defer
---there.
function Machine:close() end

---Calls fn(event) for every event of that name ("*": all), in order of subscription, on the loop;
---"vcpu-exit" on the vCPU's thread. An error that fn raises is reported as event "error".
---@param event lunik.EventName|string
---@param fn fun(event: lunik.Event)
---@return lunik.Subscription
function Machine:on(event, fn) end

---Calls fn(event) for the first such event only.
---@param event lunik.EventName|string
---@param fn fun(event: lunik.Event)
---@return lunik.Subscription
function Machine:once(event, fn) end

---Waits for one of the events with the given fields; timeout is in seconds. Raises {code="timeout"},
---and {code="state"} if the machine stops for good meanwhile. Finds "shutdown" and "crashed" even if
---they came before, other events if they came since this coroutine acted on the machine (see "Waiting"
---above) and m:wait has not returned them to it yet.
---```lua
---m:start()
---lunik.spawn(function() m:shutdown(3) end)
---assert(m:wait("shutdown", { timeout = 5 }).reason == "host-quit" and m.exit_code == 3)
---```
---@param events string|string[]
---@param filter? table {field = value, timeout = seconds}
---@return lunik.Event
function Machine:wait(events, filter) end

---Collects matching events from now on, so that none is missed. With a filter, an event that does not
---have the values costs nothing. Handlers (m:on) are called first.
---```lua
---local watch <close> = m:watch("tick")
---for i = 1, 3 do m:emit("tick", { number = i }) end
---assert(watch:wait().number == 1 and watch:wait().number == 2)
---```
---@param events string|string[]
---@param filter? table
---@return lunik.Watch
function Machine:watch(events, filter) end

---Sends an event of the script's own. Fields are integers, strings and booleans; not tables, nor
---numbers with a fraction (send a string instead).
---@param event string
---@param fields? table
function Machine:emit(event, fields) end

---Calls fn(gsi, level) whenever an interrupt line changes, on the thread that changed it.
---@param fn fun(gsi: integer, level: boolean)
---@return lunik.Subscription
function Machine:on_irq(fn) end

---Calls fn() at the end of every reset, before vCPUs run. A wake-up is none: memory stays.
---@param fn fun()
---@return lunik.Subscription
function Machine:on_reset(fn) end

---Calls fn(access) for every access of a vCPU, a device or a script that is rejected: no region is
---there, or the region does not accept it, or a device refuses it. fn runs where the access is made,
---for a vCPU on its thread before the access ends, so that nothing queues up; tostring(access) is a
---line of text. Rejected accesses made by fn itself are only counted (stats of spaces and regions). Of
---an access that is cut (at borders, or to sizes that a device accepts) each rejected part is
---reported.
---```lua
---local seen
---m:on_rejected(function(access) seen = access end)
---assert(m:inb(0x999) == 0xff) -- as on the bus
---assert(seen.why == "unassigned" and seen.address == 0x999)
---```
---@param fn fun(access: lunik.Rejection)
---@return lunik.Subscription
function Machine:on_rejected(fn) end

---Makes an object that is not a device: a memory backend, a character device, an iothread. An "iothread"
---is a thread with an event loop for devices that are written in C and link to it; thread_id is its
---number, as in /proc/self/task. It can't be made by a handler on a vCPU's thread.
---```lua
---local io = m:object_add("iothread", { id = "io0" })
---assert(io.thread_id > 0)
---m:object_del(io)
---```
---A "blockdev-lua" is a disk whose contents functions provide: read(offset, size), which returns that
---many bytes, write(offset, bytes), not needed with readonly, and optionally flush() and
---discard(offset, size). They are called on the loop, for at most 256 KiB at once; what they raise is
---an error of the disk for the guest.
---```lua
---local disk = m:object_add("blockdev-lua", { id = "disk0", size = "1M", readonly = true,
---  read = function(_, size) return ("x"):rep(size) end })
---m:device_add("virtio-blk-pci", { bus = "i440fx", drive = "disk0" })
---assert(disk.size == 1 << 20)
---```
---@param type string
---@param properties table id is mandatory.
---@return lunik.Object
function Machine:object_add(type, properties) end

---Deletes an object that is not in use.
---@param object string|lunik.Object
function Machine:object_del(object) end

---Makes and plugs a device. A PCI device that is given no bus sits on the board's.
---```lua
---m:object_add("memory-backend-memfd", { id = "mem1", size = "128M", share = true })
---local dimm = m:device_add("pc-dimm", { id = "dimm1", memdev = "mem1" })
---assert(dimm.slot == 0 and dimm.addr == 0x100000000)
---local card = m:device_add("edu", { id = "card" })
---assert(card.bus == "i440fx" and card.addr == "2.0") -- the first slot that is free
---```
---@param driver string
---@param properties? table
---@return lunik.Object
function Machine:device_add(driver, properties) end

---Requests the removal of a device: removes it at once if no guest has to agree, else when the guest
---ejects it.
---```lua
---local guest = require("lunik.guest").attach(m) -- a guest that ejects it
---m:start()
---m:object_add("memory-backend-ram", { id = "mem1", size = "128M" })
---m:device_add("pc-dimm", { id = "dimm1", memdev = "mem1" })
---assert(m:wait("acpi-ost", { device = "dimm1", timeout = 5 }).status == 0)
---assert(m:device_del("dimm1"):wait { timeout = 5 } == "ejected")
---m:object_del("mem1")
---guest:detach()
---```
---
---A reset completes a removal that is pending (see m:reset()).
---@param device string|lunik.Object
---@return lunik.Unplug
function Machine:device_del(device) end

---Returns the object or device with that id or path, or nil.
---@param id string
---@return lunik.Object?
function Machine:object(id) end

---Lists all objects and devices in order of creation.
---@return lunik.Object[]
function Machine:objects() end

---Makes a character device; returns nil for "none". Its output is buffered, but written before the
---handlers of the machine's next event are called: when "shutdown" or "crashed" is handled, a function
---or a file has got everything printed before.
---@param spec lunik.Chardev
---@param id? string Default "chardev".
---@return lunik.Object?
function Machine:chardev(spec, id) end

---Returns the console of the serial port (serial = "buffer" or a function), or of a chardev-buffer.
---@param chardev? string|lunik.Object
---@return lunik.Console
function Machine:console(chardev) end

---What m:gdb() takes.
---@class lunik.GdbOptions
---@field listen? string "unix:PATH", a socket that only the user can open, or "127.0.0.1:PORT", which all users of the host can connect to (port 0: a free one).
---@field chardev? string|lunik.Object Instead of listen: an existing character device, which stays.
---@field architecture? "amd64"|"i386"|"i8086" The registers that gdb is told of; default "amd64", as the 64-bit QEMU has it.

---Serves gdb (`target remote`): registers, memory, breakpoints, watchpoints, steps; vCPUs are threads,
---and `monitor` passes a line to m:hmp(). The machine is paused while a client has it stopped, and goes
---on when the client has gone. What a client may do is what a script may do (SECURITY.md). See
---docs/howto/gdb.md.
---```lua
---local path = os.tmpname()
---os.remove(path)
---local server <close> = m:gdb { listen = "unix:" .. path }
---assert(not server.connected)
---local ok, err = pcall(m.gdb, m, { listen = "0.0.0.0:1234" })
---assert(not ok and err.code == "invalid")
---```
---@param options lunik.GdbOptions
---@return lunik.Gdb
function Machine:gdb(options) end

---Carries out a command of QMP, QEMU's control protocol, as a client of lunik.qmp() has it, and returns
---what that is answered: objects and lists are tables, null is left out. Raises what the client gets as
---an error, with its class in the field class.
---`query-qmp-schema` describes all commands.
---```lua
---m:qmp("object-add", { ["qom-type"] = "memory-backend-ram", id = "mem1", size = 128 << 20 })
---m:qmp("device_add", { driver = "pc-dimm", id = "dimm1", memdev = "mem1" })
---assert(m:qmp("query-memory-devices")[1].data.memdev == "/objects/mem1")
---local ok, err = pcall(m.qmp, m, "device_del", { id = "nosuch" })
---assert(not ok and err.class == "DeviceNotFound" and err.message == "Device 'nosuch' not found")
---```
---@param command string
---@param arguments? table<string, any>
---@return any
function Machine:qmp(command, arguments) end

---Returns the script's end of a character device, in place of a device of the guest: a stream of bytes
---to whatever is at its other side. A device has one front end at a time. Over a chardev-socket
---descriptors come with the bytes.
---```lua
---local port = m:object_add("chardev-buffer", { id = "port" })
---local stream <close> = m:stream "port"
---stream:on_data(function(bytes) stream:write(bytes:upper()) end)
---m:console(port):write "hello"
---m:console(port):expect("HELLO", { timeout = 5 })
---assert(m:console(port):text() == "HELLO")
---```
---@param chardev string|lunik.Object
---@return lunik.Stream
function Machine:stream(chardev) end

---Returns the script's end of a netdev-lua, through which it exchanges frames with the card that has
---it as its netdev. The machine keeps it.
---
---    local m = lunik.machine { board = "pc", accel = "none", memory = "64M" }
---    m:object_add("netdev-lua", { id = "net0" })
---    m:device_add("virtio-net-pci", { id = "nic0", netdev = "net0", bus = "i440fx", addr = "4" })
---    local peer = m:netdev "net0"
---    peer:on_frame(function(frame) print(#frame) end)
---    assert(peer:send(("\xff"):rep(6) .. ("\0"):rep(54)), "the queue is full")
---    m:close()
---@param id string|lunik.Object
---@return lunik.Netdev
function Machine:netdev(id) end

---Plugs the cable of a network card in, or out: without it the guest sees no carrier, and frames are
---dropped. The same as the card's property link.
---@param id string|lunik.Object
---@param up boolean
function Machine:set_link(id, up) end

---What m:region() makes.
---@class lunik.RegionOptions
---@field kind "container"|"ram"|"rom"|"rom-device"|"io"|"alias"|"reserved"
---@field name? string
---@field size? lunik.Size RAM and ROM: the backend's by default.
---@field memdev? string|lunik.Object ram, rom, rom-device: the backend.
---@field ram_offset? lunik.Address Offset in the backend at which the region starts.
---@field fd? integer Instead of memdev: a file to map size bytes of; the descriptor is duplicated.
---@field fd_offset? lunik.Address Offset in that file at which the RAM starts.
---@field share? boolean fd: whether writes reach the file; default true.
---@field host? lightuserdata Instead of memdev: an existing mapping of size bytes. It must stay until the machine is closed.
---@field target? lunik.Region alias: the region of which it shows a window.
---@field offset? lunik.Address alias: offset in the target at which the window starts.
---@field readonly? boolean alias: show RAM as ROM.
---@field nonvolatile? boolean
---@field owner? string|lunik.Object The region is disabled before this object is removed.
---@field read? fun(offset: integer, size: integer): integer?, string? Returning nil, or nil and "device": the device refuses; nil and "access": nothing is at that offset. The access then reads all ones. Without a function reads are rejected.
---@field write? fun(offset: integer, size: integer, value: integer): boolean?, string? Returning false refuses, with "device" or "access" as for read. Without a function writes are rejected.
---@field peek? fun(offset: integer, size: integer): integer?, string? Like read, without side effects: returns the other bytes for writes smaller than impl.min. Default: read; without that, zeros.
---@field valid? lunik.AccessRules Accesses that the guest may make; others are rejected.
---@field impl? lunik.AccessRules Accesses that the functions accept; others are split or widened to these.
---@field endian? "little"|"big"

---The sizes of accesses, and whether they may be unaligned.
---@class lunik.AccessRules
---@field min? 1|2|4|8 Bytes.
---@field max? 1|2|4|8
---@field unaligned? boolean

---Makes a memory region; it shows once it is added to a container of an address space.
---```lua
---local id = m:region {
---  kind = "io", name = "id", size = 4, read = function(offset) return 0xa0 + offset end,
---  impl = { max = 1 }, -- wider reads call it for each byte
---}
---m.memory.root:add(id, "3G")
---assert(m.memory:get("u32", "3G") == 0xa3a2a1a0)
---```
---@param options lunik.RegionOptions
---@return lunik.Region
function Machine:region(options) end

---Calls fn(...). Its changes take effect together when it returns: one pass of listeners, one
---interrupt for all devices. If it raises an error, or a listener refuses, all is undone: changes of
---the memory map, values of properties, and objects made by object_add and device_add, newest first.
---Deletions, requests to the guest, m:pause() and m:reset() are carried out at the end. Returns fn's
---results. fn can't wait.
---```lua
---local before = m:mtree()
---local ok = pcall(m.transaction, m, function()
---  m:object_add("memory-backend-ram", { id = "mem1", size = "128M" })
---  m:device_add("pc-dimm", { id = "dimm1", memdev = "mem1" })
---  error "no, not today"
---end)
---assert(not ok and m:mtree() == before and not m:object("mem1"))
---```
---@param fn function
function Machine:transaction(fn, ...) end

---Records what the machine does, as flights: each plug, unplug, reset and boot from the call in the
---script to the guest's answer, in steps: the handler's and the device's functions, changes of the
---memory map with the listeners' times, GPE and interrupt, the guest's accesses, _OST, the handlers
---that reacted. Ends with rec:stop(), with a <close> variable or with the machine; what is recorded
---can be read after that. A machine that is not recorded pays nothing for it.
---```lua
---local rec <close> = m:record { flights = 20 }
---m:object_add("memory-backend-ram", { id = "mem7", size = "128M" })
---m:device_add("pc-dimm", { id = "dimm7", memdev = "mem7" })
---local plug = rec:flight("dimm7", "plug")
---assert(plug.kind == "plug" and plug.steps[1].kind == "device_add")
---assert(plug.where:find ":%d+$" and tostring(plug):find "dimm7 has slot %d")
---
---local ok, err = pcall(m.device_add, m, "pc-dimm", { id = "dimm8", memdev = "mem7" })
---assert(not ok and rec:last().outcome == "failed" and rec:last().why == err.message)
---```
---@param options? lunik.RecordOptions
---@return lunik.Recorder
function Machine:record(options) end

---How much m:record() keeps.
---@class lunik.RecordOptions
---@field flights? integer How many flights are kept, 1 to 1000000; default 100. The oldest that has ended is forgotten first.
---@field steps? integer How many steps are kept in all, 1 to 2^24; default 10000. Each takes about 0.6K in C until it is looked at.
---@field accesses? "hotplug"|"all" all: the guest's accesses to every device that is called with the machine lock, as steps of what they lead to; default "hotplug": those to registers of hotplug and power management.

---Draws the memory map: what each address space shows, by kind, with holes, memory slots, ioeventfds
---and coalesced ranges. format: "svg", or "text" (default) for the terminal. With a file, whose name
---ends in .svg or .txt, it is drawn there, in the form that the name says, and nothing is returned.
---```lua
---assert(m:memory_map():find "pc.ram")
---local ok, err = pcall(m.memory_map, m, { file = "map.png" })
---assert(not ok and err.message:find "want a name that ends in .svg or .txt")
---```
---@param options? {format?: "text"|"svg", file?: string}
---@return string? drawing Nil with a file.
function Machine:memory_map(options) end

---Samples quantities in the background, until stop() or the machine's end: "dirty rate" (MiB written
---per second; not while dirty_rate measures), "exits", "io", "mmio" (exits of all vCPUs per second),
---"dimms" (MiB in DIMMs), "rss" (MiB of the process); or one's own: a function of the machine that
---returns a number, with rate = true one whose growth per second is meant. every: seconds, default 1.
---Of 4096 samples each pair becomes one, and the time between samples is doubled.
---```lua
---local samples <close> = m:sample { "dimms", { name = "reads", value = function() return 7 end },
---  every = 0.01 }
---m:object_add("memory-backend-ram", { id = "mem1", size = "128M" })
---m:device_add("pc-dimm", { id = "dimm1", memdev = "mem1" })
---lunik.sleep(0.1)
---samples:stop()
---local dimms = samples.series[1]
---assert(dimms[1][2] == 0 and dimms[#dimms][2] == 128)
---assert(samples:plot():find "dimms, MiB")
---```
---@param options table Quantities, and every?.
---@return lunik.Samples
function Machine:sample(options) end

---Samples quantities (see m:sample) for some time, by default 10 seconds, and draws them; waits. Other
---options are those of lunik.plot.
---```lua
---assert(m:plot({ "exits", seconds = 0.1, every = 0.02 }):find "exits, 1/s")
---```
---@param options table Quantities; seconds?, every? (default: a 60th of seconds), and options of lunik.plot.
---@return string? drawing Nil with a file.
function Machine:plot(options) end

---Most hooks are functions of a section. Errors that they raise are reported (event "error"); only
---commit and log_global_start can refuse, by raising or returning an error. Hooks can't change the
---memory map or open a transaction; m:pause() and m:reset() take effect after they have returned.
---@class lunik.ListenOptions
---@field name? string
---@field priority? integer Additions are reported in ascending order of listeners, removals in descending order.
---@field space? lunik.Space Follows only this one; default: all.
---@field begin? fun(cause: lunik.Cause?) Called first in a change; cause: what opened the transaction.
---@field region_add? fun(section: lunik.Section)
---@field region_del? fun(section: lunik.Section)
---@field region_nop? fun(section: lunik.Section) A section that stays as it is, next to changes.
---@field commit? fun(cause: lunik.Cause?): any Called last in a change. A refusal undoes the change: all hooks run again for the reverse.
---@field log_start? fun(section: lunik.Section, old: integer, now: integer) Clients as in log_mask.
---@field log_stop? fun(section: lunik.Section, old: integer, now: integer)
---@field log_sync? fun(section: lunik.Section)
---@field log_sync_global? fun()
---@field log_clear? fun(section: lunik.Section)
---@field log_global_start? fun(): any
---@field log_global_stop? fun()
---@field log_global_after_sync? fun()
---@field eventfd_add? fun(section: lunik.Section, data: integer?, fd: integer) data: nil if any value matches.
---@field eventfd_del? fun(section: lunik.Section, data: integer?, fd: integer)
---@field coalesced_add? fun(section: lunik.Section, address: integer, size: integer)
---@field coalesced_del? fun(section: lunik.Section, address: integer, size: integer)

---Follows the memory map. The hooks of a new listener are first called for everything in the map, as
---if it were just added. A change is reported between begin and commit, before it takes effect: first
---removals, to listeners in descending priority, then additions, in ascending priority, both by
---ascending address.
---```lua
---local mapped = {}
---m:listen {
---  space = m.memory,
---  region_add = function(s) mapped[s.address] = s.name end,
---  region_del = function(s) mapped[s.address] = nil end,
---}
---assert(mapped[0] == "pc.ram")
---local window = m.memory.root:add(m:region { kind = "reserved", name = "window", size = "1M" }, "2G")
---assert(mapped[2 << 30] == "window")
---window.enabled = false
---assert(mapped[2 << 30] == nil)
---```
---@param options lunik.ListenOptions
---@return lunik.Listener
function Machine:listen(options) end

---Returns the memory map as text, in the format of QEMU's "info mtree": the tree of regions below each
---address space, or what the spaces show. With KVM it includes the interrupt controllers and the timer
---that KVM emulates ("kvm-ioapic", ...; of a split irqchip only "kvm-apic-msi"), which hide other
---regions at their addresses.
---@param options? {flat?: boolean, owner?: boolean, disabled?: boolean} flat: what the spaces show; "KVM" marks what has a memslot. disabled: also disabled regions.
---@return string
function Machine:mtree(options) end

---A function on a PCI bus. tostring() gives the line that lspci shows.
---@class lunik.PciFunction
---@field object lunik.Object Its device.
---@field bus string The path of the object whose bus it is on: a host bridge or a bridge.
---@field bus_number integer What the guest has numbered that bus; 0 for a host bridge's, and where it has not yet.
---@field address string "00:01.3": bus, slot and function.
---@field slot integer
---@field fn integer
---@field vendor integer
---@field device integer
---@field class integer Base class, subclass and programming interface, 24 bits.
---@field revision integer
---@field header integer 0, or 1 for a bridge.
---@field command integer
---@field status integer
---@field pin integer 1 to 4, or 0 for none.
---@field line integer What the guest has written as its interrupt line.
---@field bars {index: integer, kind: "io"|"memory32"|"memory64", address: integer, prefetch?: boolean}[] Those that it has.
---@field capabilities {id: integer, offset: integer}[]
---@field config string The 256 bytes of its configuration space, as the guest reads them.

local PciFunction = {}

---Returns the bytes of the configuration space as `lspci -xxx` shows them.
---@return string
function PciFunction:dump() end

---@class lunik.PciFunctions: lunik.PciFunction[]
local PciFunctions = {}

---Returns a longer text: with regions and capabilities, or all bytes.
---@param options? {bytes?: boolean}
---@return string
function PciFunctions:text(options) end

---Runs a command of QEMU's monitor, such as "info mtree -f", "device_add pc-dimm,id=d1,memdev=m1" or
---"xp /16xb 0x1000", and returns what it prints, each line with its end; "help" lists the commands.
---What fails is printed as "Error: ...". Names of types, buses and paths may be QEMU's.
---```lua
---assert(m:hmp "help quit" == "quit|q  -- quit the emulator\n")
---m:hmp "o /b 0x70 0x2f"
---assert(m:hmp "i /b 0x70":find "portb%[0x0070%] = 0x")
---```
---@param line string
---@return string
function Machine:hmp(line) end

---Lists the functions on the PCI buses, in the order of their addresses, as lspci does: tostring() of
---the list has a line for each, list:text() also regions and capabilities, list:text { bytes = true }
---all bytes, as `lspci -xxx`; f:dump() does that for one. Nothing that the guest sees changes.
---```lua
---local list = m:pci()
---assert(list[1].address == "00:00.0" and list[1].vendor == 0x8086)
---assert(tostring(list):find("00:01.0 ISA bridge: 8086:7000", 1, true))
---assert(list[1]:dump():find("00: 86 80 37 12", 1, true))
---```
---@return lunik.PciFunctions
function Machine:pci() end

---Makes a handle for dirty pages of all memory, of a region, or of an object (a backend, or a DIMM).
---```lua
---local dirty <close> = m:dirty():start()
---m:write(0x5000, "x")
---assert(dirty:sync() == 1)
---for block, offset in dirty:pages() do assert(block == "pc.ram" and offset == 0x5000) end
---assert(dirty:clear() == 1 and dirty:sync() == 0)
---```
---@param options? {client?: "migration"|"display"|"user"|"rate", region?: lunik.Region, object?: lunik.Object|string} client: default "user"; "rate" is what dirty_rate uses.
---@return lunik.Dirty
function Machine:dirty(options) end

---Measures for some time (default 1 second) how much memory is written, in MiB/s. "page-sampling"
---(default) compares hashes of sample_pages (512) random pages of every GiB; "dirty-bitmap" logs
---writes; "dirty-ring" adds up what the vCPUs report and needs the machine's option dirty_ring. The
---result's rate is the sum of its blocks' rates; with "dirty-ring" of its vCPUs' rates. A vCPU's count
---includes a page each time that it is dirtied anew, also by several vCPUs; a block's count includes
---it once, and also pages written by devices and scripts.
---@param options? {seconds?: number, mode?: "page-sampling"|"dirty-bitmap"|"dirty-ring", sample_pages?: integer}
---@return {mode: string, seconds: number, rate: number, blocks: {name: string, size: integer, rate: number, pages?: integer, sampled?: integer, changed?: integer}[], vcpus?: {index: integer, pages: integer, rate: number}[]}
function Machine:dirty_rate(options) end

---Lists the memory devices by address: {type=, data={id=, addr=, size=, slot=, node=, memdev=,
---hotplugged=, hotpluggable=}}. type is "dimm", "nvdimm" or "virtio-mem"; the latter has no slot, size
---is what the guest has plugged, and there are block_size, max_size and requested_size.
---```lua
---local big <close> = lunik.machine { accel = "none", memory = "64M", maxmem = "1G" }
---big:object_add("memory-backend-ram", { id = "mem1", size = "256M" })
---local vmem = big:device_add("virtio-mem-pci", { id = "vmem", bus = "i440fx", memdev = "mem1" })
---vmem.requested_size = "128M" -- the guest plugs blocks, each a "memory-device-size-change"
---assert(big:memory_devices()[1].data.requested_size == 128 << 20)
---```
---@return table[]
function Machine:memory_devices() end

---A CPU that a machine can have.
---@class lunik.HotpluggableCpu
---@field type string The type of its device; where it has none, the one to add.
---@field vcpus_count integer 1.
---@field index integer From 0: the APIC id.
---@field props {socket_id: integer, die_id?: integer, core_id: integer, thread_id: integer, node_id?: integer} Its place, as m:device_add() takes it; die_id where a socket has several, node_id where there are nodes.
---@field present boolean It is plugged.
---@field path? string Of its device: a machine whose CPUs can't be plugged has none.
---@field id? string Of its device.

---Lists the CPUs that the machine can have, by index, in the form of QEMU's query-hotpluggable-cpus.
---```lua
---local m <close> = lunik.machine { accel = "none", cpus = 1, maxcpus = 4 }
---m:device_add("cpu", { id = "cpu2", core_id = 2 })
---local list = m:hotpluggable_cpus()
---assert(#list == 4 and not list[2].present and list[3].id == "cpu2")
---```
---@return lunik.HotpluggableCpu[]
function Machine:hotpluggable_cpus() end

---Asks the guest to manage with `size` bytes of memory, through the device virtio-balloon-pci; it gives
---the rest back in its own time, with events "balloon-change" {device=, actual=, balloon=}. Without
---size nothing changes. The result: memory: what the guest has without the balloon; actual: what it
---has now; target: what it has been asked to have; stats: what it last reported
---(guest-stats-polling-interval), without what it did not. Bytes, and numbers of faults.
---```lua
---local small <close> = lunik.machine { accel = "none", memory = "64M",
---  devices = { { "virtio-balloon-pci", { id = "balloon", bus = "i440fx" } } } }
---assert(small:balloon("48M").target == 48 << 20)
---assert(small:balloon().actual == 64 << 20)
---```
---@param size? lunik.Size At most memory; in pages of 4 KiB.
---@return {memory: integer, actual: integer, target: integer, stats: {swap_in?: integer, swap_out?: integer, major_faults?: integer, minor_faults?: integer, free_memory?: integer, total_memory?: integer, available_memory?: integer, disk_caches?: integer, htlb_pgalloc?: integer, htlb_pgfail?: integer}}
function Machine:balloon(size) end

---Reads guest memory: m.memory:read().
---@param address lunik.Address
---@param length lunik.Size
---@return string
function Machine:read(address, length) end

---Writes guest memory: m.memory:write().
---@param address lunik.Address
---@param data string
function Machine:write(address, data) end

---Reads guest memory by one access: m.memory:load().
---@param address lunik.Address
---@param size 1|2|4|8
---@return integer
function Machine:load(address, size) end

---Writes guest memory by one access: m.memory:store().
---@param address lunik.Address
---@param size 1|2|4|8
---@param value integer
function Machine:store(address, size, value) end

---Fills guest memory: m.memory:fill().
---@param address lunik.Address
---@param length lunik.Size
---@param byte? integer
function Machine:fill(address, length, byte) end

---Hashes guest memory: m.memory:hash().
---@param address lunik.Address
---@param length lunik.Size
---@param kind? "xxh64"|"sha256"
---@return integer|string
function Machine:hash(address, length, kind) end

---Searches guest memory: m.memory:search().
---@param bytes string
---@param options? table See Space:search.
---@return integer? address
function Machine:search(bytes, options) end

---Maps guest memory: m.memory:map().
---@param address lunik.Address
---@param length? lunik.Size
---@return lunik.Mapping
function Machine:map(address, length) end

---Returns what led to the last change of the memory map at an address.
---```lua
---m:object_add("memory-backend-ram", { id = "mem1", size = "128M" })
---local dimm = m:device_add("pc-dimm", { id = "dimm1", memdev = "mem1" })
---assert(m:why(dimm.addr).text:find("device_add dimm1 (pc-dimm)", 1, true))
---```
---@param address lunik.Address
---@return lunik.Cause?
function Machine:why(address) end

---Reads a byte from a port. As on hardware, a read that no device answers returns all ones; the second
---result is then "access", or "device" if a device refuses.
---@param port lunik.Address
---@return integer value
---@return string? refused
function Machine:inb(port) end

---Reads 16 bits from a port.
---@param port lunik.Address
---@return integer value
---@return string? refused
function Machine:inw(port) end

---Reads 32 bits from a port.
---@param port lunik.Address
---@return integer value
---@return string? refused
function Machine:inl(port) end

---Writes a byte to a port. A write that no device accepts is dropped; the result is then "access", or
---"device" if a device refuses.
---@param port lunik.Address
---@param value integer
---@return string? refused
function Machine:outb(port, value) end

---Writes 16 bits to a port.
---@param port lunik.Address
---@param value integer
---@return string? refused
function Machine:outw(port, value) end

---Writes 32 bits to a port.
---@param port lunik.Address
---@param value integer
---@return string? refused
function Machine:outl(port, value) end

---Makes a source of an interrupt line (0 to 23); the line is high while any of its sources is.
---```lua
---local a, b = m:irq(11), m:irq(11) -- two devices on one line
---a:set(true)
---b:set(true)
---a:set(false)
---assert(m:irq_level(11) and m:irq_count(11) == 1)
---```
---@param gsi integer
---@return lunik.Irq
function Machine:irq(gsi) end

---Returns whether an interrupt line is high.
---@param gsi integer
---@return boolean
function Machine:irq_level(gsi) end

---Returns how often an interrupt line has risen.
---@param gsi integer
---@return integer
function Machine:irq_count(gsi) end

---Takes the interrupt that the 8259As ask for, as a CPU does: returns its vector; nil if they ask for
---none. For guests of machines without KVM; with KVM the vCPU takes it, and this raises
---{code="unsupported"}. Messages of the I/O APIC are events "msi".
---```lua
---local m <close> = lunik.machine { board = "micro", accel = "none", memory = "16M" }
---m:start()
---for _, icw in ipairs { 0x20, 4, 1 } do -- vectors from 0x20 on
---  if icw == 0x20 then m:outb(0x20, 0x11) end
---  m:outb(0x21, icw)
---end
---m:irq(4):set(true)
---assert(m:pic()[1].irr == 1 << 4)
---assert(m:acknowledge() == 0x24 and m:acknowledge() == nil)
---m:outb(0x20, 0x20) -- end of interrupt
---assert(m:pic()[1].isr == 0)
---```
---@return integer? vector
function Machine:acknowledge() end

---The registers of an 8259A.
---@class lunik.Pic
---@field irr integer Requests.
---@field imr integer Masks.
---@field isr integer In service.
---@field elcr integer Inputs that are level triggered.
---@field base integer The vector of input 0.
---@field first integer The input with the highest priority.
---@field read_isr boolean Whether reads give the ISR.
---@field nested boolean Special fully nested mode.

---The 8259As of a machine, first and second. tostring() gives the text of QEMU's "info pic".
---@class lunik.Pics: lunik.Pic[]
---@field intr? boolean Whether they ask the CPU for an interrupt; nil where they are KVM's.

---Returns the registers of the 8259As. {code="unsupported"}: the machine has none; {code="state"}: KVM
---makes them at the first start.
---@return lunik.Pics
function Machine:pic() end

---An input of an I/O APIC.
---@class lunik.IoapicPin
---@field entry integer The redirection entry.
---@field vector integer
---@field delivery "fixed"|"lowest"|"SMI"|"NMI"|"INIT"|"extINT"|"..."
---@field destination integer
---@field logical boolean Whether the destination is a logical one.
---@field low boolean Whether the polarity is low, which changes nothing here.
---@field level boolean Whether it is level triggered.
---@field masked boolean
---@field remote_irr boolean Whether an interrupt of it has been sent that has not ended.
---@field high boolean Whether the input asks.

---The I/O APIC of a machine: its inputs, pin 0 first. tostring() gives the text of QEMU's "info pic".
---@class lunik.Ioapic: lunik.IoapicPin[]
---@field version integer
---@field id integer
---@field select integer The register that the window shows.

---Returns the registers of the I/O APIC; nothing that the guest sees changes. Errors as for m:pic().
---```lua
---local m <close> = lunik.machine { board = "micro", accel = "none", memory = "16M" }
---m:start()
---m:store(0xfec00000, 4, 0x10 + 2 * 9)
---m:store(0xfec00010, 4, 0x8039) -- input 9: level triggered, vector 0x39
---local pin = m:ioapic()[9 + 1]
---assert(pin.level and pin.vector == 0x39 and not pin.masked)
---m:irq(9):set(true)
---assert(m:wait("msi").data == 0x8039 and m:ioapic()[9 + 1].remote_irr)
---m:store(0xfec00040, 4, 0x39) -- end of interrupt: the line is still high
---assert(m:wait("msi").device == "ioapic")
---```
---@return lunik.Ioapic
function Machine:ioapic() end

---Lists the interrupt lines, GSI 0 first; tostring() gives those that have risen.
---@return {gsi: integer, level: boolean, count: integer}[]
function Machine:irqs() end

---Makes a one-shot timer on the machine's clock, idle at first.
---@param fn fun()
---@return lunik.Timer
function Machine:timer(fn) end

---Returns the machine time in nanoseconds; it stands still while the machine does not run.
---@return integer
function Machine:clock() end

---Moves a manual clock forward and runs the timers that become due.
---```lua
---local slow <close> = lunik.machine { accel = "none", memory = "16M", clock = "manual" }
---local rung
---slow:timer(function() rung = slow:clock() end):set(2000000000)
---slow:start()
---slow:advance(3000000000)
---assert(rung == 2000000000)
---```
---@param ns integer
function Machine:advance(ns) end

---Lists the vCPUs that are plugged.
---@return lunik.Vcpu[]
function Machine:cpus() end

---Returns a vCPU by its index, from 0; an error where it is not plugged.
---@param index integer
---@return lunik.Vcpu
function Machine:cpu(index) end

---Declares a range of the memory map that is reported to a kernel.
---@param range {base: lunik.Address, size: lunik.Size, type?: "ram"|"reserved"|"acpi"|"hotplug", node?: integer}
function Machine:fwmap_add(range) end

---Lists the declared ranges.
---@return table[]
function Machine:fwmap() end

---Puts data into guest memory now and at every reset.
---@param name string
---@param address lunik.Address
---@param data string
function Machine:rom_add(name, address, data) end

---Loads a kernel that the machine boots directly.
---@param options {kernel: string, initrd?: string, cmdline?: string, modules?: string[], rsdp?: lunik.Address}
function Machine:boot_kernel(options) end

---Maps a flat firmware image so that it ends at 4 GiB; vCPUs start in it.
---@param path string
function Machine:boot_firmware(path) end

---Assembles the ACPI tables and puts them into guest memory at every reset.
---@return integer rsdp The RSDP's guest address.
function Machine:acpi_install() end

---Assembles the ACPI tables and offers them to firmware, which places them, as files of the fw-cfg
---device. They are assembled again when the guest reads one, as firmware moves registers.
function Machine:acpi_offer() end

---Adds a file to the firmware configuration (device fw-cfg), which firmware and the guest's
---operating system read; names of one's own begin with "opt/". A number adds an item that has no
---name. A function returns the contents, or nil for the same as before: it is called at once, and
---whenever the guest lists the files or selects this one.
---
---    local m = lunik.machine { board = "pc", accel = "none", fw_cfg = true }
---    m:fw_cfg_add("opt/com.example/token", "12345")
---    m:fw_cfg_add("opt/com.example/time", function() return tostring(os.time()) end)
---    assert(m:fw_cfg "opt/com.example/token" == "12345")
---@param name string|integer At most 55 characters, ASCII without spaces; or 0x0 to 0x1f, 0x8000 to 0x83ff.
---@param contents string|(fun(): string?)|{file: string} What it has; with file, what the file has now.
function Machine:fw_cfg_add(name, contents) end

---Returns the contents of a file, or item, of the firmware configuration as they are now, nil if
---there is none; without a name, the names of all files.
---
---    local m = lunik.machine { board = "pc", accel = "none", fw_cfg = true }
---    assert(m:fw_cfg(0) == "QEMU")
---    assert(m:fw_cfg()[1] == "etc/e820")
---@param name? string|integer
---@return string|string[]|nil
function Machine:fw_cfg(name) end

---Returns an ACPI table as it was assembled.
---@param signature string "DSDT", "APIC", "FACP", ...
---@return string?
function Machine:acpi_table(signature) end

-- ---- objects -----------------------------------------------------------------------------------

---An object or device. Its properties can be read and set like fields: dimm.addr, chardev.size.
---@class lunik.Object
---@field [string] any A property: see lunik.type().
---@field id string "" if it has none.
---@field type string
---@field path string "/objects/mem1", "/machine/dimm1"
---@field alive boolean False once it is deleted.
---@field is_device boolean
---@field machine lunik.Machine
---@field dev? lunik.Dev For a device defined by lunik.device(): the dev of its functions, with its own fields.
---@field state? "plugged"|"requested"|"draining"|"refused"|"ejected" For a device: the progress of its removal.
local Object = {}

---Returns the value of a property.
---@param property string
---@return any
function Object:get(property) end

---Sets a property that may be set after creation. nil cuts a link.
---@param property string
---@param value any
function Object:set(property, value) end

---Returns whether its type is the given one, descends from it or implements it.
---@param type string
---@return boolean
function Object:is(type) end

---Sends a break to the device that this character device is attached to, i.e. the line held in the state
---of a start bit for longer than a character; Linux takes what follows as a SysRq command. It
---overtakes input that waits. Raises {code="unsupported"} without a device that knows breaks.
function Object:send_break() end

---Returns what the device has of state, such as registers and queues, as bytes that load() takes; its
---properties are not in there. The machine must be paused, or not have been started yet. Raises
---{code="unsupported"} for a type that has no state table, as one of lunik.device() without `state`.
---```lua
---local rtc = m:object "rtc"
---m:outb(0x70, 0x2f) m:outb(0x71, 7) -- a byte of its memory
---local saved = rtc:save()
---m:outb(0x71, 0)
---rtc:load(saved)
---assert(m:inb(0x71) == 7)
---```
---@return string
function Object:save() end

---Gives the device the state that save() returned for one of the same type and properties, in this
---machine or another, also in another process. It checks all of it first: on an error, which names
---the field, the device is as it was. The machine must be paused, or not have been started yet.
---@param state string
function Object:load(state) end

---A removal under way.
---@class lunik.Unplug
---@field device string Its id, or path.
---@field object lunik.Object
---@field machine lunik.Machine
---@field state "requested"|"draining"|"refused"|"ejected" draining: it is removed when it has finished what is in flight.
---@field source? integer After the guest's refusal: the source of its _OST.
---@field status? integer After the guest's refusal: the status of its _OST.
---@field reason? string After another refusal.
local Unplug = {}

---Waits until the device is gone. Raises {code="busy"} if the guest refuses or the device does not
---finish within the machine's drain_timeout, and {code="timeout"} if there is no answer; the request
---then stands.
---@param options? {timeout?: number}
---@return "ejected"
function Unplug:wait(options) end

-- ---- flight recorder ---------------------------------------------------------------------------

---What m:record{} has recorded. tostring(rec) is all flights as text.
---@class lunik.Recorder
---@field machine lunik.Machine
---@field recording boolean Whether it has not been stopped.
---@field dropped {flights: integer, steps: integer} How many are not kept, because there were too many.
local Recorder = {}

---Returns the flights that are kept, oldest first.
---@return lunik.Flight[]
function Recorder:flights() end

---Returns the newest flight, or the newest of a kind.
---@param kind? "plug"|"unplug"|"reset"|"boot"
---@return lunik.Flight?
function Recorder:last(kind) end

---Returns the newest flight of a device, given as its id or itself.
---@param device string|lunik.Object
---@param kind? "plug"|"unplug"
---@return lunik.Flight?
function Recorder:flight(device, kind) end

---Calls fn from the loop soon after a flight has begun ("start"), has got a step ("step") or has ended
---("end"), in order. "loose" is the end of a step of no flight, such as object_add: flight is nil.
---@param fn fun(what: "start"|"step"|"end"|"loose", flight?: lunik.Flight, step?: lunik.Step)
---@return lunik.Subscription
function Recorder:follow(fn) end

---Ends the recording; does nothing the second time.
function Recorder:stop() end

---Writes all flights to a file: as text (.txt), picture (.svg) or JSON lines (.jsonl). Other names
---raise {code="invalid"}.
---@param path string
function Recorder:save(path) end

---Draws all flights as Flight:timeline() draws one.
---@param options? {width?: integer, colour?: boolean}
---@return string
function Recorder:timeline(options) end

---Draws all flights as Flight:svg() draws one.
---@param options? {file?: string}
---@return string
function Recorder:svg(options) end

---Returns all flights as JSON lines.
---@return string
function Recorder:json() end

---A plug, unplug, reset or boot. tostring(flight) is the tree of its steps, as text.
---@class lunik.Flight
---@field kind "plug"|"unplug"|"reset"|"boot"
---@field title string Such as "plug of dimm1 (pc-dimm)".
---@field machine string Its name.
---@field device? string The id, or path, of the device; nil for a reset and a boot.
---@field driver? string The device's type.
---@field where? string File and line of the call in the script; nil if the guest or a C program has begun it.
---@field start integer CLOCK_MONOTONIC in nanoseconds, as an event's time.
---@field stop? integer nil while it is under way.
---@field duration? integer Nanoseconds from start to stop.
---@field outcome "under way"|"accepted"|"ejected"|"refused"|"failed"|"done" accepted: the guest has taken the device; done: no guest had to be asked.
---@field why? string After "refused" and "failed": the reason, in one line.
---@field steps lunik.Step[] In the order in which they began; handlers that reacted come after the end.
---@field dropped integer How many more steps it had than are kept.
local Flight = {}

---Draws a bar for each step, for the terminal, width columns wide (60 to 1000, default 80). colour
---nil: in colour if the lunik command's output is a terminal and NO_COLOR is not set.
---@param options? {width?: integer, colour?: boolean}
---@return string
function Flight:timeline(options) end

---Draws the same as a picture that needs no other file, light or dark as the viewer is.
---@param options? {file?: string}
---@return string
function Flight:svg(options) end

---Returns an object for the flight and one for each step, one a line. Integers above 2^53 are strings
---("0x...").
---@return string
function Flight:json() end

---Compares with another flight: a line for each thing that differs, "what: here / there", and for what
---took longer by half and by 0.1 ms at least. Empty if nothing does.
---@param other lunik.Flight
---@return string[] lines tostring() joins them.
function Flight:diff(other) end

---A step of a flight. Steps of several flights at once, such as the commit of a transaction, are in
---each of them.
---@class lunik.Step
---@field kind string "device_add", "pre_plug", "realize", "plug", "map", "section", "listener", "memslot", "shown", "gpe", "gsi", "access", "ost", "eject", "event", "handler", ...; runtime/lunik_trace.h has all.
---@field text string What it did, in one line.
---@field time integer CLOCK_MONOTONIC in nanoseconds when it began.
---@field duration? integer How long it took in nanoseconds; nil: it was at one instant, or has not ended.
---@field thread string "loop", "vcpu 0", or "thread 3" for another one.
---@field vcpu? integer
---@field depth integer 0, or one more than that of the step that it is a part of.
---@field serial integer Counts the machine's steps.
---@field parent integer serial of the step that it is a part of, or 0.
---@field device? string
---@field driver? string
---@field name? string Of the listener, region, event, hotplug handler or file.
---@field where? string File and line of the script that acts.
---@field cause? string What led to it, as m:why() says it.
---@field failed? string Why it failed.
---@field fields table<string, any> What else is known of it: address, size, value, slot, gpe, gsi, level, source, status, added, removed, ...

-- ---- memory ------------------------------------------------------------------------------------

---A memory region. size, offset, alias_offset, priority, enabled, readonly and romd can be set, the
---other fields only read. Setting one does not check for overlaps, unlike Region:add().
---@class lunik.Region
---@field name string
---@field kind string
---@field size integer lunik.SIZE_MAX for 2^64. The part beyond the container's end does not show.
---@field offset integer In its container.
---@field target? lunik.Region Of an alias.
---@field host? lightuserdata Address of its RAM in this process, for C modules; valid as long as the region exists.
---@field alias_offset integer For an alias: offset in its target at which the window starts.
---@field priority integer
---@field enabled boolean
---@field readonly boolean
---@field romd boolean Of a rom-device: whether reads come from RAM.
---@field parent? lunik.Region
---@field owner? lunik.Object
---@field children lunik.Region[] By decreasing priority.
---@field stats {reads: integer, writes: integer, rejected: integer}
local Region = {}

---Maps child at offset. Of overlapping siblings the one with the higher priority shows, then the
---one added later; without overlap = true an overlap of equal priority is an error (except with a
---disabled sibling that was added with overlap). In m.io.root a region can't reach beyond port 0xffff.
---@param child lunik.Region
---@param offset lunik.Address
---@param options? {priority?: integer, overlap?: boolean}
---@return lunik.Region child
function Region:add(child, offset, options) end

---Removes child.
---@param child lunik.Region
function Region:del(child) end

---Makes writes to a register signal an eventfd instead of calling write(): KVM does so without an
---exit. It follows the region through the memory map. The function `on` is called from the loop with
---the number of writes since its last call; without one, read the handle's fd.
---```lua
---local bell = m:region { kind = "io", name = "bell", size = 4, write = function() end }
---m.memory.root:add(bell, "3G")
---local rings = 0
---bell:ioeventfd { offset = 0, size = 4, match = 1, on = function(count) rings = rings + count end }
---m.memory:set("u32", "3G", 1)
---m.memory:set("u32", "3G", 2) -- goes to write()
---lunik.sleep(0.01)
---assert(rings == 1)
---```
---@param options {offset: lunik.Address, size?: 0|1|2|4|8, match?: integer, on?: fun(count: integer)} size 0, the default: writes of any size; match: only writes of this value
---@return lunik.Ioeventfd
function Region:ioeventfd(options) end

---Lets KVM collect writes to a range, by default the whole region: write() gets them later, in order,
---before any other exit of the guest, any read and any change of the map.
---@param offset? lunik.Address
---@param size? lunik.Size
function Region:coalesce(offset, size) end

---Ends collecting writes for the whole region.
function Region:uncoalesce() end

---An eventfd that writes to a register signal. It stays until it is closed, or its machine is.
---@class lunik.Ioeventfd
---@field fd integer Non-blocking; closed with the handle.
local Ioeventfd = {}

---Makes writes to the register call write() again. In m:transaction() that happens at the commit, but
---another ioeventfd may be made for the register before.
function Ioeventfd:close() end

---An address space. An address or offset is any integer, taken as 64 bits, so that 0xffffffff00000000
---(a negative number for Lua) is one; or a string such as "4G".
---@class lunik.Space
---@field stats {rejected: integer, unassigned: integer} Rejected accesses; among them, those to addresses without region.
---@field name string
---@field root lunik.Region
local Space = {}

---Reads any length, from RAM and devices. Raises {code="access"} if nothing accepts some part, else
---{code="device"} if a device refuses some part; the other parts have been accessed.
---@param address lunik.Address
---@param length lunik.Size
---@return string
function Space:read(address, length) end

---Writes any length, to RAM and devices; raises as read() does, after writing to all other parts.
---@param address lunik.Address
---@param data string
function Space:write(address, data) end

---Reads by one access, as a vCPU makes it. Raises {code="access"} if no region is there or the region
---does not accept the size, alignment or direction, {code="device"} if a device refuses it.
---@param address lunik.Address
---@param size 1|2|4|8
---@return integer
function Space:load(address, size) end

---Writes by one access, as a vCPU makes it. Raises as load() does.
---@param address lunik.Address
---@param size 1|2|4|8
---@param value integer
function Space:store(address, size, value) end

---Returns the section at an address.
---@param address lunik.Address
---@return lunik.Section?
function Space:find(address) end

---Returns what led to the last change at an address, also if nothing shows there now; nil if that is
---not known.
---@param address lunik.Address
---@return lunik.Cause?
function Space:why(address) end

---An action that changed the memory map, and the action that led to it.
---@class lunik.Cause
---@field text string All fields in one line.
---@field action "device_add"|"device_del"|"object_add"|"object_del"|"set"|"read"|"write"|"reset"|"script"
---@field name? string The object, the region accessed, or a script's file:line.
---@field detail? string The object's type, the property, or "port" or "address".
---@field vcpu? integer The vCPU that made an access; nil: this process did.
---@field address? integer For an access, like size and value.
---@field size? integer
---@field value? integer
---@field by? lunik.Cause

---An access that was rejected. Fields as in lunik.Cause: action "read" or "write", address, size, value
---(for a write of at most 8 bytes), vcpu, by (the action that led to it, e.g. a write to a register of
---the device that made it) and text.
---@class lunik.Rejection: lunik.Cause
---@field machine lunik.Machine
---@field space lunik.Space
---@field region? lunik.Region nil: nothing is there.
---@field offset? integer In the region.
---@field why "unassigned"|"size"|"alignment"|"readonly"|"writeonly"|"undecoded"|"device"|"nesting"
---@field code "access"|"device" The code of the error that a script's access gets.

---Returns whether the whole section still shows at its address.
---@param section {region: lunik.Region, address: lunik.Address, offset: lunik.Address, size: lunik.Size}
---@return boolean
function Space:shows(section) end

---Sets all bytes of a range to one value.
---@param address lunik.Address
---@param length lunik.Size
---@param byte? integer 0 to 255; default 0.
function Space:fill(address, length, byte) end

---Hashes what read() would return: XXH64 (seed 0) as an integer, or SHA-256 in hexadecimal. Raises an
---error at the first part that can't be read.
---@param address lunik.Address
---@param length lunik.Size
---@param kind? "xxh64"|"sha256"
---@return integer|string
function Space:hash(address, length, kind) end

---Returns the first address in RAM with the given bytes, which may cross borders of regions. Does not
---read devices. mask: bits that have to be equal; hex = true: bytes are digits like "48 8b ?? 05".
---```lua
---m:write(0x12345, "\x48\x8b\x77\x05")
---assert(m.memory:search("48 8b ?? 05", { hex = true }) == 0x12345)
---```
---@param bytes string
---@param options? {from?: lunik.Address, length?: lunik.Size, align?: lunik.Size, mask?: string, hex?: boolean}
---@return integer? address
function Space:search(bytes, options) end

---Does the work of search().
---@param from lunik.Address
---@param length lunik.Size
---@param bytes string
---@param mask? string
---@param align lunik.Size 0 or 1: any address.
---@return integer? address
function Space:find_bytes(from, length, bytes, mask, align) end

---u8, u16, u32, u64, i8, i16, i32, i64, f32, f64; with be at the end big-endian, with le or nothing
---little-endian.
---@alias lunik.ValueType string

---Reads one value, by one access as a vCPU makes it.
---@param type lunik.ValueType
---@param address lunik.Address
---@return number
function Space:get(type, address) end

---Writes one value, by one access as a vCPU makes it.
---@param type lunik.ValueType
---@param address lunik.Address
---@param value number
function Space:set(type, address, value) end

---Returns the zero-terminated string at address; nil and its first max bytes if it is longer.
---@param address lunik.Address
---@param max? lunik.Size Default 4096.
---@return string?, string?
function Space:string(address, max) end

---Makes an array of values: view[1] to view[#view] read and write them; other indexes raise an error.
---To iterate, use ipairs(view:values()), which reads all values at once.
---```lua
---local table <close> = m.memory:map(0x2000, 0x1000)
---local entries = m.memory:view("u16be", 0x2000, 3)
---entries[1], entries[2] = 0x1234, 0x5678
---assert(table:read(0, 4) == "\x12\x34\x56\x78" and #entries == 3)
---```
---@param type lunik.ValueType
---@param address lunik.Address
---@param count integer
---@return lunik.View
function Space:view(type, address, count) end

---Maps a part of one region's RAM, with bounds; by default all that shows from address on. A mapping
---holds no memory: when the region does not show there any more, using it raises {code="gone"}.
---@param address lunik.Address
---@param length? lunik.Size
---@return lunik.Mapping
function Space:map(address, length) end

---An array of values in guest memory: view[i] reads and writes them, #view is their number.
---@class lunik.View
---@field type lunik.ValueType
---@field [integer] number
local View = {}

---Returns all values, read at once.
---@return number[]
function View:values() end

---Offsets count from the mapping's start.
---@class lunik.Mapping
---@field region lunik.Region
---@field name string The region's.
---@field address integer
---@field size integer
---@field valid boolean
local Mapping = {}

---Reads bytes. Like all methods of a mapping it raises {code="invalid"} beyond the bounds.
---@param offset lunik.Address
---@param length lunik.Size
---@return string
function Mapping:read(offset, length) end

---Writes bytes.
---@param offset lunik.Address
---@param data string
function Mapping:write(offset, data) end

---Sets all bytes of a range to one value.
---@param offset lunik.Address
---@param length lunik.Size
---@param byte? integer
function Mapping:fill(offset, length, byte) end

---Hashes the bytes, by default all: see Space:hash.
---@param offset? lunik.Address
---@param length? lunik.Size
---@param kind? "xxh64"|"sha256"
---@return integer|string
function Mapping:hash(offset, length, kind) end

---Reads one value.
---@param type lunik.ValueType
---@param offset lunik.Address
---@return number
function Mapping:get(type, offset) end

---Writes one value.
---@param type lunik.ValueType
---@param offset lunik.Address
---@param value number
function Mapping:set(type, offset, value) end

---Returns the zero-terminated string at an offset: see Space:string.
---@param offset lunik.Address
---@param max? lunik.Size Default: to the end.
---@return string?, string?
function Mapping:string(offset, max) end

---Makes an array of values: see Space:view.
---@param type lunik.ValueType
---@param offset lunik.Address
---@param count integer
---@return lunik.View
function Mapping:view(type, offset, count) end

---Ends the mapping; also called at the end of a <close> variable's scope.
function Mapping:close() end

---A contiguous part of a region as it shows in an address space.
---@class lunik.Section
---@field space lunik.Space
---@field region lunik.Region
---@field name string The region's.
---@field kind string The region's.
---@field owner? lunik.Object The region's.
---@field offset integer In the region.
---@field address integer In the space.
---@field size integer
---@field readonly boolean
---@field romd boolean Reads come from RAM.
---@field nonvolatile boolean
---@field log_mask integer Clients that log writes to it: 1 migration, 2 display, 4 user, 8 dirty rate.
---@field fd? integer Descriptor of the file that holds its memory. Do not close it.
---@field fd_offset? integer Offset in that file at which it starts.
---@field cause? lunik.Cause In a listener: the cause of this change. Else as from why().

---A listener of the memory map; it stays until it is removed, or its machine is closed.
---@class lunik.Listener
---@field name? string nil once it is removed.
---@field priority integer
---@field active boolean
local Listener = {}

---Removes the listener. Calls region_del (and the other removal hooks) for everything in the map first,
---except inside a hook.
function Listener:remove() end
-- ---- plots -------------------------------------------------------------------------------------

---A line of a plot: its points, and maybe a name and a unit of its own. A point is {x, y}, or y alone,
---whose x is its index. Where y is not a number (0/0), the line has a gap.
---@class lunik.Series
---@field name? string
---@field unit? string
---@field [integer] number|number[]

---Draws values, by default as text for the terminal: 72 columns wide, each series in a panel of 8
---lines. In SVG, series with the same unit share a panel. With a file, whose name ends in .svg or
---.txt, the plot is written there and nothing is returned.
---```lua
---local text = lunik.plot { title = "dirty rate", unit = "MiB/s", x = "s",
---  series = { { name = "vm1", { 0, 1.5 }, { 1, 2.5 }, { 2, 9 } } } }
---assert(text:find "vm1, MiB/s" and text:find "10 ┤")
---local svg = lunik.plot { format = "svg", series = { { 1, 4, 9 }, { 2, 3, 5 } } }
---assert(svg:find "<polyline")
---```
---@param options {series: lunik.Series[], title?: string, unit?: string, x?: string, width?: integer, height?: integer, format?: "text"|"svg", file?: string} x: the unit of x.
---@return string? drawing Nil with a file.
function lunik.plot(options) end

---Samples that are taken in the background (see m:sample).
---@class lunik.Samples
---@field series lunik.Series[] What has been sampled, by time in seconds since the start.
---@field active boolean
---@field count integer
---@field every number Seconds between samples.
local Samples = {}

---Ends the sampling; also called at the end of a <close> variable's scope.
function Samples:stop() end

---Draws the samples taken so far; options are those of lunik.plot.
---@return string? drawing Nil with a file.
function Samples:plot(options) end

-- ---- dirty pages --------------------------------------------------------------------------------

---A handle for pages of 4 KiB that have been written since they were last cleared. Each client
---("migration", "display", "user") has bits of its own; handles of the same client share them.
---@class lunik.Dirty
---@field active boolean Whether it has been started and the machine is not closed.
---@field client string
local Dirty = {}

---Logs writes from now on; the client's bits start clear. The handle stays alive until stop().
---@return lunik.Dirty
function Dirty:start() end

---Stops logging and drops the bits; also called at the end of a <close> variable's scope.
function Dirty:stop() end

---Collects the writes made until now; returns the number of dirty pages.
---@return integer
function Dirty:sync() end

---Returns the number of dirty pages as of the last sync().
---@return integer
function Dirty:count() end

---Lists the RAM blocks with the number of their dirty pages: blocks that are mapped, and blocks that
---were mapped and still have dirty pages.
---@return {name: string, size: integer, pages: integer}[]
function Dirty:blocks() end

---Iterates over the dirty pages: for block, offset in d:pages() do ... end. Pages may be cleared
---meanwhile.
---@return fun(): string?, integer?
function Dirty:pages() end

---Iterates over runs of dirty pages: for block, offset, size in d:ranges() do ... end.
---@return fun(): string?, integer?, integer?
function Dirty:ranges() end

---Clears bits: all, or those of a block or of a part of it. Returns how many were set. A page read
---afterwards shows every write that had set its bit; later writes set the bit again.
---@param block? string
---@param offset? lunik.Address
---@param size? lunik.Size
---@return integer
function Dirty:clear(block, offset, size) end

---The script's end of a character device. Its functions are called on the loop, without the device
---on the stack: they may delete it or close the machine.
---@class lunik.Stream
---@field object lunik.Object The character device.
---@field machine lunik.Machine
---@field connected boolean The other side is there. A device without connections always is.
---@field queued integer Bytes written that the device has not taken yet.
local Stream = {}

---Sets the function that is called with what has come in; nil: it is dropped.
---@param fn? fun(bytes: string)
function Stream:on_data(fn) end

---Sets the function that is called when the other side of a chardev-socket has come.
---@param fn? fun()
function Stream:on_open(fn) end

---Sets the function that is called when it has gone, after it has been given all that it has sent.
---What was queued for it is dropped.
---@param fn? fun()
function Stream:on_close(fn) end

---Writes bytes. What the device does not take at once is queued, 64 MiB at most: {code="no-space"}.
---@param text string
function Stream:write(text) end

---Returns the file descriptors received with the bytes, oldest first, which the caller now owns. The
---last 16 are kept; they are closed when the next client connects.
---@return integer[]
function Stream:fds() end

---Closes a descriptor that Stream:fds() has returned.
---@param fd integer
function Stream:close_fd(fd) end

---true: takes no input until hold(false), so that the other side has to wait.
---@param on boolean
function Stream:hold(on) end

---Detaches the stream from the device, which stays. Does nothing the second time; also called for a
---<close> variable.
function Stream:close() end

-- ---- vCPUs, interrupts, timers -----------------------------------------------------------------

---A virtual processor. Reading and setting its registers takes it out of the guest for a moment.
---@class lunik.Vcpu
---@field index integer From 0.
---@field thread_id integer The number of its thread, as in /proc/self/task; 0 before the first start.
---@field stats {exits: integer, io: integer, mmio: integer, interrupted: integer, dirtied: integer, other: integer} dirtied: pages that its dirty ring has reported.
local Vcpu = {}

---Returns a register: "rax".."r15", "rip", "rflags", "cs", "cs.base", "cr0", "efer", "gdt.base", ...
---@param name string
---@return integer
function Vcpu:reg(name) end

---Sets a register.
---@param name string
---@param value integer
function Vcpu:set_reg(name, value) end

---Returns registers: name = value.
---@param names? string[] Default: those that are shown.
---@return table<string, integer>
function Vcpu:regs(names) end

---Returns the registers of FPU and SSE as FXSAVE lays them out in 64-bit mode (512 bytes): ST0 to ST7
---from byte 33 on, XMM0 to XMM15 from byte 161 on.
---@return string
function Vcpu:fpu() end

---Sets the registers of FPU and SSE.
---@param image string 512 bytes, as fpu() returns them.
function Vcpu:set_fpu(image) end

---Returns a model-specific register.
---@param index integer
---@return integer
function Vcpu:msr(index) end

---Sets a model-specific register.
---@param index integer
---@param value integer
function Vcpu:set_msr(index, value) end

---Returns the registers of the vCPU's local APIC by their offset in its page: [0x20] is its id,
---[0x80] the task priority, ... (Intel SDM volume 3, section 11.4).
---@return table<integer, integer>
function Vcpu:lapic() end

---Queues an exception for the next entry into the guest.
---@param vector integer 0 to 31
---@param error? integer Its error code.
function Vcpu:inject_exception(vector, error) end

---Queues an external interrupt, bypassing the interrupt controllers.
---@param vector integer 0 to 255
function Vcpu:inject_interrupt(vector) end

---Queues an NMI.
function Vcpu:nmi() end

---Returns registers and the bytes at rip as readable lines.
---@return string
function Vcpu:dump() end

---A breakpoint in a debug register.
---@class lunik.Breakpoint
---@field address lunik.Address Linear; a multiple of size.
---@field kind? "execute"|"write"|"access" Stop before an instruction, or after a write, or after any access; default "execute".
---@field size? 1|2|4|8 Bytes that are watched; default 1.

---Sets single-stepping and up to four breakpoints (linear addresses, or tables); hits are "vcpu-exit"
---events with reason "debug". software: also stop before each int3, with exception 3 in the event.
---interrupts = false: the vCPU takes none meanwhile. Without an argument: turns all off.
---@param options? {step?: boolean, breakpoints?: (lunik.Address|lunik.Breakpoint)[], software?: boolean, interrupts?: boolean}
function Vcpu:debug(options) end

---A source of an interrupt line, made by m:irq().
---@class lunik.Irq
---@field gsi integer
---@field level boolean
local Irq = {}

---Raises or lowers the source.
---@param level boolean
function Irq:set(level) end

---Raises the source and lowers it again.
function Irq:pulse() end

---Lowers and disconnects the source. A source that is high stays high if its handle is collected.
function Irq:close() end

---A timer on a machine's clock.
---@class lunik.Timer
local Timer = {}

---Fires that many nanoseconds of machine time from now; replaces an earlier setting.
---@param ns integer
function Timer:set(ns) end

---Cancels the timer, if it is set.
function Timer:cancel() end

-- ---- devices defined by scripts ----------------------------------------------------------------

---An instance of a device defined by lunik.device(). Further fields are the device's own; scripts
---reach them through m:object(id).dev.
---@class lunik.Dev
---@field [string] any The device's own.
---@field object lunik.Object
---@field machine lunik.Machine
---@field id string
---@field props table Its properties by name.
---@field state table What its type's `state` lists, by name: integers, strings of that many bytes; of a timer when it fires, in ns of the machine's clock, or nil: set it to that. It is kept in the device, and saved with it.
---@field pci? lunik.DevPci Of a PCI device.
local Dev = {}

---Adds I/O ports.
---@param region lunik.DeviceRegion
---@return lunik.Region
function Dev:ports(region) end

---Adds memory-mapped registers.
---@param region lunik.DeviceRegion
---@return lunik.Region
function Dev:mmio(region) end

---Makes a source of an interrupt line, which is closed with the device.
---@param gsi integer
---@return lunik.Irq
function Dev:irq(gsi) end

---Makes a timer on the machine's clock that calls fn(dev); it is cancelled with the device.
---@param fn fun(dev: lunik.Dev)
---@return lunik.Timer
function Dev:timer(fn) end

---Sends an event with the device's id in field device.
---@param event string
---@param fields? table
function Dev:emit(event, fields) end

---Answers an unplug request: removes the device.
function Dev:eject() end

---Answers an unplug request: keeps the device.
---@param source? integer
---@param status? integer
function Dev:refuse(source, status) end

---The bus side of a PCI device that a script has defined: dev.pci.
---```lua
---lunik.device {
---  name = "adder", state = { sum = {} },
---  pci = {
---    vendor = 0x1234, device = 0x0001, msi = 1,
---    bars = { { index = 0, size = 16, write = function(dev, offset, size, value)
---      dev.state.sum = dev.state.sum + value
---      dev.pci:send(0)
---    end } },
---  },
---}
---local adder = m:device_add("adder", { id = "adder", bus = "i440fx" })
---assert(adder.dev.pci:vectors() == 0 and adder.dev.state.sum == 0)
---```
---@class lunik.DevPci
---@field object lunik.Object
---@field bars table<integer, lunik.Region> By index.
---@field rom? lunik.Region
local DevPci = {}

---Asserts the interrupt pin (true), or lowers it. It is low while the guest has MSI or MSI-X on.
---@param level boolean
function DevPci:intx(level) end

---Sends the message of a vector, or leaves it pending where the guest masks it.
---@param vector? integer From 0 on, the default.
function DevPci:send(vector) end

---Returns how many vectors the guest has turned on; 0: it expects the pin.
---@return integer
function DevPci:vectors() end

---Reads guest memory, if the guest lets the device be a bus master. Returns nil and a code, such as
---"access", where that fails.
---@param address lunik.Address
---@param size integer At most 16 MiB.
---@return string? bytes, string? code
function DevPci:read(address, size) end

---Writes guest memory. Returns true, or nil and a code.
---@param address lunik.Address
---@param bytes string
---@return boolean?, string? code
function DevPci:write(address, bytes) end

-- ---- waiting -----------------------------------------------------------------------------------

---What m:on() and other calls that take a handler return.
---@class lunik.Subscription
local Subscription = {}

---Ends the subscription; also called at the end of a <close> variable's scope.
function Subscription:off() end

---A page about the run, made by lunik.report().
---@class lunik.Report
---@field file string
---@field title string May be set until the page is written.
---@field finished boolean
local Report = {}

---Adds a line of the script's own to the events and the timeline.
---@param text string
function Report:note(text) end

---Adds the result of an example, which has just ended. One that has failed makes the run fail.
---@param test {name: string, outcome: "passed"|"failed"|"skipped", seconds?: number, message?: any, traceback?: string}
function Report:test(test) end

---Says which script the run is about, if that is not the one that the command runs.
---@param script string
function Report:about(script) end

---Says that the run has failed, and why. May be called more than once.
---@param message any
---@param traceback? string
function Report:fail(message, traceback) end

---Takes the last look at the machines, and writes the page. Does nothing the second time. code: the
---run's exit code; default 0.
---@param options? {code?: integer|boolean}
function Report:finish(options) end

---Events collected by m:watch().
---@class lunik.Watch
---@field machine lunik.Machine
local Watch = {}

---Takes the oldest event collected; waits if there is none.
---@param options? {timeout?: number}
---@return lunik.Event
function Watch:wait(options) end

---Takes the oldest event collected; returns nil if there is none.
---@return lunik.Event?
function Watch:poll() end

---Stops collecting; also called at the end of a <close> variable's scope.
function Watch:off() end

---A coroutine made by lunik.spawn().
---@class lunik.Task
---@field done boolean Whether it has ended: its function has returned or raised an error, it was
---cancelled, or other code has closed its coroutine. Resuming it by other code does not end its waits.
---@field ok? boolean Once done: whether it ended without an error.
local Task = {}

---Waits until the task has ended; returns the results of its function, or raises its error, which is
---then not reported. Raises {code="timeout"}, and {code="state"} if other code has closed it.
---@param options? {timeout?: number}
function Task:wait(options) end

---Ends a waiting coroutine; closes its <close> variables.
function Task:cancel() end

---The script's end of a network: what the card sends goes to a function, and the script sends frames
---to the card. Frames are whole: addresses, type, data; no checksum at the end.
---@class lunik.Netdev
---@field object lunik.Object The netdev-lua.
local Netdev = {}

---Calls fn(frame, queue) with each frame of the card, on the loop; queue: the pair of queues it came
---from, from 1. The guest waits while the function is behind. nil: frames are dropped.
---@param fn? fun(frame: string, queue: integer)
function Netdev:on_frame(fn) end

---Queues a frame of 14 to 65550 bytes for the card. False: the queue (1 MiB) is full, because the guest
---does not take frames; the frame was not taken.
---@param frame string
---@param queue? integer The pair of queues, from 1; default 1.
---@return boolean
function Netdev:send(frame, queue) end

---A console: access to a serial port. Output is kept in a ring; text that is overwritten before it is
---taken is lost.
---@class lunik.Console
---@field object lunik.Object The chardev-buffer.
local Console = {}

---Types text into the guest's serial port.
---@param text string
function Console:write(text) end

---Sends the guest's serial port a break, see Object:send_break().
---```lua
---local console = m:console() -- serial = "buffer"
---m:inb(0x3fd)
---console:send_break()
---assert(m:inb(0x3fd) & 0x10 ~= 0) -- the UART's line status: a break
---```
function Console:send_break() end

---Takes the text that has been printed and not been taken yet.
---@return string
function Console:read() end

---Returns the same text without taking it.
---@return string
function Console:peek() end

---Returns all text that is kept, taken or not.
---@return string
function Console:text() end

---Waits for text that matches a Lua pattern (plain = true: contains the text); takes everything up
---to the end of the match. Returns the captures, or the match.
---
---The search continues where it stopped: it looks again only at text in which a match may have begun,
---so its cost is in proportion to the output. It is bounded whatever the guest prints: a look is
---broken off after a million steps and followed by a pause three times as long, and a pattern that
---takes more than eight million steps at one place, such as "a-a-a-b" among thousands of a's, raises
---{code="unsupported"}.
---```lua
---local console = m:console() -- serial = "buffer"
---for byte in ("login: "):gmatch "." do m:outb(0x3f8, byte:byte()) end -- what a guest does
---assert(console:expect("(%w+): ", { timeout = 5 }) == "login")
---```
---@param pattern string
---@param options? {timeout?: number, plain?: boolean}
---@return string ...
function Console:expect(pattern, options) end

---Calls fn(bytes) with all output soon after it is printed, on the loop; at the latest before the
---machine's next event, or when the chardev-buffer is deleted. Bytes that were overwritten before fn
---could be called are reported as event "chardev-error".
---@param fn fun(bytes: string)
function Console:feed(fn) end

---At a prompt on a terminal: shows the console there and types what is typed to the guest, until Ctrl-]
---(or Ctrl-a c) comes back to the prompt or the machine has ended. Ctrl-a b sends a break, Ctrl-a h
---lists the keys, Ctrl-a Ctrl-a types Ctrl-a. What the console prints is not taken from read() and
---expect(). Elsewhere it raises {code="unsupported"}.
---```lua
---local ok, err = pcall(m:console().attach, m:console())
---assert(not ok and err.code == "unsupported") -- a script has no terminal
---```
function Console:attach() end

-- ---- events ------------------------------------------------------------------------------------

---@alias lunik.EventName
---| "started"
---| "paused"
---| "resumed"
---| "reset"
---| "suspend"
---| "wakeup"
---| "suspend-disk"
---| "shutdown"
---| "crashed"
---| "powerdown"
---| "error"
---| "acpi-ost"
---| "device-added"
---| "device-deleted"
---| "device-unplug-request"
---| "device-unplug-guest-error"
---| "prealloc-progress"
---| "chardev-error"
---| "chardev-connected"
---| "chardev-disconnected"
---| "netdev-error"
---| "netdev-connected"
---| "netdev-disconnected"
---| "block-io-error"
---| "port-changed"
---| "dump-completed"
---| "vcpu-exit"
---| "msi"
---| "balloon-change"
---| "memory-device-size-change"
---| "guest-panicked"
---| "guest-crashloaded"
---| "watchdog"

---The fields of every event. tostring() and print() show its name and fields.
---@class lunik.Event
---@field [string] any Fields of the particular event; for a script's own event, those given to Machine:emit().
---@field name lunik.EventName|string
---@field machine lunik.Machine
---@field time integer CLOCK_MONOTONIC in ns when it was sent.
---@field vcpu? integer The vCPU whose exit caused it.

---The machine has been started or restarted.
---@class lunik.event.started: lunik.Event

---The machine has been paused: no vCPU runs any more.
---@class lunik.event.paused: lunik.Event

---The machine goes on after a pause.
---@class lunik.event.resumed: lunik.Event

---The state after power-on has been restored.
---@class lunik.event.reset: lunik.Event

---The guest has suspended itself to memory (ACPI S3).
---@class lunik.event.suspend: lunik.Event

---A suspended machine has woken up.
---@class lunik.event.wakeup: lunik.Event
---@field reason "host"|"power-button"|"rtc"|"pm-timer" host: m:wakeup().

---The guest has suspended itself to disk (ACPI S4): event "shutdown" follows.
---@class lunik.event.suspend-disk: lunik.Event

---The run has ended.
---@class lunik.event.shutdown: lunik.Event
---@field reason "guest-shutdown"|"exit-device"|"host-quit"|"reset-failed"
---@field code integer m.exit_code

---An exit that no handler has handled has stopped the machine; its vCPUs can be inspected. Without a
---handler for "crashed" the dump is printed to standard error.
---@class lunik.event.crashed: lunik.Event
---@field vcpu integer
---@field reason string As of "vcpu-exit".
---@field rip integer
---@field detail integer
---@field message string The reason and what the detail means.
---@field dump string Registers and code bytes.

---The power button was pressed.
---@class lunik.event.powerdown: lunik.Event

---A script's function that was called for the machine has raised an error, or a reset has failed; or a
---device has not finished what was in flight when the machine was reset, shut down, started or closed
---(source "reset", "wakeup", "shutdown", "start" or "close"). Without a handler it is printed to standard error.
---@class lunik.event.error: lunik.Event
---@field source string The function or part that failed.
---@field message string
---@field device? string The path of a device that has not finished.
---@field traceback? string

---The guest has answered an event of a memory slot (ACPI _OST).
---@class lunik.event.acpi-ost: lunik.Event
---@field device? string The id of the device in the slot, if there is one.
---@field slot integer
---@field slot_type "DIMM"|"PCI"
---@field bus? integer Of a PCI slot: the number of its bus in the hotplug registers, 0 = the host bridge's.
---@field source integer 1 insertion, 3 eject request, 0x103 ejection, 0x200 insertion in progress.
---@field status integer 0 success, 1 failure, 0x80.. reasons to refuse.

---A device has sent a message-signalled interrupt. Only without KVM, which delivers them itself.
---@class lunik.event.msi: lunik.Event
---@field device string The id of the device, or its path.
---@field address integer
---@field data integer

---The guest has given memory up to the balloon, or taken it back.
---@class lunik.event.balloon-change: lunik.Event
---@field device string The id of the balloon.
---@field actual integer Bytes that the guest has left.
---@field balloon integer Bytes in the balloon.

---The guest has plugged or unplugged blocks of a virtio-mem device.
---@class lunik.event.memory-device-size-change: lunik.Event
---@field device string Its id.
---@field size integer Bytes that are plugged now.
---@field path string Its path.

---The guest has reported through pvpanic that it has panicked; what the machine does then is the
---device's property on-panic.
---@class lunik.event.guest-panicked: lunik.Event
---@field device string The id of the device, or its path.
---@field action "shutdown"|"exit-failure"|"pause"|"reset"|"none"

---The guest has panicked, and its crash kernel takes over.
---@class lunik.event.guest-crashloaded: lunik.Event
---@field device string

---A watchdog has expired; what the machine does then is the device's property action.
---@class lunik.event.watchdog: lunik.Event
---@field device string
---@field action "reset"|"shutdown"|"poweroff"|"pause"|"debug"|"none"|"inject-nmi"

---A device has been added.
---@class lunik.event.device-added: lunik.Event
---@field device? string Its id.
---@field path string
---@field driver string

---A device has been removed; its id, slot and memory backend are free again.
---@class lunik.event.device-deleted: lunik.Event
---@field device? string
---@field path string

---The guest has been asked to release a device.
---@class lunik.event.device-unplug-request: lunik.Event
---@field device? string
---@field path string

---A device stays: its removal has been refused.
---@class lunik.event.device-unplug-guest-error: lunik.Event
---@field device? string
---@field path string
---@field source? integer The source of the guest's _OST.
---@field status? integer The status of the guest's _OST.
---@field reason? string If the guest did not refuse: why the removal failed.

---A memory backend is being preallocated.
---@class lunik.event.prealloc-progress: lunik.Event
---@field object string
---@field done integer Bytes.
---@field total integer

---A character device can't write and drops output; also if it is closed, perhaps with its machine,
---before the reader has taken all of the output. Printed if there is no handler.
---@class lunik.event.chardev-error: lunik.Event
---@field object string
---@field message string

---A request to a disk has failed; at most one a second for each device, but each that stops the machine.
---@class lunik.event.block-io-error: lunik.Event
---@field device string
---@field drive string The back end.
---@field operation string "read", "write", "flush", "discard", "zero"
---@field action "report"|"ignore"|"stop" What was done, by the device's rerror and werror; stop: the machine pauses, and the request is done again when it goes on.
---@field nospace boolean The host has no space for it.
---@field offset integer Bytes.
---@field size integer Bytes.
---@field reason string

---A client has connected to a socket.
---@class lunik.event.chardev-connected: lunik.Event
---@field object string

---The client of a socket has disconnected.
---@class lunik.event.chardev-disconnected: lunik.Event
---@field object string

---A network back end can't do its work, or its peer is wrong.
---@class lunik.event.netdev-error: lunik.Event
---@field object string
---@field message string

---The peer of a netdev-socket is there.
---@class lunik.event.netdev-connected: lunik.Event
---@field object string

---It has gone.
---@class lunik.event.netdev-disconnected: lunik.Event
---@field object string

---The guest's memory has been written to a file (QMP's dump-guest-memory), or writing it has failed.
---@class lunik.event.dump-completed: lunik.Event
---@field status "completed"|"failed"
---@field completed integer Bytes written.
---@field total integer Bytes to write.
---@field error? string What has failed.

---A program of the guest has opened or closed a port of a virtio-serial-pci.
---@class lunik.event.port-changed: lunik.Event
---@field device string The virtconsole or virtserialport.
---@field open boolean

---A vCPU has left the guest for a reason that the library does not handle. Handlers run on its thread,
---may change its registers and inject exceptions, and return "resume" to enter the guest again, "pause"
---to pause the machine, or nil to leave it to the next handler; if no handler returns an action the
---machine stops as crashed. m:wait() can't wait for it.
---@class lunik.event.vcpu-exit: lunik.Event
---@field vcpu lunik.Vcpu
---@field reason "shutdown"|"emulation-failure"|"internal-error"|"fail-entry"|"debug"|"halt"|"run-error"|"dirty-ring-full"|"unknown"
---@field kvm_reason integer KVM_EXIT_*; 0 for a run-error.
---@field detail integer Suberror, hardware reason, DR6 or errno.
---@field rip integer
---@field insn string The instruction's bytes, for an emulation failure.
---@field exception integer For debug: 1 (a step or a breakpoint) or 3 (int3); else 0.

return lunik
