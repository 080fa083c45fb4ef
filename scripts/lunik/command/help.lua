--- The text of --help, made of the table of options.

local known = require "lunik.command.options_table"

local WIDTH, INDENT = 79, 16

-- Adds a line with the label, and the text, broken at spaces, to its right.
local function add_entry(lines, label, text)
  local line = "  " .. label
  if #line >= INDENT - 1 then
    table.insert(lines, line)
    line = ""
  end
  local indent = (" "):rep(INDENT)
  line = (line .. indent):sub(1, INDENT)
  local start = #line
  for word in text:gmatch "%S+" do
    if #line > start and #line + 1 + #word > WIDTH then
      table.insert(lines, line)
      line = indent
    end
    line = line .. (#line > start and " " or "") .. word
  end
  table.insert(lines, line)
end

--- Returns how the help and the manual page show an option: "-j N", "--sandbox=LIST".
local function label(option)
  local text = table.concat(option.names, " ")
  if not option.value then return text end
  local long = option.names[#option.names]:sub(1, 2) == "--"
  return text .. (long and "=" or " ") .. option.value
end

local function add_usage(lines, command)
  for i, usage in ipairs(command.usage) do
    table.insert(lines, (i == 1 and "usage: " or "       ") .. usage)
  end
end

-- Lists the other commands.
local function add_commands(lines)
  table.insert(lines, "\ncommands ('lunik help COMMAND' shows their options)")
  for _, command in ipairs(known.commands) do add_entry(lines, command.name, command.summary) end
end

local function add_exit(lines)
  table.insert(lines, "\nexit code")
  for _, entry in ipairs(known.exit) do
    table.insert(lines, ("  %-6s %s"):format(entry[1], entry[2]))
  end
end

local help = { label = label }

--- Returns the help for a command of the table.
function help.text(command)
  local lines = {}
  add_usage(lines, command)
  table.insert(lines, "\n" .. command.text .. "\n")
  for _, option in ipairs(command.options) do add_entry(lines, label(option), option.help) end
  if command == known.commands[1] then
    add_commands(lines)
    add_exit(lines)
  end
  return table.concat(lines, "\n") .. "\n"
end

return help
