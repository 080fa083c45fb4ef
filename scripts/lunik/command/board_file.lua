--- Runs a board file given to the lunik command: reads its options from the command line, makes and
-- starts its machine.

local boards = require "lunik.board_loader"
local machine = require "lunik.machine"
local options = require "lunik.options"

local fail = options.fail

local board_file = {}

--- Whether a script's result is meant as a board; it may be a faulty one.
function board_file.is_board(value)
  return type(value) == "table" and (value.build ~= nil or value.finish ~= nil)
end

-- ---- options -----------------------------------------------------------------------------------

local booleans = {
  ["true"] = true, on = true, yes = true, ["false"] = false, off = false, no = false,
}

--- Convert a text to a value of a kind. A text that is not one is returned as it is.
local convert = {}

function convert.integer(text) return math.tointeger(text) or text end
convert.count = convert.integer

function convert.number(text) return tonumber(text) or text end
convert.seconds = convert.number

function convert.boolean(text)
  if booleans[text] == nil then return text end
  return booleans[text]
end

--- Evaluates a table written in Lua, without access to globals.
function convert.table(text)
  local chunk = load("return " .. text, "=option", "t", {})
  local ok, value = pcall(chunk or error)
  return ok and value or text
end

convert["function"] = function(text)
  fail("unsupported", "-o: '%s' is not possible on the command line (want a script that calls "
    .. "lunik.machine)", text)
end

--- Returns the values of "-o" options after the board file.
local function words_after(args)
  local words, i = {}, 1
  while args[i] do
    local word = args[i]:match "^%-o(.*)$"
    if not word then
      fail("invalid", "'%s': a board file takes no arguments (want -o name=value)", args[i])
    elseif word == "" then
      i = i + 1
      word = args[i] or fail("invalid", "'-o' needs an argument")
    end
    words[#words + 1] = word
    i = i + 1
  end
  return words
end

local function set(given, word, kinds)
  local name, text = word:match "^([^=]+)=(.*)$"
  if not name then fail("invalid", "-o: '%s' is not a setting (want name=value)", word) end
  if name == "board" then fail("invalid", "-o: board: is the file that the command runs") end
  options.known("-o", { [name] = text }, kinds)
  local kind = kinds[name]
  local value = (convert[kind] or function() return text end)(text)
  given[name] = options.value("-o: " .. name, value, kind)
end

--- Returns the options of a machine with this board, from "-o name=value" before and after the
-- board file. An option that is given twice has the last value.
function board_file.options(board, before, args)
  local known, given = machine.kinds(board), { board = board }
  for _, words in ipairs { before, words_after(args) } do
    for _, word in ipairs(words) do set(given, word, known) end
  end
  return given
end

-- ---- the machine -------------------------------------------------------------------------------

--- Builds and starts the machine. Its serial port is connected to `serial`, unless an option or the
-- board's own default says otherwise.
function board_file.start(given, serial)
  local own = boards.options(given.board).serial
  if given.serial == nil and not (own and own.default ~= nil) then given.serial = serial end
  local m = machine.new(given)
  m:start()
  return m
end

return board_file
