---@meta lunik.testing
-- Tests of machines: require "lunik.testing", in a busted spec (plain `busted`, `lunik test`) or in a
-- script. spec/library/library_spec.lua compares this file with the live module.
--
-- A scenario. testing.machine{} makes a machine and boots a guest; t:plug{} and t:unplug(id) do all that
-- belongs to it in one step; t:check() compares everything that knows of the DIMMs with what was plugged.
-- ```lua
-- local testing = require "lunik.testing"
--
-- testing.each_guest({ "scripted", "small", "linux" }, function(guest)
--   it("takes a DIMM and gives it back", function()
--     local t = testing.machine { guest = guest, maxmem = "2G", slots = 4 }
--     t:plug { id = "dimm1", size = "256M" }
--     t:check()
--     t:unplug "dimm1"
--     t:check()
--   end)
-- end)
-- ```
--
-- Guests. "scripted" is lunik.guest, on a machine without vCPUs: no KVM, milliseconds. "small" is the
-- project's own guest on KVM (build/guests, or where Lunik is installed, or the folder in
-- $LUNIK_GUEST_DIR). "linux" is a Linux kernel on KVM ($LUNIK_KERNEL, or what `make guest-linux` has
-- built) whose /init is an agent that does what t.guest.agent asks for (lunik.agent); it is on the
-- second serial port, the kernel's log on the first. $LUNIK_AGENT_CALL is "syscall" for an ELF kernel
-- without the patch for `ud2`. An example whose guest can't run here, or can't do what the example needs,
-- is skipped with the reason. $LUNIK_GUESTS="scripted small" limits each_guest().
-- $LUNIK_PATIENCE=5 makes all time-outs five times as long, for machines on which guests run slowly.
--
-- The end. Machines, files, directories and huge pages of an example end with it, also those that
-- before_each makes for it; for setup there is testing.shared{}. Then this process must
-- hold what it held before: file descriptors, threads, machines, huge pages, mappings and resident memory
-- (which may grow by 32 MiB). In a script use <close> variables: local t <close> = testing.machine{}.
--
-- Failures start with the spec's own line, and show of each machine the end of the console, the journal,
-- the memory map and the last flight; a script shows that if an error ends the scope of the <close>
-- variable. Waits that fail say what was waited for and what came instead.

---A test kit for machines: require "lunik.testing".
---@class lunik.testing
---@field guests table<string, lunik.testing.GuestKind> Guests of your own, by name.
---@field subs table<string, lunik.testing.Sub> Sub-tests by name, for t:sub(); add your own.
---@field host lunik.testing.Host The host's view.
local testing = {}

---What testing.machine() makes: options of lunik.machine(), and those of the kit.
---@class lunik.testing.MachineOptions: lunik.MachineOptions
---@field guest? string|lunik.testing.GuestKind Default "scripted".
---@field boot? boolean false: the machine is made, not started; see t:boot().
---@field deaf? boolean The guest answers no hotplug until t.guest:listen().
---@field cold? lunik.testing.Plug[] DIMMs that are there from the start.
---@field append? string The Linux guest: words to be added to its command line.
---@field fail_on? string[] Patterns of lines on the console that fail the test at once.
---@field record? boolean false: the machine's flights are not recorded, which makes it faster.
---@field timeout? number Seconds for everything that is waited for. Default: the guest's, 20 for "scripted" and "small", 300 for "linux".

---Makes a machine and boots its guest. Options are those of lunik.machine() and the kit's own. Defaults:
---board "pc", memory "64M" or "128M", maxmem "4G", slots 4, serial "buffer"; false takes one away. objects
---and devices are added to the guest's own. With initrd = false or a file the Linux guest has no initramfs
---of the kit's.
---```lua
---local t <close> = testing.machine { slots = 2 }
---local dimm = t:plug { size = "256M" }
---assert(dimm.slot == 0 and t.m:object "dimm1-mem")
---t:check()
---t:unplug "dimm1"
---t:check()
---```
---@param options? lunik.testing.MachineOptions
---@return lunik.testing.Machine
function testing.machine(options) end

---Does the same for a group of examples (describe), which share one boot: it is booted when it is first used,
---and closed at the end of the group. DIMMs that an example has plugged are unplugged after it; an example
---that fails or leaves something else behind ends the machine, and the next one boots another.
---@param options? lunik.testing.MachineOptions
---@return lunik.testing.Machine
function testing.shared(options) end

---Describes a group of examples for each guest, "on the NAME guest": fn(guest) describes them.
---@param guests string[]|fun(guest: string) Names; or fn: for all guests.
---@param fn? fun(guest: string)
function testing.each_guest(guests, fn) end

---Returns why a guest can't run here, or nil if it can.
---@param guest string|lunik.testing.GuestKind
---@return string?
function testing.unavailable(guest) end

---A table of variants: the product of the keys' values, each an example of its own.
---@class lunik.testing.Variants
---@field keys table<string, any[]> The values of each key; a value may be a table with a name.
---@field only? any A filter or a list of filters, of which a cell has to fit one.
---@field no? any A filter or a list of filters, of which a cell must fit none. A filter is a table {key = value or list of values}, a pattern for the cell's name, or a function of the cell.
---@field skip? fun(cell: table): string? Returns why the cell can't be tested here, or nil.
---@field machine? table|false|fun(cell: table): table Options of the cell's machine; a key "guest" is one of them. false: no machine.
---@field name? string Put before the cells' names.
---@field test fun(t: lunik.testing.Machine?, cell: table)

---Describes an example for each combination of values, with a machine of its own, named
---"key=value key=value". Values are in cell, by key. $LUNIK_VARIANTS is a pattern for names.
---@param variants lunik.testing.Variants
function testing.variants(variants) end

---Returns the cells of a table of variants, in order: tables with the value of each key, and name.
---```lua
---local cells = testing.cells {
---  keys = { backend = { "ram", "file" }, share = { true, false } },
---  no = { backend = "ram", share = true },
---}
---assert(#cells == 3 and cells[1].name == "backend=ram share=false")
---```
---@param variants {keys: table<string, any[]>, only?: any, no?: any}
---@return table[]
function testing.cells(variants) end

---Returns options for a machine of count NUMA nodes with the same memory each (default "64M"); node N has
---vCPU N.
---```lua
---local options = testing.numa(2)
---options.numa[1].distances = { 10, 15 }
---local t <close> = testing.machine(options)
---assert(t:srat()[1].size == 64 << 20 and t:srat()[1].cpus[1] == 1)
---assert(t:slit()[2][1] == 15)
---```
---@param count integer
---@param memory? lunik.Size
---@return {numa: lunik.NumaNode[], memory: integer, cpus: integer}
function testing.numa(count, memory) end

---A call that has to be refused, and the error that is expected.
---@class lunik.testing.Refused
---@field code? string The error's code: see lunik.Error.
---@field words? string|string[] Texts that its message must have.
---@field fn? fun() Also as [1].

---Calls fn, which must raise an error, and leave nothing: file descriptors, threads, machines, mappings.
---For machines that must not be made; t:refused{} is for calls on a machine.
---```lua
---testing.refused {
---  code = "invalid", words = { "slots", "257" },
---  function() lunik.machine { accel = "none", maxmem = "4G", slots = 257 } end,
---}
---local ok = pcall(testing.refused, { function() end })
---assert(not ok) -- no error was raised
---```
---@param refused lunik.testing.Refused
---@return lunik.Error
function testing.refused(refused) end

---Calls fn until it returns a true value without raising an error, and returns its results. Fails after
---timeout seconds (default 5). what: words for the message.
---```lua
---local count = 0
---assert(testing.eventually(function()
---  count = count + 1
---  return count > 3 and count
---end) == 4)
---```
---@param fn fun(): any
---@param options? {timeout?: number, what?: string}
---@return any
function testing.eventually(fn, options) end

---Makes a file with a text, which goes away with the example, and returns its path. memory = true: in
---/dev/shm, if that is there.
---@param text? string
---@param options? {memory?: boolean, suffix?: string}
---@return string path
function testing.file(text, options) end

---Makes a directory, which goes away with the example and all below it, and returns its path.
---@return string path
function testing.directory() end

---Makes sure that the host has so many free huge pages of a size (default: the smallest), and gives back
---at the end those that it has added. Skips the example where that is not possible.
---@param count integer
---@param size? lunik.Size
---@return lunik.testing.HugePages
function testing.huge_pages(count, size) end

---Ends the example, which is reported as skipped. In a script without busted it raises an error;
---lunik run ends with the place, "skipped: " and the reason, and exit status 77.
---@param reason string
function testing.skip(reason) end

---Fails the example; the message begins with the spec's own line.
---@param message string
function testing.fail(message) end

-- ---- a test's machine --------------------------------------------------------------------------

---A machine under test.
---@class lunik.testing.Machine
---@field m lunik.Machine
---@field guest lunik.testing.Guest
---@field journal lunik.testing.Journal
---@field console lunik.testing.Console
---@field host lunik.testing.Host
---@field recorder? lunik.Recorder Its flights, from the start.
---@field name string The guest's name.
---@field timeout number Seconds.
---@field dimms table<string, table> What the test has plugged: {id=, slot=, addr=, size=, node=, memdev=, state=}; state "pending", "accepted" or "refused" by the guest.
local Machine = {}

---A DIMM to plug. Further fields are properties of the backend, such as share and merge.
---@class lunik.testing.Plug
---@field id? string Default "dimm1", ... The backend's id is ID-mem.
---@field size? lunik.Size Default "128M".
---@field backend? string "memfd" (default), "ram", "file", or a type's name. A file is made if none is given.
---@field memdev? string|lunik.Object An existing backend, instead of a new one.
---@field slot? integer
---@field addr? lunik.Address
---@field node? integer
---@field nowait? boolean Do not wait for the guest's answer; t:settle() and t:check() do.
---@field answer? "accepted"|"refused" The answer that is expected. Default "accepted".
---@field timeout? number
---@field [string] any Other properties of the backend: share, prealloc, policy, ["host-nodes"], ...

---Plugs a DIMM: makes its backend and the device, and waits until the guest has accepted it. If one of
---them fails nothing is left of the other. Nothing is waited for while the machine does not run or the
---guest is deaf.
---@param plug? lunik.testing.Plug
---@return lunik.Object dimm
function Machine:plug(plug) end

---Unplugs a DIMM: asks for it, waits until the guest has ejected it, and deletes the backend that plug()
---has made, and its file. keep: not these.
---@param id string
---@param options? {nowait?: boolean, timeout?: number, keep?: boolean, answer?: "ejected"|"refused"}
---@return lunik.Unplug
function Machine:unplug(id, options) end

---Waits for all answers that are outstanding.
function Machine:settle() end

---Compares what was plugged and unplugged with the machine's list, the guest's own memory and its total,
---the memory map, KVM's memslots, the slots' property `used`, and looks for errors in journal and console.
---Fails with all differences.
function Machine:check() end

---Calls a function that must be refused: it has to raise an error and change nothing: state, memory map,
---objects and their properties, DIMMs, memslots, and what this process holds.
---```lua
---local t <close> = testing.machine {}
---local err = t:refused {
---  code = "invalid", words = { "size", "is out of range" },
---  function() t:plug { size = 0 } end,
---}
---assert(err.code == "invalid")
---```
---@param refused lunik.testing.Refused
---@return lunik.Error
function Machine:refused(refused) end

---Runs a sub-test by name: "reset" (by the host), "reboot" (by the guest), "restart", "stop and continue",
---"fill" (all plugged memory is written and read back), "nothing", or one of testing.subs. With fn: before,
---during (in the background) or after fn, whose results it returns.
---```lua
---local t <close> = testing.machine {}
---t:sub("stop and continue", "during", function() t:plug {} end)
---t:sub "fill"
---t:sub("reboot", "after", function() t:unplug "dimm1" end)
---t:check()
---assert(t.journal:count "reset" == 1 and t.journal:count "paused" == 1)
---```
---@param name string
---@param when? "before"|"during"|"after"
---@param fn? function
function Machine:sub(name, when, fn) end

---Starts the machine, if the test was made with boot = false, and waits until the guest is ready.
function Machine:boot() end

---Returns whether the guest has a method, such as "fill".
---@param method string
---@return boolean
function Machine:can(method) end

---Words for why the machine can't go on (it has crashed, ...), or nil.
---@return string?
function Machine:trouble() end

---Errors that are in the journal by now are meant: check() accepts them.
function Machine:pardon() end

---Returns what the firmware's table SRAT says, by node; size: bytes of memory that is there, without
---ranges for hotplug. nil without the table.
---@return table<integer, {cpus: integer[], memory: {base: integer, size: integer, hotplug: boolean}[], size: integer}>?
function Machine:srat() end

---Returns the distances of the firmware's table SLIT, a list for each node; nil without the table.
---@return integer[][]?
function Machine:slit() end

---Returns an id that no DIMM has: "dimm1", ...
---@return string
function Machine:free_id() end

---Returns the text that a failure shows.
---@return string
function Machine:details() end

---Closes the machine.
function Machine:close() end

---Closes the machine; called at the end of the example, and of a <close> variable's scope. Unless the
---example has failed already, events "error", "crashed" and "chardev-error" that were neither expected nor
---pardoned fail it.
---@param failed? boolean
function Machine:finish(failed) end

---The methods of guests that scenarios use. Where the guest lacks one the example is skipped.
---@class lunik.testing.Guest
---@field boot fun(self) Starts the machine and waits until the guest is ready.
---@field ready fun(self) Waits until the guest has booted.
---@field is_ready fun(self): boolean
---@field listens fun(self): boolean Whether it answers hotplug.
---@field listen fun(self) Begins to answer hotplug, where it was deaf.
---@field idle fun(self) Waits until it has nothing to do.
---@field memory fun(self): table<integer, {address: integer, size: integer}> The memory in slots that it uses, by slot.
---@field total fun(self): integer Bytes of all its memory.
---@field reboot fun(self) Has it reboot by itself; waits until it is ready.
---@field refuse fun(self, what: {insert?: boolean, eject?: boolean}|false) Makes it refuse from now on (the small guest: until it boots again).
---@field fill fun(self, address: integer, size: integer, seed: integer) Writes a pattern.
---@field pci fun(self): table[] The PCI functions that the guest has found, `{bus=, slot=, fn=, vendor=, device=, bars=}`, by address.
---@field verify fun(self, address: integer, size: integer, seed: integer): boolean?, string? Reads it back.
---@field agent? lunik.Agent The Linux guest: does what a spec asks for.
---@field run fun(self, command: string): string, string The small guest: runs a command; the lines before its answer, and the answer.

---A guest of your own: a table with some of these methods, and these fields.
---@class lunik.testing.GuestKind: lunik.testing.Guest
---@field name string
---@field timeout number Seconds for what a test waits for.
---@field unavailable fun(): string? Why it can't run here.
---@field options fun(given: table): table, function? Options of its machine; a function to be called when that is made.
---@field start fun(t: lunik.testing.Machine): table Called for each new machine, before the boot; returns the guest's fields.

---@alias lunik.testing.Sub fun(t: lunik.testing.Machine)|{once: fun(t: lunik.testing.Machine), during?: fun(t: lunik.testing.Machine)}

-- ---- events, console, host ---------------------------------------------------------------------

---Every event of a machine, from the first, in order. An event in arguments is "name", "name device" or
---{name, field = value}.
---```lua
---local t <close> = testing.machine {}
---t:plug {}
---t.journal:expect { "device-added dimm1", { "acpi-ost", device = "dimm1", status = 0 } }
---t.journal:none { "error", "device-unplug-request" }
---assert(t.journal:count "acpi-ost" == 1)
---```
---@class lunik.testing.Journal
---@field events lunik.Event[]
local Journal = {}

---Waits until the events have come, in this order; others may come between, unless exactly = true. Looks at
---events after those found by the last call, at first at those since the machine was made. Returns them.
---Errors that are expected do not fail check().
---@param events table[]
---@param options? {timeout?: number, exactly?: boolean}
---@return lunik.Event ...
function Journal:expect(events, options) end

---Fails if one of the events has come since those that the last expect() has found, or since mark().
---@param events any
function Journal:none(events) end

---Makes expect() and none() look at events from now on.
function Journal:mark() end

---Returns how many events match, of all.
---@param event any
---@return integer
function Journal:count(event) end

---Returns index and event of the first one from an index on that matches, or nil.
---@param event any
---@param from integer
---@return integer?, lunik.Event?
function Journal:find(event, from) end

---Returns a copy of the list, the board's own events at its beginning.
---@return lunik.Event[]
function Journal:all() end

---Returns how many events there are.
---@return integer
function Journal:position() end

---Returns the events as lines, with seconds since the machine was made; count: only the last.
---@param count? integer
---@return string
function Journal:text(count) end

---Returns events from an index on as one line, the last few of them if there are many.
---@param from integer
---@return string
function Journal:line(from) end

---Ends the making of the machine: later calls of expect(), none() and text() begin here.
function Journal:begin() end

---Everything that the guest has printed; the scripted guest's messages are printed here.
---@class lunik.testing.Console
local Console = {}

---Waits for text that matches a pattern, and takes everything up to its end; returns captures, or the match.
---@param pattern string
---@param options? {timeout?: number, plain?: boolean}
---@return string ...
function Console:expect(pattern, options) end

---Takes a line that has been printed; returns nil if there is none.
---@return string?
function Console:line() end

---Types text.
---@param text string
function Console:send(text) end

---Makes waits of the test fail at once when a line matches the pattern, or has matched before.
---@param pattern string
function Console:fail_on(pattern) end

---Returns all text; with a number: the last so many lines.
---@param lines? integer
---@return string
function Console:text(lines) end

---Adds text as if the guest had printed it.
---@param text string
function Console:append(text) end

---Returns whether text that matches has come since the machine's last reset; takes it then.
---@param pattern string
---@return boolean
function Console:is_ready(pattern) end

---The host's view of this process.
---@class lunik.testing.Host
local Host = {}

---Returns this process's resident memory in bytes.
---@return integer
function Host.rss() end

---Returns the names of this process's threads, without KVM's own.
---@return string[]
function Host.threads() end

---Returns the number of open file descriptors.
---@return integer
function Host.fds() end

---Returns the number of this process's mappings.
---@return integer
function Host.mappings() end

---Returns whether this process has a sanitizer, whose memory comes on top.
---@return boolean
function Host.sanitized() end

---Returns the numbers of the host's NUMA nodes.
---@return integer[]
function Host.nodes() end

---The host's huge pages of one size, in pages.
---@class lunik.testing.HugePages
---@field size integer Bytes of a page.
---@field total integer
---@field free integer
---@field reserved integer
---@field surplus integer

---Returns the host's counts of huge pages of a size (default: the smallest); nil if it has none of it.
---@param size? lunik.Size
---@return lunik.testing.HugePages?
function Host.huge_pages(size) end

---Returns the sizes of the host's huge pages in bytes, smallest first.
---@return integer[]
function Host.huge_page_sizes() end

---The host kernel's figures for the memory behind an object (/proc/self/smaps, numa_maps).
---@class lunik.testing.Mapping
---@field size integer Bytes, like the others.
---@field resident integer
---@field huge integer In huge pages.
---@field locked integer
---@field swapped integer
---@field page_size integer
---@field flags table<string, boolean> As in smaps: mg (merge), dd (not in core dumps), sh (shared), ...
---@field policy string As in numa_maps: "default", "bind:0", "interleave:0-1", ...
---@field nodes table<integer, integer> Pages on each of the host's nodes.
---@field path string The file that backs it.
---@field address integer Its address in this process.

---Returns how the host backs the memory of a backend or DIMM of a machine.
---```lua
---local t <close> = testing.machine {}
---local dimm = t:plug { size = "64M", merge = false }
---local mapping = t.host.mapping(t.m, dimm)
---assert(mapping.page_size == 4096 and not mapping.flags.mg)
---```
---@param m lunik.Machine
---@param object string|lunik.Object
---@return lunik.testing.Mapping
function Host.mapping(m, object) end

---Returns counts of what this process holds, for left_behind().
---@return table<string, integer>
function Host.holds() end

---Waits some seconds until this process holds no more than before; returns words for what is too much, or
---nil.
---@param before table<string, integer>
---@return string?
function Host.left_behind(before) end

return testing
