--- What reload() at the prompt starts again: the command line's script, board file or board.

local board_file = require "lunik.command.board_file"
local boards = require "lunik.board_loader"
local prompt_globals = require "lunik.command.prompt_globals"

local restart = {}

--- Allows it. options: the command line's; arg: the script and its arguments.
function restart.allow(options, arg)
  -- Replaces the machine m; a board or an option that is wrong is an error before.
  local function start_board(board)
    boards.load(board)
    local given = board_file.options(board, options.settings, arg)
    if rawget(_G, "m") then _G.m:close() end
    _G.m = board_file.start(given, "buffer")
    return _G.m
  end
  prompt_globals.set_started {
    script = options.script and options.script > 0 and arg[0] or nil, board = options.board,
    is_board = board_file.is_board, start_board = start_board,
  }
end

return restart
