--- The lunik command's subcommands and their options: the source of its help, of the completions of
-- shells and of its manual page. Plain data, which needs no other module.
--
-- A command: name, summary, usage (lines), text (paragraphs), arguments, mixed (options may follow
-- arguments), options. An option: names (short ones first), value (how the help calls its value;
-- nil: it has none), optional (the value that is meant if it is left out; then it is given as
-- --name=VALUE), key (its field among the parsed options), many (it may be given several times),
-- late (it may also follow the script after the command's name), complete (what a shell offers as
-- the value: "file", "folder", "module", or a list of words) and help.

local help = { names = { "-h", "--help" }, key = "help", help = "show this text" }

local no_sandbox = { names = { "--no-sandbox" }, key = "no_sandbox",
  help = "do not enter the sandbox when the first machine starts. In the sandbox the script can't "
    .. "start programs or use the network, among others: os.execute and io.popen fail, unless the "
    .. "script allows them with lunik.sandbox()" }

local sandbox = { names = { "--sandbox" }, value = "LIST", optional = "on", key = "sandbox",
  complete = { "on", "off", "none", "files", "listen", "sockets", "network", "exec", "read:",
    "write:" },
  help = 'allow only these: read:PATH and write:PATH (with all below), files (all of them), '
    .. 'listen, sockets, network, exec, or none. "on", the default: read programs, libraries and '
    .. "files named by the command line and by machines; write below the working directory, the "
    .. "temporary directory, /dev/shm and huge pages; listen; and what loaded modules need. "
    .. '"off": allow everything' }

local run = {
  name = "run",
  summary = "run a script, a board file or the prompt",
  usage = {
    "lunik [run] [options] [script [args]]",
    "lunik [run] [options] [-o name=value]... board.lua [-o name=value]...",
    "lunik [run] [options] --board NAME [-o name=value]...",
  },
  text = [[
Runs a Lua script, with the module "lunik" in the global lunik. When the script
has ended and machines it started still run, the command goes on until they
have stopped. A script that returns a board is a board file: a machine with
that board is built and started, its serial port on the terminal.

Without a script the prompt starts; if standard input is not a terminal, it is
the script. The script "-" is standard input.

What follows the script are its arguments. With the word "run", --report and
--transcript may also follow the script, unless "--" comes before them.]],
  arguments = { { name = "SCRIPT", complete = "file" }, { name = "ARG", many = true } },
  options = {
    { names = { "-e" }, value = "STAT", key = "execute", many = true,
      help = "execute the Lua statement STAT" },
    { names = { "-i" }, key = "interactive",
      help = "enter the prompt after the script; with a board file m is its machine, whose serial "
        .. "port's output is kept for m:console()" },
    { names = { "-d" }, value = "LIST", key = "logs", many = true, complete = { "rejected" },
      help = "log to standard error: rejected (accesses that nothing in a machine accepts)" },
    { names = { "-o" }, value = "NAME=VALUE", key = "settings", many = true,
      help = "set an option of the board file's machine: -o memory=1G -o kernel=vmlinux" },
    { names = { "--board" }, value = "NAME", key = "board", complete = "file",
      help = "run a machine with this board, one of lunik.boards() or a file: --board pc -o "
        .. "kernel=vmlinux" },
    { names = { "-l" }, value = "MOD", key = "modules", many = true, complete = "module",
      help = "require the module MOD into the global MOD (-l G=MOD into the global G)" },
    { names = { "--transcript" }, key = "transcript", late = true,
      help = "print what happens to the script's machines: their guests' consoles that are kept in "
        .. "memory, devices that go in and out, the guests' answers, and how long all took" },
    { names = { "--report" }, value = "FILE", key = "report", late = true, complete = "file",
      help = "write a page about the run to FILE (HTML): its result, flights and events on a "
        .. "timeline, consoles, memory maps, machines" },
    { names = { "--qmp" }, value = "unix:PATH", key = "qmp", many = true,
      help = "serve QMP, QEMU's control protocol, for the first machine, on a socket at PATH. The "
        .. "command then also goes on while that machine is paused or has not been started" },
    { names = { "--prompt" }, value = "unix:PATH", key = "prompts", many = true,
      help = "let other terminals have prompts of this process, through a socket at PATH: see "
        .. "'lunik attach'. While one is attached the command goes on" },
    { names = { "--json" }, key = "json",
      help = "print what happens for programs to read: one JSON object a line on standard output. "
        .. "What the script prints and the lines of consoles become such objects" },
    { names = { "--gdb" }, value = "ADDRESS", key = "gdb",
      help = "serve gdb for the first machine, at unix:PATH or 127.0.0.1:PORT" },
    { names = { "-W" }, key = "warnings",
      help = "turn warnings on, e.g. that the host does not allow the process to enter the "
        .. "sandbox" },
    no_sandbox,
    sandbox,
    { names = { "-v", "--version" }, key = "version", help = "show the version" },
    help,
    { names = { "--" }, key = "ended", help = "stop handling options" },
  },
}

local test = {
  name = "test",
  summary = "run busted specs, each file in a process of its own",
  usage = { "lunik test [options] [file|folder|pattern]..." },
  text = [[
Runs spec files with busted, each in a process of its own, in the sandbox as
scripts are, and prints the results: a line for each file, what has failed and
what was skipped with the reason, and the sums. A file that crashes or that
reaches the time limit has failed, in the example that ran. On a terminal the
last line shows what runs now and what it waits for.

Without files and folders it runs those that the file .busted names: spec/, and
below it files whose names match _spec. A file may be given by its base name. A
word that is no file is a Lua pattern: only examples whose full names match it
are run. A file with the line "Runs alone: REASON" in a comment runs with no
other at the same time. Needs busted and luv (Debian: lua-busted, lua-luv).

The exit code is 0 if all that ran passed, 1 if not or if nothing ran.]],
  arguments = { { name = "FILE", complete = "file", many = true } },
  mixed = true,
  options = {
    { names = { "-j", "--jobs" }, value = "N", key = "jobs",
      help = "run up to N files at a time; their results come in order" },
    { names = { "--junit" }, value = "FILE", key = "junit", complete = "file",
      help = "also write the results to FILE, in the form that CI systems read" },
    { names = { "--tap" }, key = "tap",
      help = "print the results in the Test Anything Protocol instead, at the end" },
    { names = { "--report" }, value = "PATH", key = "report", complete = "file",
      help = "write a page about each file's run into the folder PATH, which is made, and an index "
        .. "of them; if PATH ends in .html, the page of the only file" },
    { names = { "--limit" }, value = "SECONDS", key = "limit",
      help = "the time for each file; default: 600" },
    { names = { "--output" }, key = "output",
      help = "show what tests print even if they pass" },
    { names = { "-W" }, key = "warnings", help = "turn warnings on" },
    no_sandbox,
    sandbox,
    help,
    { names = { "--" }, key = "ended", help = "stop handling options" },
  },
}

local new = {
  name = "new",
  summary = "write a small start for a board, a device, a spec or a project",
  usage = { "lunik new board|device|spec|project NAME" },
  text = [[
Writes a small, commented start that runs at once, and prints the command that
runs it. No file is overwritten.

  board        NAME.lua: RAM, a serial port, a guest in ROM that greets
  device       NAME.lua: registers, an interrupt and a timer, in Lua
  spec         spec/NAME_spec.lua: memory hotplug as a test
  project      a folder NAME: a board, a device, specs, a rockspec, a Makefile]],
  arguments = {
    { name = "KIND", complete = { "board", "device", "spec", "project" } }, { name = "NAME" },
  },
  mixed = true,
  options = { help },
}

local attach = {
  name = "attach",
  summary = "open a prompt of a running process",
  usage = { "lunik attach PATH" },
  text = [[
Opens one more prompt of a process that runs with --prompt unix:PATH, or has
called lunik.prompt. It has the process's globals; what its lines print comes
here. quit or Ctrl-D leaves it, and the process goes on. Ctrl-C interrupts a
line that waits. Standard input may also be a file or a pipe with lines.]],
  arguments = { { name = "PATH", complete = "file" } },
  mixed = true,
  options = { help },
}

local top = {
  name = "top",
  summary = "show the machines of a running process",
  usage = { "lunik top [-d SECONDS] [-n COUNT] PATH" },
  text = [[
Shows the machines of a process that runs with --prompt unix:PATH: their
states, how often their vCPUs exit, how much memory they write, how much is
plugged, and the latest devices that came or went. Ctrl-C ends it.]],
  arguments = { { name = "PATH", complete = "file" } },
  mixed = true,
  options = {
    { names = { "-d", "--delay" }, value = "SECONDS", key = "delay",
      help = "how often it is shown again; default: 1" },
    { names = { "-n", "--count" }, value = "COUNT", key = "count",
      help = "end after so many times" },
    help,
  },
}

local help_command = {
  name = "help",
  summary = "show the options of a command",
  usage = { "lunik help [command]" },
  text = "Shows what a command does and its options, as lunik COMMAND --help does.",
  arguments = {
    { name = "COMMAND", complete = { "run", "test", "new", "attach", "top", "help" } },
  },
  options = { help },
}

return {
  -- The first one is meant if the first word names none.
  commands = { run, test, new, attach, top, help_command },
  exit = {
    { "0", "all went well" },
    { "1", "a script or a test failed, or a machine crashed" },
    { "2", "the command line is wrong" },
    { "N", "a guest ended its machine with N, or the script called lunik.exit(N)" },
    { "128+S", "signal S ended the run" },
  },
}
