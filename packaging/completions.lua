-- completions.lua TABLE bash|zsh: writes the completion of the lunik command for a shell. TABLE:
-- the command's table of options (scripts/lunik/command/options_table.lua).
local known = dofile(arg[1])

local function quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function print_lines(...)
  io.write(table.concat({ ... }, "\n"), "\n")
end

-- ---- bash --------------------------------------------------------------------------------------

local bash = {}

-- How the completion calls what is to be offered: file, folder, module, or the words.
local function offer(complete)
  return type(complete) == "table" and "words " .. table.concat(complete, " ") or complete or ""
end

-- Values that follow in a word of their own, and those after "=".
local function bash_values(command)
  for _, option in ipairs(command.options) do
    for _, name in ipairs(option.value and option.names or {}) do
      print_lines(("    '%s %s') offer=%s ;;"):format(command.name, name,
        quoted(offer(option.complete))))
    end
  end
end

local function bash_command(command)
  local options, valued = {}, {}
  for _, option in ipairs(command.options) do
    for _, name in ipairs(option.names) do
      local long = name:sub(1, 2) == "--"
      table.insert(options, name .. (option.optional and long and "=" or ""))
      if option.value and not option.optional then table.insert(valued, name) end
    end
  end
  local arguments = {}
  for i, argument in ipairs(command.arguments or {}) do
    arguments[i] = quoted(offer(argument.complete))
  end
  print_lines(("    %s)"):format(command.name),
    "        options=" .. quoted(table.concat(options, " ")),
    "        valued=" .. quoted(table.concat(valued, " ")),
    ("        arguments=(%s)"):format(table.concat(arguments, " ")),
    "        ;;")
end

-- The words that the user has typed are in COMP_WORDS, in which "=" and ":" are words.
local BASH_END = [=[
# Offers what $1 says for the word $cur.
_lunik_offer()
{
    local kind=${1%% *}
    case $kind in
    file) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    folder) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
    module) mapfile -t COMPREPLY < <(compgen -f -X '!*.lua' -- "$cur" | sed 's/\.lua$//') ;;
    words) mapfile -t COMPREPLY < <(compgen -W "${1#words }" -- "$cur")
        [[ ${COMPREPLY[0]} != *[:=] ]] || compopt -o nospace ;;
    esac
}

_lunik()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
    local command=$_lunik_first options valued arguments offer i=1 n=0
    COMPREPLY=()
    if [[ " $_lunik_commands " == *" ${COMP_WORDS[1]} "* && $COMP_CWORD -gt 1 ]]; then
        command=${COMP_WORDS[1]} i=2
    fi
    _lunik_table "$command"
    if [[ $prev == : ]]; then # read:PATH
        _lunik_offer file
        return
    elif [[ $cur == = ]]; then
        cur='' offer=$(_lunik_value "$command" "$prev")
        _lunik_offer "$offer"
        return
    elif [[ $prev == = ]]; then
        offer=$(_lunik_value "$command" "${COMP_WORDS[COMP_CWORD-2]}")
        _lunik_offer "$offer"
        return
    fi
    while [[ $i -lt $COMP_CWORD ]]; do # counts the arguments before this word
        if [[ " $valued " == *" ${COMP_WORDS[i]} "* ]]; then
            i=$((i + 1))
        elif [[ ${COMP_WORDS[i]} == = ]]; then
            i=$((i + 1))
        elif [[ ${COMP_WORDS[i]} != -* ]]; then
            n=$((n + 1))
        fi
        i=$((i + 1))
    done
    if [[ $i -gt $COMP_CWORD ]]; then
        offer=$(_lunik_value "$command" "$prev")
        _lunik_offer "$offer"
    elif [[ $cur == -* && ($n -eq 0 || $command != "$_lunik_first") ]]; then
        _lunik_offer "words $options"
    else
        [[ $n -lt ${#arguments[@]} ]] || n=$((${#arguments[@]} - 1))
        _lunik_offer "$([[ $n -lt 0 ]] || echo "${arguments[n]:-file}")"
        if [[ $COMP_CWORD -eq 1 ]]; then
            mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W "$_lunik_commands" -- "$cur")
        fi
    fi
}

complete -F _lunik lunik]=]

function bash.write()
  local names = {}
  for i, command in ipairs(known.commands) do names[i] = command.name end
  print_lines("# bash completion for lunik, made by packaging/completions.lua.",
    "",
    "_lunik_commands=" .. quoted(table.concat(names, " ")),
    "_lunik_first=" .. known.commands[1].name,
    "",
    "# Sets options, valued (those whose value is the next word) and arguments of a command.",
    "_lunik_table()",
    "{",
    "    case $1 in")
  for _, command in ipairs(known.commands) do bash_command(command) end
  print_lines("    esac",
    "}",
    "",
    "# Prints what to offer as the value of option $2 of command $1.",
    "_lunik_value()",
    "{",
    "    local offer=''",
    "    case \"$1 $2\" in")
  for _, command in ipairs(known.commands) do bash_values(command) end
  print_lines("    esac", "    echo \"$offer\"", "}", "", BASH_END)
end

-- ---- zsh ---------------------------------------------------------------------------------------

local zsh = {}

local ACTIONS = { file = "_files", folder = "_files -/", module = '_files -g "*.lua"' }

local function action(complete)
  if type(complete) ~= "table" then return ACTIONS[complete] or " " end
  return ("(%s)"):format((table.concat(complete, " "):gsub(":", "\\:")))
end

-- The first sentence of a text, or what is before its first details, in brackets.
local function described(text)
  text = text:gsub(", e%.g%..*", "")
  text = text:match "^(.-)[.:;] " or text:match "^(.-) %(" or text
  return "[" .. text:gsub("[%[%]\\:]", "\\%0") .. "]"
end

-- The specification for _arguments of one name of an option.
local function zsh_option(option, name)
  local long = name:sub(1, 2) == "--"
  local others = option.many and "*" or ("(%s)"):format(table.concat(option.names, " "))
  local suffix, value = "", ""
  if option.value then
    suffix = not long and "+" or option.optional and "=-" or "="
    value = (option.optional and "::" or ":") .. option.value .. ":" .. action(option.complete)
  end
  return "        " .. quoted(others .. name .. suffix .. described(option.help) .. value)
end

local function zsh_command(command)
  local lines = {}
  for _, option in ipairs(command.options) do
    for _, name in ipairs(option.names) do
      if name ~= "--" then table.insert(lines, zsh_option(option, name)) end
    end
  end
  for i, argument in ipairs(command.arguments or {}) do
    local place = argument.many and "*" or tostring(i)
    table.insert(lines, "        " .. quoted(("%s:%s:%s"):format(place, argument.name,
      action(argument.complete or "file"))))
  end
  print_lines(("_lunik_%s() {"):format(command.name),
    "    _arguments -s -S : \\",
    table.concat(lines, " \\\n"),
    "}",
    "")
end

function zsh.write()
  print_lines("#compdef lunik", "# Made by packaging/completions.lua.", "")
  local commands = {}
  for i, command in ipairs(known.commands) do
    zsh_command(command)
    commands[i] = "        " .. quoted(command.name .. ":" .. command.summary:gsub(":", "\\:"))
  end
  local first = known.commands[1].name
  print_lines("_lunik() {",
    "    local -a commands=(",
    table.concat(commands, "\n"),
    "    )",
    "    if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then",
    "        _describe command commands",
    "        _files",
    "    elif (( CURRENT > 2 && $+functions[_lunik_$words[2]] )); then",
    "        local command=$words[2]",
    "        shift words",
    "        (( CURRENT-- ))",
    "        _lunik_$command",
    "    else",
    ("        _lunik_%s"):format(first),
    "    fi",
    "}",
    "",
    '_lunik "$@"')
end

-- ------------------------------------------------------------------------------------------------

assert(({ bash = bash, zsh = zsh })[arg[2]], "usage: completions.lua TABLE bash|zsh").write()
