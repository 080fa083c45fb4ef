---@meta lunik
-- The Lua API of Lunik, for editors and readers. spec/library_spec.lua compares it with the live
-- library in both directions.
--
-- Conventions. Sizes, addresses and ports are integers or strings like "512M" and "0x1000", in
-- arguments, options and properties alike. Names of properties may be written with '_' for '-'.
-- 64-bit values are Lua integers: those above 2^63-1 look negative (print them with %x). Failures raise error objects: tables with code ("invalid", "not-found",
-- "exists", "busy", "no-space", "no-memory", "state", "unsupported", "denied", "io", "timeout",
-- "gone", "access", "device", "script"), message and where ("file:line"); tostring() makes "where: message"
-- of them. A call that failed leaves the machine as it was.
--
-- Waiting. Everything that waits (m:wait, watch:wait, console:expect, task:wait, unplug:wait,
-- lunik.sleep) yields in a coroutine made by lunik.spawn and runs the loop elsewhere; in a handler
-- it is an error. m:wait finds an event that has come already if that was after this coroutine last
-- acted on the machine (start, reset, pause, resume, shutdown, powerdown, device_add, device_del,
-- console:write), or, where it has not, after it first waited for the console: so an event that a
-- call causes is found whatever else is waited for before it. Each is found once, and the last 1,000
-- events of a run are kept. m:watch covers the other cases.
--
-- Interrupts. A signal (Ctrl-C, SIGTERM) to the lunik command ends the script, or at the prompt what
-- was typed, also while it waits. A handler or a coroutine of a handler's that does not return within
-- a tenth of a second, on whichever thread, has the error "interrupted!" raised in it; if it catches
-- that, it gets another tenth of a second. A second signal before that ends the process at once.
--
-- Handles. The same thing is always the same userdata. A handle may outlive what it names: using it
-- then raises {code = "gone"}. Collecting a handle neither unplugs, deletes nor stops anything.

---@class lunik
---@field version string The library's version.
---@field SIZE_MAX integer As a region's size: all 2^64 bytes.
local lunik = {}

---A size: bytes, or a string such as "512M", "4G", "0x1000".
---@alias lunik.Size integer|string

---An address, an offset or a port: an integer, or a string such as "4G", "0x100000000".
---@alias lunik.Address integer|string

---A character device in short: "stdio", "pty", "buffer" (kept in memory, see m:console), "null",
---"none" (no device), "file:PATH", "unix:PATH" (a listening socket), a function that is given the
---bytes, {type, properties}, or the id of one that exists. With "stdio", Ctrl-C ends the command; with
---{"chardev-stdio", {signal = false}} the guest gets it, and Ctrl-] ends the command. The prompt reads
---standard input itself, so "stdio" is refused there unless the script has set
---lunik.share_terminal = true.
---@alias lunik.Chardev string|table|function|lunik.Object

---@class lunik.Error
---@field code string
---@field message string
---@field where? string The script's line that called.

---@class lunik.MachineOptions
---@field board? string|lunik.Board A board's name ("pc", "micro"), a file's path, or a board. Default "pc".
---@field accel? "kvm"|"none" "none": no vCPUs; everything else is real. Default "kvm".
---@field name? string For messages and lists. Default: the board's.
---@field cpus? integer Number of vCPUs. Default 1.
---@field sockets? integer
---@field cores? integer Per socket.
---@field threads? integer Per core.
---@field memory? lunik.Size RAM. Default "128M".
---@field maxmem? lunik.Size To what memory may grow by plugging. Nothing can be plugged without slots. Refused when the guest's addresses (m.address_bits) don't reach so far.
---@field slots? integer How many memory devices can be plugged, 0 to 256. Default 0; more need maxmem.
---@field memdev? string The backend (of objects) that is the machine's RAM.
---@field kernel? string ELF with PVH note, multiboot 1 image or bzImage to boot.
---@field initrd? string
---@field cmdline? string The kernel's command line.
---@field modules? string[] Multiboot modules: "path arguments".
---@field firmware? string A flat firmware image that ends at 4 GiB.
---@field serial? lunik.Chardev What the serial port is connected to. Default "none".
---@field objects? table[] {type, properties} of objects made before the board.
---@field devices? table[] {driver, properties} of devices made after the board.
---@field numa? lunik.NumaNode[] The guest's NUMA nodes.
---@field cpu? table CPUID features: "+name", "-name", name = value (family, model, stepping, ...).
---@field clock? "manual" The machine's clock moves by m:advance() alone.
---@field sandbox? boolean|lunik.SandboxPolicy What the process gives up before the machine starts, as by lunik.sandbox(); true: as {}. false: what the lunik command enters by default is not for this machine. A process has one sandbox: only the first start enters it.
---@field dirty_ring? integer KVM reports dirty pages in rings of so many entries, one for each vCPU. A power of two; default none.
---@field drain_timeout? number Seconds that a device has to finish what is in flight before a pause, reset, close or removal. Default 10.
---@field dirty_log? "auto"|"bitmap"|"manual" How KVM reports dirty pages without rings: pages are write-protected again when they are synced ("bitmap") or cleared ("manual"). Default: "manual" where KVM has it.

---A board puts a machine together. It is a Lua file that returns this table (scripts/boards/micro.lua
---is a short one to copy), or the table itself. A name without "/" and ".lua" is one of
---lunik.boards(), everything else a file. The lunik command runs such a file as a machine whose serial
---port is on the terminal: lunik -o memory=1G -o kernel=vmlinux scripts/boards/pc.lua. There tables
---are written as in Lua, booleans are true, on, yes, false, off or no; functions can't be given.
---@class lunik.Board
---@field name? string It also names the machine.
---@field description? string
---@field options? table<string, any> Further options of lunik.machine(): name = default, which tells the kind ("64M" is a size); or name = {kind=, default=, choices=, doc=}; kinds are "size", "address", "integer", "count", "string", "boolean", "function", "table", "seconds", "any".
---@field build fun(m: lunik.Machine, opt: table) Makes the parts. opt: the options, checked: sizes in bytes, defaults filled in, serial the chardev's id or nil. An error closes the machine and comes out of lunik.machine().
---@field finish? fun(m: lunik.Machine, opt: table) Called when the devices that the options name are there: loads the kernel, assembles the tables.

---What boards share: require "lunik.board".
---@class lunik.BoardModule
---@field KiB integer
---@field MiB integer
---@field GiB integer
---@field memory fun(m: lunik.Machine, opt: table): lunik.Bank[], integer Checks memory, memdev, numa, maxmem and slots; makes the backends that opt does not name. Returns the banks in the guest's order, and bytes in all.
---@field map_ram fun(m: lunik.Machine, banks: lunik.Bank[], name: string, offset: lunik.Address, base: lunik.Address, size: lunik.Size) Shows size bytes of the banks, from offset in them all, at guest address base; size 0: nothing.
---@field report_ram fun(m: lunik.Machine, banks: lunik.Bank[], offset: lunik.Address, base: lunik.Address, size: lunik.Size) Reports the same range to the guest as RAM, as m:fwmap_add() does.
---@field check_slots fun(opt: table, memory: integer) Checks maxmem and slots; memory() has done so.
---@field align_up fun(value: integer, to: integer): integer
---@field show fun(size: integer): string "512M"

---@class lunik.Bank
---@field memdev lunik.Object
---@field size integer
---@field node integer

---@class lunik.NumaNode
---@field cpus? integer[] The vCPUs of the node, from 0. Those in no node are in node 0.
---@field memory? lunik.Size
---@field memdev? string The backend that is the node's memory.
---@field distances? integer[] To every node: 10 to itself, 11 to 254 to others, 255 where there is no way. Not given: as far as the others say it is to this node, 20 to nodes that say nothing either.

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

---What a sandboxed process may still do beyond running its machines.
---@class lunik.SandboxPolicy
---@field allow? string[] Of "files" (open, make, change and remove any file, load libraries), "listen" (make Unix domain sockets that others connect to), "sockets" (connect to those of others as well), "network" (Internet sockets), "exec" (start programs, which are in the sandbox too; needs "files"). Default: none.
---@field read? string[] Instead of "files": files and directories that may be read, with all below them. The library adds its own scripts and boards. Needs Landlock (Linux 5.13).
---@field write? string[] The same for reading, writing, making and removing.
---@field default? boolean Adds what the lunik command allows by default: "listen", and the paths that SECURITY.md lists. Needs Landlock; not with "files".
---@field user? string|integer Whom to become, by name or number. /dev/kvm is kept open; the library's files must be readable for it.
---@field group? string|integer Default: the user's own.

---Takes from the process, for good, what it does not need to run machines: no_new_privs, no
---capabilities beyond those that what is allowed needs, a seccomp filter. To be called before a
---machine is started and before the process has threads of its own (luv's workers, say). What is
---not allowed fails with code "denied" or, in io and os, as they do, and says what to allow; calls
---that only an attacker makes (ptrace, mount, bpf, ...) end the process. Handlers that run on a
---vCPU's thread can never start programs or make sockets: lunik.defer() does it on the loop. It is
---entered in 0.3 ms; a guest's exit takes 0.07 us longer, 0.1 where any of "sockets", "network" and
---"exec" is allowed.
---
---Needed later, and how: "ram" and "memfd" backends, their preallocation, timers, further machines:
---nothing. A "file" backend: nothing, if its fd is one that was opened or received before; else
---"files", or its directory in write. chardev-file: "files", or its directory in write. chardev-pty:
---"files", or "/dev/ptmx" and "/dev/pts" in write, which is where other terminals are. chardev-socket:
---"listen", or "sockets" to connect, and the socket's directory in write. os.execute, io.popen:
---"exec" and "files"; programs that run already are waited for without. luv, LuaSocket: "network".
---
---The lunik command enters one when the first machine starts: with default = true, and what the
---modules that have been required by then need: "network", "exec" and all "files" for luv and posix,
---"network" for socket. With "files" root keeps the capabilities that make files of others
---reachable, and those of priorities and limits. What is meant to be otherwise says so before the
---start: lunik.sandbox{...}, lunik.sandbox(false), or the command line's --no-sandbox and
-----sandbox=LIST. Where the kernel has no Landlock all files are allowed; where the host has no
---seccomp, the process has threads of its own or a sanitizer, the machine starts without; option
---W (warnings) reports why. Programs that load the library
---themselves are in none unless they ask for it.
---
---Without arguments: what is allowed, or nil if the process is in none.
---@param policy? lunik.SandboxPolicy|boolean
---@return {allow: string[], paths: boolean}?
function lunik.sandbox(policy) end

---The machines that are not closed, oldest first.
---@return lunik.Machine[]
function lunik.machines() end

---The names of the boards that come with the library.
---@return string[]
function lunik.boards() end

---@class lunik.DeviceDefinition
---@field name string The type's name, for m:device_add().
---@field doc? string
---@field properties? table<string, any> name = default, or name = {kind=, default=, doc=, min=, max=, choices=, required=, live=, link=}; kinds are size, uint, int, bool, enum, string, link, list. Not given, it is that of the default: an integer is a uint, or an int if it is negative. Values of size and uint may be strings such as "4K". live: may be set later.
---@field ports? lunik.DeviceRegion|lunik.DeviceRegion[] I/O ports up to 0xffff, there while the device is.
---@field mmio? lunik.DeviceRegion|lunik.DeviceRegion[] The same in memory.
---@field realize? fun(dev: lunik.Dev) The device is being made; an error refuses. What it maps shows when it has returned: all of it in one transaction.
---@field unrealize? fun(dev: lunik.Dev) It goes. When its machine is closed only its table is left.
---@field reset? fun(dev: lunik.Dev) Power-on state.
---@field run_state? fun(dev: lunik.Dev, running: boolean) vCPUs are about to run, or have stopped.
---@field drain? fun(dev: lunik.Dev, done: fun()) Take no new work, and call done when nothing is in flight any more: at once, or later from a timer, an event handler or a coroutine. See Machine:drain. Called again, done does nothing. A device whose drain raises an error, which is reported, or that has lost its done counts as finished.
---@field undrain? fun(dev: lunik.Dev) Take new work again, beginning with what has come meanwhile.
---@field unplug? fun(dev: lunik.Dev) m:device_del(): answer with dev:eject() or dev:refuse(). Without it the device goes at once.
---@field hotplug? boolean May be added to a started machine. Default true.

---A device's ports or registers. Where something else is already the device is refused, unless
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
---@field priority? integer Of what overlaps the higher one shows. Default 0, the builtin devices'.
---@field overlap? boolean May cover what has the same priority.

---Defines a device type. Defined again, a name stands for the new type in devices made from then on;
---those that exist keep theirs. The library's own types can't be replaced. A type's functions
---run under the machine lock, on the thread of the vCPU whose access they handle.
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

---Waits.
---@param seconds number
function lunik.sleep(seconds) end

---Calls fn soon, from the loop: for what a handler must not do, such as closing its machine.
---@param fn function
function lunik.defer(fn) end

---Runs the loop: until lunik.stop() or no machine runs and no timer is set ("default"), until
---something has happened ("once"), or without waiting ("nowait"). Returns whether more may happen.
---@param mode? "default"|"once"|"nowait"
---@return boolean more
function lunik.run(mode) end

---Makes lunik.run() return, or the wait that runs the loop fail.
function lunik.stop() end

---Closes every machine and ends the process. Only in the lunik command.
---@param code? integer
function lunik.exit(code) end

---Seconds of real time since the library was loaded.
---@return number
function lunik.now() end

---Calls fn(access) for every rejected access of every machine, also of those made later. See
---Machine:on_rejected.
---@param fn fun(access: lunik.Rejection)
---@return lunik.Subscription
function lunik.on_rejected(fn) end

---Writes a line for every rejected access of every machine, also of those made later, but at most
---limit (default 20) lines a second; what is left out is counted. write: default standard error. The
---command's option "-d rejected" does this.
---@param options? {limit?: integer, write?: fun(line: string)}
---@return lunik.Subscription
function lunik.log_rejected(options) end

---Calls fn for that event ("*": any) of every machine, also of those made later.
---@param event lunik.EventName
---@param fn fun(ev: lunik.Event)
---@return lunik.Subscription
function lunik.on(event, fn) end

---Sets the function that is called for errors that can be raised to no caller: of a handler on a
---machine without "error" handlers; of a coroutine that is not waited for by the loop's next turn, or
---a second later while other coroutines are waited for. nil: they are printed to standard error. A
---message has no zero bytes ("\\0" instead), and names the type of a value that has no text.
---@param fn? fun(message: string, traceback: string?, source: string, machine: lunik.Machine?)
function lunik.on_error(fn) end

---The names of all types.
---@return string[]
function lunik.types() end

---@class lunik.Type
---@field name string
---@field parent? string
---@field doc string
---@field abstract boolean Only a parent for others.
---@field device boolean For device_add; else for object_add.
---@field hotplug boolean May be added to a started machine.
---@field unplug boolean May be removed from one.
---@field props lunik.Property[] Inherited ones first.

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

---A size as a number of bytes.
---@param size lunik.Size
---@return integer
function lunik.size(size) end

---The one of the names that a misspelt name most likely means.
---@param name string
---@param names string[]
---@return string?
function lunik.suggest(name, names) end

---An error object, for error().
---@param code string
---@param message string
---@return lunik.Error
function lunik.error(code, message) end

---Lets luv's loop drive Lunik's, so that uv.run() serves both and waits serve luv. To be called once,
---before either runs: without it lunik.run(), waits and the end of a script leave luv's timers and
---sockets alone.
---@param uv? table The luv module; without it, it is required.
function lunik.use_luv(uv) end

-- ---- machines ----------------------------------------------------------------------------------

---@class lunik.Machine
---@field name string
---@field state "created"|"running"|"paused"|"shutdown"|"crashed"|"closed"
---@field accel "kvm"|"none"
---@field address_bits integer Bits of a physical address that the guest's processors have: with KVM the host's, else 52.
---@field exit_code integer What the run ended with; 0 before.
---@field memory lunik.Space The guest's physical memory.
---@field io lunik.Space The guest's I/O ports.
---@field stats {memslots: integer, max_memslots: integer, holds: integer} KVM's memslots, 0 without KVM. holds: commits that kept the vCPUs out of the guest for a moment, since they replaced a memslot at addresses that stayed mapped, or one whose log was open.
local Machine = {}

---Starts a created machine (after a reset), resumes a paused one, starts a stopped one anew (not from
---a vCPU's handler: use lunik.defer there). Where devices have something in flight from the last run
---it waits for them as a reset does. An error of code "state" in an on_reset function, inside a
---transaction and in a listener's functions.
---@return lunik.Machine self
function Machine:start() end

---Returns when no vCPU is in the guest any more, devices have finished what was in flight, and clocks
---stand still, all of them together: the machine's, by which the PM timer, m:timer() and, unless it follows the host's, the RTC count, and
---KVM's, which are kvmclock, the PIT, the local APICs' timers and the TSCs (those from Linux 5.16
---on). The same holds while the machine is shut down or has crashed. The guest's kvmclock says that
---it was stopped. From a vCPU's handler: soon after that has returned.
---
---It waits for devices that have something in flight (see Machine:drain); when one has not finished
---within the machine's drain_timeout it raises {code="timeout"}, and the machine runs on. In a handler,
---which can't wait, it returns at once then, and takes effect when they have finished: event "paused",
---or "error" with source "pause".
function Machine:pause() end

---Has all devices finish what is in flight and take no new work until the drain is closed: for what
---must see them at rest. vCPUs go on; what they ask of a device waits. Waits as m:pause() does, and
---raises {code="timeout"} if a device has not finished within the machine's drain_timeout: devices then
---go on. Devices are drained as well before the machine is paused, reset, shut down or closed, and a
---device is before it is removed. Not in a handler.
---```lua
---local drain = m:drain()
---assert(tostring(drain):find "held") -- nothing is in flight here
---drain:close()
---```
---@return lunik.Drain
function Machine:drain() end

---Devices at rest.
---@class lunik.Drain
---@field machine lunik.Machine
local Drain = {}

---Lets the devices go on, unless there are other drains or the machine is paused. Does nothing the
---second time; also called for a <close> variable.
function Drain:close() end

---Resumes a paused machine.
function Machine:resume() end

---Restores the state after power-on. From a vCPU's handler: once that has returned. What a reset
---leaves: memory, the machine check banks of the vCPUs, and lines that are held high, which the
---interrupt controllers see again.
---
---It waits for devices as m:pause() does, but goes on without those that have not finished within the
---machine's drain_timeout, with an event "error" of source "reset" for each.
---
---A system that is gone can't answer: a removal that it was asked for is completed (the device is
---ejected, its handle says "ejected"), and memory that was plugged and not taken yet is there for the
---next one from the start, without an insert event. QEMU keeps both waiting for the next system.
function Machine:reset() end

---Ends the run: event "shutdown" with reason "host-quit".
---@param code? integer The exit code, 0 to 255.
function Machine:shutdown(code) end

---Presses the power button.
function Machine:powerdown() end

---Stops it and frees everything. Devices finish what is in flight first, as for a reset (source
---"close"); a handler, which can't wait for that, has the machine closed soon after. What the guest has
---written goes out first: functions are called for the last time, files are complete. Where a pipe's reader is slow ("file:FIFO", "stdio") it is
---waited for, up to a second without progress and five in all; other machines run meanwhile. Only
---for standard output, and where there is no other machine, the wait ends with the reader or with a
---signal. Sockets and terminals get what they take at once. The event "chardev-error" reports what is
---lost. os.exit(), and in the command SIGINT and SIGTERM, close all machines before they end the
---process. Also called for a <close> variable. Not from a handler of one of its devices or vCPUs, nor from a finalizer: use
---lunik.defer there.
function Machine:close() end

---Calls fn(event) for every event of that name ("*": all). In order of subscription, on the loop;
---"vcpu-exit" on the vCPU's thread. What it raises is reported as event "error".
---@param event lunik.EventName|string
---@param fn fun(event: lunik.Event)
---@return lunik.Subscription
function Machine:on(event, fn) end

---The same, for the first one only.
---@param event lunik.EventName|string
---@param fn fun(event: lunik.Event)
---@return lunik.Subscription
function Machine:once(event, fn) end

---Waits for one of the events whose fields are as given; timeout is in seconds. Raises
---{code="timeout"}, and {code="state"} if the machine stops for good meanwhile. "shutdown" and
---"crashed" are found even if they came before, other events if they came since this coroutine acted
---on the machine (see "Waiting" above) and m:wait has not given them to it yet.
---```lua
---m:start()
---lunik.spawn(function() m:shutdown(3) end)
---assert(m:wait("shutdown", { timeout = 5 }).reason == "host-quit" and m.exit_code == 3)
---```
---@param events string|string[]
---@param filter? table {field = value, timeout = seconds}
---@return lunik.Event
function Machine:wait(events, filter) end

---Collects matching events from now on, so that none is missed. With a filter, an event costs no more
---for watches and waits whose values it does not have. Handlers (m:on) are called first.
---```lua
---local watch <close> = m:watch("tick")
---for i = 1, 3 do m:emit("tick", { number = i }) end
---assert(watch:wait().number == 1 and watch:wait().number == 2)
---```
---@param events string|string[]
---@param filter? table
---@return lunik.Watch
function Machine:watch(events, filter) end

---Sends an event of the script's own. Fields are integers, strings and booleans: no fractions, which
---may be sent as a string, and no tables.
---@param event string
---@param fields? table
function Machine:emit(event, fields) end

---Calls fn(gsi, level) whenever an interrupt line changes, on the thread that changed it.
---@param fn fun(gsi: integer, level: boolean)
---@return lunik.Subscription
function Machine:on_irq(fn) end

---Calls fn() at the end of every reset, before vCPUs run.
---@param fn fun()
---@return lunik.Subscription
function Machine:on_reset(fn) end

---Calls fn(access) for every access of a vCPU, a device or a script that is rejected: nothing is
---there, or the region does not take it, or a device refuses it. It is called where the access is
---made, for a vCPU on its thread while it waits, so that nothing piles up; tostring(access) is a line
---of text. What fn's own accesses come to is only counted (stats of spaces and regions). In a
---cut access (by borders, or to suit a device) each part that fails is told.
---```lua
---local seen
---m:on_rejected(function(access) seen = access end)
---assert(m:inb(0x999) == 0xff) -- as on the bus
---assert(seen.why == "unassigned" and seen.address == 0x999)
---```
---@param fn fun(access: lunik.Rejection)
---@return lunik.Subscription
function Machine:on_rejected(fn) end

---Makes an object that is no device: a memory backend, a character device.
---@param type string
---@param properties table id is mandatory.
---@return lunik.Object
function Machine:object_add(type, properties) end

---Deletes an object that is not in use.
---@param object string|lunik.Object
function Machine:object_del(object) end

---Makes and plugs a device.
---```lua
---m:object_add("memory-backend-memfd", { id = "mem1", size = "128M", share = true })
---local dimm = m:device_add("pc-dimm", { id = "dimm1", memdev = "mem1" })
---assert(dimm.slot == 0 and dimm.addr == 0x100000000)
---```
---@param driver string
---@param properties? table
---@return lunik.Object
function Machine:device_add(driver, properties) end

---Asks for the removal of a device: at once if no guest has to agree, else when the guest ejects it.
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

---The object or device of that id or path, or nil.
---@param id string
---@return lunik.Object?
function Machine:object(id) end

---All objects and devices in order of creation.
---@return lunik.Object[]
function Machine:objects() end

---Makes a character device; nil for "none". Its output is buffered, but goes out before the handlers
---of the machine's next event are called: a function (or a file) has had all that was printed before
---"shutdown" or "crashed" by then.
---@param spec lunik.Chardev
---@param id? string Default "chardev".
---@return lunik.Object?
function Machine:chardev(spec, id) end

---The program's end of the serial port (serial = "buffer" or a function), or of a chardev-buffer.
---@param chardev? string|lunik.Object
---@return lunik.Console
function Machine:console(chardev) end

---@class lunik.RegionOptions
---@field kind "container"|"ram"|"rom"|"rom-device"|"io"|"alias"|"reserved"
---@field name? string
---@field size? lunik.Size RAM and ROM: the backend's by default.
---@field memdev? string|lunik.Object ram, rom, rom-device: the backend.
---@field ram_offset? lunik.Address Where in the backend the region starts.
---@field fd? integer Instead of memdev: a file to map size bytes of; the descriptor is duplicated.
---@field fd_offset? lunik.Address Where in that file the RAM starts.
---@field share? boolean fd: whether writes reach the file; default true.
---@field host? lightuserdata Instead of memdev: an existing mapping of size bytes. It must stay until the machine is closed.
---@field target? lunik.Region alias: into what it is a window.
---@field offset? lunik.Address alias: where in the target the window starts.
---@field readonly? boolean alias: show RAM as ROM.
---@field nonvolatile? boolean
---@field owner? string|lunik.Object Before that is removed the region is disabled.
---@field read? fun(offset: integer, size: integer): integer?, string? nil, or nil and "device": the device refuses; nil and "access": nothing is at that offset. All ones are read then. Without a function there is nothing to be read.
---@field write? fun(offset: integer, size: integer, value: integer): boolean?, string? false refuses, with "device" or "access" as for read. Without a function there is nothing to be written.
---@field peek? fun(offset: integer, size: integer): integer?, string? As read, without side effects: where writes smaller than impl.min get the other bytes from. Not given: from read; with neither, zeros.
---@field valid? lunik.AccessRules What the guest may use; nothing is there for other accesses.
---@field impl? lunik.AccessRules What the functions take; accesses are split and widened to it.
---@field endian? "little"|"big"

---@class lunik.AccessRules
---@field min? 1|2|4|8 Bytes.
---@field max? 1|2|4|8
---@field unaligned? boolean

---Makes a memory region; it shows once it is added to a container of an address space.
---```lua
---local id = m:region {
---  kind = "io", name = "id", size = 4, read = function(offset) return 0xa0 + offset end,
---  impl = { max = 1 }, -- wider reads are put together
---}
---m.memory.root:add(id, "3G")
---assert(m.memory:get("u32", "3G") == 0xa3a2a1a0)
---```
---@param options lunik.RegionOptions
---@return lunik.Region
function Machine:region(options) end

---Calls fn(...); what it changes takes effect at once when it returns: one pass of listeners, one
---interrupt for all devices. When it raises, or a listener refuses, all is taken back: changes of the
---memory map, values of properties, and what object_add and device_add made, newest first. Deletions
---and requests to the guest wait for the end, and so does m:pause() or m:reset(). Returns fn's
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

---The memory map as a drawing: what each address space shows, by kind, with holes, memory slots,
---ioeventfds and coalesced ranges. format: "svg", or "text" for the terminal; a file whose name ends
---in .svg gets the first.
---@param options? {format?: "text"|"svg", file?: string}
---@return string drawing
function Machine:memory_map(options) end

---Hooks are functions of a section unless it says otherwise. What they raise is reported (event
---"error"); only commit and log_global_start can refuse, by raising or returning an error. None may
---change the memory map or open a transaction; m:pause() and m:reset() wait until they have returned.
---@class lunik.ListenOptions
---@field name? string
---@field priority? integer Added to in ascending order, taken from in descending order.
---@field space? lunik.Space Only this one; default: all.
---@field begin? fun(cause: lunik.Cause?) First of a change; cause: what opened the transaction.
---@field region_add? fun(section: lunik.Section)
---@field region_del? fun(section: lunik.Section)
---@field region_nop? fun(section: lunik.Section) Stays as it is where something might have changed.
---@field commit? fun(cause: lunik.Cause?): any Last of a change. A refusal takes the change back: all hooks run again in reverse.
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

---Follows the memory map. The new listener is told first of all that there is, as if it were just
---added. A change is told between begin and commit, before it takes effect: what goes, listeners in
---descending priority, then what comes, in ascending priority, each by ascending address.
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

---The memory map as text, as QEMU's "info mtree" shows it: the tree of regions below each address
---space, or what the spaces show. With KVM the interrupt controllers and the timer, which it does
---itself, are in it ("kvm-ioapic", ...), and hide what else is put there.
---@param options? {flat?: boolean, owner?: boolean, disabled?: boolean} flat: what the spaces show; "KVM" marks what has a memslot. disabled: also disabled regions.
---@return string
function Machine:mtree(options) end

---A handle on dirty pages of all memory, of a region, or of an object (a backend, or a DIMM).
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
---result's rate is the sum of those of its blocks, but with "dirty-ring" that of its vCPUs: a page
---that several of them write, or one of them again after a sync, counts each time there, and once in
---its block, which also counts what devices and scripts write.
---@param options? {seconds?: number, mode?: "page-sampling"|"dirty-bitmap"|"dirty-ring", sample_pages?: integer}
---@return {mode: string, seconds: number, rate: number, blocks: {name: string, size: integer, rate: number, pages?: integer, sampled?: integer, changed?: integer}[], vcpus?: {index: integer, pages: integer, rate: number}[]}
function Machine:dirty_rate(options) end

---What is plugged into memory slots, by address: {type=, data={id=, addr=, size=, slot=, node=,
---memdev=, hotplugged=, hotpluggable=}}.
---@return table[]
function Machine:memory_devices() end

---Reads guest memory: m.memory:read().
---@param address lunik.Address
---@param length lunik.Size
---@return string
function Machine:read(address, length) end

---Writes guest memory: m.memory:write().
---@param address lunik.Address
---@param data string
function Machine:write(address, data) end

---One access to guest memory: m.memory:load().
---@param address lunik.Address
---@param size 1|2|4|8
---@return integer
function Machine:load(address, size) end

---One access to guest memory: m.memory:store().
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

---What led to the last change of the memory map at an address.
---```lua
---m:object_add("memory-backend-ram", { id = "mem1", size = "128M" })
---local dimm = m:device_add("pc-dimm", { id = "dimm1", memdev = "mem1" })
---assert(m:why(dimm.addr).text:find("device_add dimm1 (pc-dimm)", 1, true))
---```
---@param address lunik.Address
---@return lunik.Cause?
function Machine:why(address) end

---Reads a byte from a port. As on the bus a read that no device answers is all ones; the second result
---is then "access", or "device" if a device refuses.
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

---Writes a byte to a port. A write that no device takes is dropped; the result is then "access", or "device" if
---a device refuses.
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

---A new source of an interrupt line (0 to 23); the line is high while any of its sources is.
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

---Whether an interrupt line is high.
---@param gsi integer
---@return boolean
function Machine:irq_level(gsi) end

---How often an interrupt line has risen.
---@param gsi integer
---@return integer
function Machine:irq_count(gsi) end

---A one-shot timer on the machine's clock, idle at first.
---@param fn fun()
---@return lunik.Timer
function Machine:timer(fn) end

---Nanoseconds of machine time; it stands still while the machine does not run.
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

---The vCPUs.
---@return lunik.Vcpu[]
function Machine:cpus() end

---A vCPU by its index, from 0.
---@param index integer
---@return lunik.Vcpu
function Machine:cpu(index) end

---Declares a range of the memory map that firmware would report.
---@param range {base: lunik.Address, size: lunik.Size, type?: "ram"|"reserved"|"acpi"|"hotplug", node?: integer}
function Machine:fwmap_add(range) end

---The ranges declared.
---@return table[]
function Machine:fwmap() end

---Puts data into guest memory now and at every reset.
---@param name string
---@param address lunik.Address
---@param data string
function Machine:rom_add(name, address, data) end

---Loads a kernel to boot directly.
---@param options {kernel: string, initrd?: string, cmdline?: string, modules?: string[], rsdp?: lunik.Address}
function Machine:boot_kernel(options) end

---Maps a flat firmware image so that it ends at 4 GiB; vCPUs start in it.
---@param path string
function Machine:boot_firmware(path) end

---Assembles the ACPI tables and puts them into guest memory at every reset.
---@return integer rsdp The RSDP's guest address.
function Machine:acpi_install() end

---An ACPI table as it was assembled.
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
---@field dev? lunik.Dev Of a device that lunik.device() defined: its functions' dev, with its own fields.
---@field state? "plugged"|"requested"|"draining"|"refused"|"ejected" Of a device: where it is on its way out.
local Object = {}

---The value of a property.
---@param property string
---@return any
function Object:get(property) end

---Sets a property that may be set after creation. nil cuts a link.
---@param property string
---@param value any
function Object:set(property, value) end

---Whether its type is, descends from or implements that.
---@param type string
---@return boolean
function Object:is(type) end

---A removal under way.
---@class lunik.Unplug
---@field device string Its id, or path.
---@field object lunik.Object
---@field machine lunik.Machine
---@field state "requested"|"draining"|"refused"|"ejected" draining: it goes when it has finished what is in flight.
---@field source? integer After the guest's refusal: its _OST source.
---@field status? integer And status.
---@field reason? string After another refusal.
local Unplug = {}

---Waits until the device is gone. Raises {code="busy"} if the guest refuses or the device does not
---finish within the machine's drain_timeout, and {code="timeout"} if there is no answer; the request
---then stands.
---@param options? {timeout?: number}
---@return "ejected"
function Unplug:wait(options) end

-- ---- memory ------------------------------------------------------------------------------------

---A memory region. size, offset, alias_offset, priority, enabled, readonly and romd can be set, the
---other fields only read. What is set is not checked for overlaps, as Region:add() does.
---@class lunik.Region
---@field name string
---@field kind string
---@field size integer lunik.SIZE_MAX for 2^64. What ends beyond its container is cut off there.
---@field offset integer In its container.
---@field target? lunik.Region Of an alias.
---@field host? lightuserdata Where its RAM is in this process: for C modules, as long as the region is there.
---@field alias_offset integer Of an alias: where in its target the window starts.
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
---one added later; without overlap = true an overlap of equal priority is an error (but with a
---disabled sibling that was added with overlap). In m.io.root a region has to end at port 0xffff.
---@param child lunik.Region
---@param offset lunik.Address
---@param options? {priority?: integer, overlap?: boolean}
---@return lunik.Region child
function Region:add(child, offset, options) end

---Takes child out.
---@param child lunik.Region
function Region:del(child) end

---Has writes to a register signal an eventfd instead of calling write(): KVM does so without an
---exit. It follows the region through the memory map. fn runs from the loop, with how many writes
---there were since the last time; without one read the handle's fd.
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

---Lets KVM collect writes to a range, by default all of the region: write() gets them later, in
---order, before the guest exits for anything else, and before anything is read or the map changes.
---@param offset? lunik.Address
---@param size? lunik.Size
function Region:coalesce(offset, size) end

---Ends that for all of the region.
function Region:uncoalesce() end

---An eventfd that writes to a register signal. It stays until it is closed, or its machine is.
---@class lunik.Ioeventfd
---@field fd integer Non-blocking; closed with the handle.
local Ioeventfd = {}

---Gives the register back to write(). In m:transaction() it waits for the commit, but another
---ioeventfd may take its place there.
function Ioeventfd:close() end

---An address space. An address or offset is the bits of any integer, so that 0xffffffff00000000 (to
---Lua a negative number) is one; or a string such as "4G".
---@class lunik.Space
---@field stats {rejected: integer, unassigned: integer} Rejected accesses, among them those to where nothing is.
---@field name string
---@field root lunik.Region
local Space = {}

---Reads any length, RAM and devices alike. Raises {code="access"} if nothing takes some part of it,
---else {code="device"} if a device refuses some part; writes have been made to all other parts.
---@param address lunik.Address
---@param length lunik.Size
---@return string
function Space:read(address, length) end

---Writes any length, RAM and devices alike; raises as read() does.
---@param address lunik.Address
---@param data string
function Space:write(address, data) end

---One access, as a vCPU makes it. Raises as read() does: {code="access"} if nothing is there, or not
---for this size, alignment or direction, {code="device"} if a device refuses it.
---@param address lunik.Address
---@param size 1|2|4|8
---@return integer
function Space:load(address, size) end

---One access, as a vCPU makes it. Raises as load() does.
---@param address lunik.Address
---@param size 1|2|4|8
---@param value integer
function Space:store(address, size, value) end

---What is at an address.
---@param address lunik.Address
---@return lunik.Section?
function Space:find(address) end

---What led to the last change at an address, to what shows there now or to nothing showing; nil if
---that is not known.
---@param address lunik.Address
---@return lunik.Cause?
function Space:why(address) end

---An action that changed the memory map, and the action that led to it.
---@class lunik.Cause
---@field text string All of it in a line.
---@field action "device_add"|"device_del"|"object_add"|"object_del"|"set"|"read"|"write"|"reset"|"script"
---@field name? string The object, the region accessed, or a script's file:line.
---@field detail? string The object's type, the property, or "port" or "address".
---@field vcpu? integer Whose access it was; nil: this process's own.
---@field address? integer Of an access, as size and value.
---@field size? integer
---@field value? integer
---@field by? lunik.Cause

---An access that was rejected. As lunik.Cause: action "read" or "write", address, size, value (of a
---write of at most 8 bytes), vcpu, by (what it was a part of, e.g. a write to a register of the device
---that made it) and text.
---@class lunik.Rejection: lunik.Cause
---@field machine lunik.Machine
---@field space lunik.Space
---@field region? lunik.Region nil: nothing is there.
---@field offset? integer In the region.
---@field why "unassigned"|"size"|"alignment"|"readonly"|"writeonly"|"undecoded"|"device"|"nesting"
---@field code "access"|"device" What a script that made it gets.

---Whether a section still shows all of it where it did.
---@param section {region: lunik.Region, address: lunik.Address, offset: lunik.Address, size: lunik.Size}
---@return boolean
function Space:shows(section) end

---Writes one byte everywhere.
---@param address lunik.Address
---@param length lunik.Size
---@param byte? integer 0 to 255; default 0.
function Space:fill(address, length, byte) end

---A hash of what read() would give: XXH64 (seed 0) as an integer, or SHA-256 in hexadecimal. The
---first part that can't be read ends it.
---@param address lunik.Address
---@param length lunik.Size
---@param kind? "xxh64"|"sha256"
---@return integer|string
function Space:hash(address, length, kind) end

---The first address at which bytes lie in RAM, across the borders of regions. Devices are not read.
---mask: bits that have to be equal; hex = true: bytes are digits like "48 8b ?? 05".
---```lua
---m:write(0x12345, "\x48\x8b\x77\x05")
---assert(m.memory:search("48 8b ?? 05", { hex = true }) == 0x12345)
---```
---@param bytes string
---@param options? {from?: lunik.Address, length?: lunik.Size, align?: lunik.Size, mask?: string, hex?: boolean}
---@return integer? address
function Space:search(bytes, options) end

---What search() calls.
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

---One value, by one access as a vCPU makes it.
---@param type lunik.ValueType
---@param address lunik.Address
---@return number
function Space:get(type, address) end

---Writes one value, by one access as a vCPU makes it.
---@param type lunik.ValueType
---@param address lunik.Address
---@param value number
function Space:set(type, address, value) end

---The zero-terminated string at address; nil, and what there is, if it does not end within max.
---@param address lunik.Address
---@param max? lunik.Size Default 4096.
---@return string?, string?
function Space:string(address, max) end

---An array of values: view[1] to view[#view] read and write them; other indexes raise. Use
---ipairs(view:values()), which reads all at once, to go through them.
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

---A part of one region's RAM, with bounds; by default all that shows from address on. It holds no
---memory: once the region is not there any more, using the mapping raises {code="gone"}.
---@param address lunik.Address
---@param length? lunik.Size
---@return lunik.Mapping
function Space:map(address, length) end

---@class lunik.View
---@field type lunik.ValueType
---@field [integer] number
local View = {}

---All values, read at once.
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

---Reads bytes. As all methods of a mapping it raises {code="invalid"} beyond its bounds.
---@param offset lunik.Address
---@param length lunik.Size
---@return string
function Mapping:read(offset, length) end

---Writes bytes.
---@param offset lunik.Address
---@param data string
function Mapping:write(offset, data) end

---Writes one byte everywhere.
---@param offset lunik.Address
---@param length lunik.Size
---@param byte? integer
function Mapping:fill(offset, length, byte) end

---A hash of the bytes, by default of all: see Space:hash.
---@param offset? lunik.Address
---@param length? lunik.Size
---@param kind? "xxh64"|"sha256"
---@return integer|string
function Mapping:hash(offset, length, kind) end

---One value.
---@param type lunik.ValueType
---@param offset lunik.Address
---@return number
function Mapping:get(type, offset) end

---Writes one value.
---@param type lunik.ValueType
---@param offset lunik.Address
---@param value number
function Mapping:set(type, offset, value) end

---The zero-terminated string at an offset: see Space:string.
---@param offset lunik.Address
---@param max? lunik.Size Default: to the end.
---@return string?, string?
function Mapping:string(offset, max) end

---An array of values: see Space:view.
---@param type lunik.ValueType
---@param offset lunik.Address
---@param count integer
---@return lunik.View
function Mapping:view(type, offset, count) end

---Ends it; also at the end of a <close> variable's scope.
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
---@field fd? integer The file that holds its memory. Not to be closed.
---@field fd_offset? integer Where in that file it starts.
---@field cause? lunik.Cause In a listener: why it comes or goes. Else as why() says.

---A listener of the memory map; it stays until it is removed, or its machine is closed.
---@class lunik.Listener
---@field name? string nil once it is removed.
---@field priority integer
---@field active boolean
local Listener = {}

---Calls region_del (and what else undoes its view) for everything there is, then no more. In a hook:
---just no more.
function Listener:remove() end
-- ---- dirty pages --------------------------------------------------------------------------------

---The pages of 4 KiB that have been written since they were last cleared. Each client ("migration",
---"display", "user") has bits of its own; handles of the same client share them.
---@class lunik.Dirty
---@field active boolean It has been started, and the machine is not closed.
---@field client string
local Dirty = {}

---Logs writes from now on; the client's bits start clear. The handle stays alive until stop().
---@return lunik.Dirty
function Dirty:start() end

---Ends it and drops the bits. "local d <close> = ..." also does this.
function Dirty:stop() end

---Collects what was written until now: the number of dirty pages.
---@return integer
function Dirty:sync() end

---The number of dirty pages as of the last sync().
---@return integer
function Dirty:count() end

---The RAM blocks with the number of their dirty pages: those mapped, and those that were and still
---have some.
---@return {name: string, size: integer, pages: integer}[]
function Dirty:blocks() end

---Iterates over the dirty pages: for block, offset in d:pages() do ... end. Pages may be cleared
---meanwhile.
---@return fun(): string?, integer?
function Dirty:pages() end

---Iterates over runs of dirty pages: for block, offset, size in d:ranges() do ... end.
---@return fun(): string?, integer?, integer?
function Dirty:ranges() end

---Clears bits: all of them, or a block's, or those of a part of a block. Returns how many were set.
---What is read from these pages afterwards is at least as new as the writes that were cleared.
---@param block? string
---@param offset? lunik.Address
---@param size? lunik.Size
---@return integer
function Dirty:clear(block, offset, size) end

-- ---- vCPUs, interrupts, timers -----------------------------------------------------------------

---@class lunik.Vcpu
---@field index integer From 0.
---@field stats {exits: integer, io: integer, mmio: integer, interrupted: integer, dirtied: integer, other: integer} dirtied: pages that its dirty ring has reported.
local Vcpu = {}

---A register: "rax".."r15", "rip", "rflags", "cs", "cs.base", "cr0", "efer", "gdt.base", ...
---@param name string
---@return integer
function Vcpu:reg(name) end

---Sets a register.
---@param name string
---@param value integer
function Vcpu:set_reg(name, value) end

---All registers: name = value.
---@return table<string, integer>
function Vcpu:regs() end

---A model-specific register.
---@param index integer
---@return integer
function Vcpu:msr(index) end

---Sets a model-specific register.
---@param index integer
---@param value integer
function Vcpu:set_msr(index, value) end

---Queues an exception for the next entry into the guest.
---@param vector integer 0 to 31
---@param error? integer Its error code.
function Vcpu:inject_exception(vector, error) end

---Queues an external interrupt, past the interrupt controllers.
---@param vector integer 0 to 255
function Vcpu:inject_interrupt(vector) end

---Queues an NMI.
function Vcpu:nmi() end

---Registers and the bytes at rip as readable lines.
---@return string
function Vcpu:dump() end

---Single-stepping and up to four execution breakpoints (linear addresses); hits are "vcpu-exit"
---events with reason "debug". Without an argument: off.
---@param options? {step?: boolean, breakpoints?: lunik.Address[]}
function Vcpu:debug(options) end

---@class lunik.Irq
---@field gsi integer
---@field level boolean
local Irq = {}

---Raises or lowers it.
---@param level boolean
function Irq:set(level) end

---High and low again.
function Irq:pulse() end

---Lowers and disconnects it. A source that is high stays so when its handle is collected.
function Irq:close() end

---A timer on a machine's clock.
---@class lunik.Timer
local Timer = {}

---Fires that many nanoseconds of machine time from now; replaces an earlier setting.
---@param ns integer
function Timer:set(ns) end

---Does nothing if it is not set.
function Timer:cancel() end

-- ---- devices defined by scripts ----------------------------------------------------------------

---An instance of a device that lunik.device() defined. Further fields are the device's own; scripts
---reach them through m:object(id).dev.
---@class lunik.Dev
---@field [string] any The device's own.
---@field object lunik.Object
---@field machine lunik.Machine
---@field id string
---@field props table Its properties by name.
local Dev = {}

---Adds I/O ports.
---@param region lunik.DeviceRegion
---@return lunik.Region
function Dev:ports(region) end

---Adds memory-mapped registers.
---@param region lunik.DeviceRegion
---@return lunik.Region
function Dev:mmio(region) end

---A source of an interrupt line; it goes with the device.
---@param gsi integer
---@return lunik.Irq
function Dev:irq(gsi) end

---A timer on the machine's clock that calls fn(dev); it goes with the device.
---@param fn fun(dev: lunik.Dev)
---@return lunik.Timer
function Dev:timer(fn) end

---Sends an event with the device's id in field device.
---@param event string
---@param fields? table
function Dev:emit(event, fields) end

---Answers an unplug request: the device goes.
function Dev:eject() end

---Answers an unplug request: the device stays.
---@param source? integer
---@param status? integer
function Dev:refuse(source, status) end

-- ---- waiting -----------------------------------------------------------------------------------

---@class lunik.Subscription
local Subscription = {}

---Ends it; also at the end of a <close> variable's scope.
function Subscription:off() end

---Events collected by m:watch().
---@class lunik.Watch
---@field machine lunik.Machine
local Watch = {}

---Takes the oldest event collected; waits if there is none.
---@param options? {timeout?: number}
---@return lunik.Event
function Watch:wait(options) end

---Takes the oldest event collected, if there is one.
---@return lunik.Event?
function Watch:poll() end

---Stops collecting; also at the end of a <close> variable's scope.
function Watch:off() end

---A coroutine made by lunik.spawn().
---@class lunik.Task
---@field done boolean It has ended: its function has returned or raised an error, it was cancelled, or
---other code has closed its coroutine. Other code that resumes it does not end a wait in it.
---@field ok? boolean Once done: it did not raise an error.
local Task = {}

---Waits until it has ended; returns what its function returned, or raises what it raised, which is
---then not reported. Raises {code="timeout"}, and {code="state"} if other code has closed it.
---@param options? {timeout?: number}
function Task:wait(options) end

---Ends a waiting coroutine where it stands.
function Task:cancel() end

---The program's end of a serial port. Output is kept in a ring; text that is overwritten before it
---is taken is lost.
---@class lunik.Console
---@field object lunik.Object The chardev-buffer.
local Console = {}

---Types text.
---@param text string
function Console:write(text) end

---Takes what has been printed and not been taken yet.
---@return string
function Console:read() end

---The same without taking it.
---@return string
function Console:peek() end

---Everything that is kept, taken or not.
---@return string
function Console:text() end

---Waits for text that matches a Lua pattern (plain = true: contains the text); takes everything up
---to its end. Returns the captures, or the match.
---
---The search goes on where it stopped: text is looked at again only where a match may have begun in
---it, so a boot of any length costs as much as it is long. It is bounded whatever the guest prints:
---a look that took a while is broken off after a million steps and followed by a pause three times as
---long, and a pattern that takes more than eight million steps at one place, such as "a-a-a-b" among
---thousands of a's, raises {code="unsupported"}.
---```lua
---local console = m:console() -- serial = "buffer"
---for byte in ("login: "):gmatch "." do m:outb(0x3f8, byte:byte()) end -- what a guest does
---assert(console:expect("(%w+): ", { timeout = 5 }) == "login")
---```
---@param pattern string
---@param options? {timeout?: number, plain?: boolean}
---@return string ...
function Console:expect(pattern, options) end

---Hands all output to fn(bytes) as it comes, on the loop, and at the latest before the machine's next
---event, or when the chardev-buffer is deleted. Bytes that were overwritten before fn could be called
---are reported as event "chardev-error".
---@param fn fun(bytes: string)
function Console:feed(fn) end

-- ---- events ------------------------------------------------------------------------------------

---@alias lunik.EventName
---| "started"
---| "paused"
---| "resumed"
---| "reset"
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
---| "vcpu-exit"

---What every event has.
---As a text (tostring, print) it says what it is and what is in it.
---@class lunik.Event
---@field [string] any Fields of the particular event, as given to Machine:emit() for one of a script's own.
---@field name lunik.EventName|string
---@field machine lunik.Machine
---@field time integer CLOCK_MONOTONIC in ns when it was sent.
---@field vcpu? integer The vCPU whose exit caused it.

---The machine runs for the first time, or anew.
---@class lunik.event.started: lunik.Event

---No vCPU runs any more, by request.
---@class lunik.event.paused: lunik.Event

---The machine goes on after a pause.
---@class lunik.event.resumed: lunik.Event

---The state after power-on has been restored.
---@class lunik.event.reset: lunik.Event

---The run has ended.
---@class lunik.event.shutdown: lunik.Event
---@field reason "guest-shutdown"|"exit-device"|"host-quit"|"reset-failed"
---@field code integer m.exit_code

---An exit that no handler took has stopped the machine; its vCPUs can be inspected. Without a handler
---the dump is printed to standard error.
---@class lunik.event.crashed: lunik.Event
---@field vcpu integer
---@field reason string As of "vcpu-exit".
---@field rip integer
---@field detail integer
---@field message string The reason and what the detail means.
---@field dump string Registers and code bytes.

---The power button was pressed.
---@class lunik.event.powerdown: lunik.Event

---A script's function that was called by the machine has raised, or a reset could not be carried
---out; or a device has not finished what was in flight when the machine was reset, shut down or closed
---(source "reset", "shutdown", "start" or "close"). Without a handler it is printed to standard error.
---@class lunik.event.error: lunik.Event
---@field source string Which function.
---@field message string
---@field device? string The path of a device that has not finished.
---@field traceback? string

---The guest has answered to a memory slot's event (ACPI _OST).
---@class lunik.event.acpi-ost: lunik.Event
---@field device? string The id of the device in the slot, if there is one.
---@field slot integer
---@field slot_type "DIMM"
---@field source integer 1 insertion, 3 eject request, 0x103 ejection, 0x200 insertion in progress.
---@field status integer 0 success, 1 failure, 0x80.. reasons to refuse.

---A device has been added.
---@class lunik.event.device-added: lunik.Event
---@field device? string Its id.
---@field path string
---@field driver string

---A device is gone; its id, slot and memory backend are free again.
---@class lunik.event.device-deleted: lunik.Event
---@field device? string
---@field path string

---The guest has been asked to let a device go.
---@class lunik.event.device-unplug-request: lunik.Event
---@field device? string
---@field path string

---A device stays: the guest has refused to let it go.
---@class lunik.event.device-unplug-guest-error: lunik.Event
---@field device? string
---@field path string
---@field source? integer The guest's _OST source.
---@field status? integer And status.
---@field reason? string Where it was not the guest that refused.

---A memory backend is being preallocated.
---@class lunik.event.prealloc-progress: lunik.Event
---@field object string
---@field done integer Bytes.
---@field total integer

---A character device can't write; what it is given is dropped. Also where one is closed, perhaps with
---its machine, before the other side has taken all of the output. Printed if there is no handler.
---@class lunik.event.chardev-error: lunik.Event
---@field object string
---@field message string

---A client has connected to a socket.
---@class lunik.event.chardev-connected: lunik.Event
---@field object string

---The peer of a socket has gone.
---@class lunik.event.chardev-disconnected: lunik.Event
---@field object string

---A vCPU came out of the guest with something the library does not handle itself. Handlers run on
---its thread, may change its registers and inject exceptions, and return "resume" to enter the
---guest again, "pause" to pause the machine, or nil to leave it to the next handler; without an
---answer the machine stops as crashed. It can't be waited for.
---@class lunik.event.vcpu-exit: lunik.Event
---@field vcpu lunik.Vcpu
---@field reason "shutdown"|"emulation-failure"|"internal-error"|"fail-entry"|"debug"|"halt"|"run-error"|"dirty-ring-full"|"unknown"
---@field kvm_reason integer KVM_EXIT_*; 0 of a run-error.
---@field detail integer Suberror, hardware reason, DR6 or errno.
---@field rip integer
---@field insn string The instruction's bytes, of an emulation failure.

return lunik
