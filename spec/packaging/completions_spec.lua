-- Completion of the command's options in bash and zsh, made by packaging/completions.lua.
local command = require "spec.support.command"
local table_of_options = require "lunik.command.options_table"
local terminal = require "spec.support.terminal"

local run = command.run
local on_terminal = terminal.runner(function(reason) pending(reason) end)
local BASH = command.build .. "/completions/lunik"
local ZSH = command.build .. "/completions"

-- What bash offers for the last of the words, sorted: outside of a terminal, where compopt fails.
local function bash(...)
  local words = {}
  for i, word in ipairs { ... } do words[i] = ("'%s'"):format(word) end
  local script <close> = command.file(([[
    . %s
    compopt() { :; }
    COMP_WORDS=(lunik %s)
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _lunik
    printf '%%s\n' "${COMPREPLY[@]}" | sort
  ]]):format(BASH, table.concat(words, " ")))
  local out, err, code = run("bash " .. script)
  assert.same({ "", 0 }, { err, code })
  local offered = {}
  for line in out:gmatch "[^\n]+" do table.insert(offered, line) end
  return offered
end

local function has(list, word)
  for _, member in ipairs(list) do
    if member == word then return true end
  end
  return false
end

describe("completion in bash", function()
  it("offers each option of each command", function()
    for _, known in ipairs(table_of_options.commands) do
      local offered = bash(known.name, "-")
      for _, option in ipairs(known.options) do
        for _, name in ipairs(option.names) do
          assert.is_true(has(offered, name) or has(offered, name .. "="), name)
        end
      end
    end
  end)

  it("offers commands and files first", function()
    local offered = bash ""
    for _, known in ipairs(table_of_options.commands) do
      assert.is_true(has(offered, known.name), known.name)
    end
    assert.is_true(has(offered, "README.md"))
    assert.is_true(has(bash "-", "--version"), "options of the first command")
  end)

  it("offers an option's values", function()
    assert.same({ "rejected" }, bash("-d", ""))
    assert.same({ "none", "network" }, { bash("--sandbox", "=", "no")[1],
      bash("run", "--sandbox", "=", "net")[1] })
    assert.same({ "README.md" }, bash("--sandbox", "=", "read", ":", "READ"))
    assert.same({}, bash("-e", "R"))
  end)

  it("offers files after the script, not options", function()
    assert.same({ "README.md" }, bash("script.lua", "READ"))
    assert.same({}, bash("script.lua", "--ver"))
    assert.same({ "README.md" }, bash("-o", "memory=1G", "READ"))
  end)

  it("works on a terminal", function()
    on_terminal(terminal.SHELL, {
      { "bash-", (". %s\nlunik() { echo \"<$*>\"; }\n"):format(BASH) },
      { "bash-", "lunik --vers\t\n" }, { "<--version>", "lunik --sand\tnone\n" },
      { "<--sandbox=none>", "lunik he\tru\t\n" }, { "<help run>", "exit\n" } })
  end)
end)

describe("completion in zsh", function()
  it("offers options, values and commands", function()
    if select(3, run "command -v zsh") ~= 0 then return pending "there is no zsh" end
    on_terminal("env PS1='zsh- ' ZDOTDIR=/nonexistent zsh -f -i", {
      { "zsh- ", ("fpath=(%s $fpath); autoload -U compinit; compinit -D -u\n"):format(ZSH) },
      { "zsh- ", "lunik() { echo \"<$*>\" }\n" },
      { "zsh- ", "lunik --vers\t\n" }, { "<--version", "lunik --sandbox=non\t\n" },
      { "<--sandbox=none", "lunik he\trun\n" }, { "<help run>", "lunik run -d re\t\n" },
      { "<run -d rejected", "exit\n" },
    })
  end)
end)
