--- Expressions of monitor commands: "$rip + 0x10", "(1 << 4) | 3", "'a'".
--
-- Numbers are C's: decimal, 0x hexadecimal, 0 octal. $name is a register. The operators are those
-- of QEMU's monitor, in its three ranks: + -, then & | ^, then * / %; shifts have the last rank.
-- All is done with 64 bits; / and % are unsigned.

local options = require "lunik.options"

local expression = {}

local function fail(e, what)
  options.fail("invalid", "'%s': %s", e.text, what)
end

local function skip(e)
  e.at = e.text:match("^%s*()", e.at)
end

-- Takes the pattern's capture if it comes next.
local function take(e, pattern)
  local found, after = e.text:match("^(" .. pattern .. ")()", e.at)
  if not found then return nil end
  e.at = after
  skip(e)
  return found
end

local sum

local function number(e, digits)
  local value = digits:find "^0[0-7]+$" and tonumber(digits, 8) or math.tointeger(tonumber(digits))
  if not value and digits:find "^%d+$" then
    local fits
    value, fits = 0, #digits <= 20
    for digit in digits:gmatch "%d" do value = value * 10 + tonumber(digit) end
    if not fits or (#digits == 20 and digits > "18446744073709551615") then value = nil end
  end
  if not value or digits:find "^0[xX]" and #digits:gsub("^0[xX]0*", "") > 16 then
    fail(e, ("%s is not a number of 64 bits"):format(digits))
  end
  return value
end

local function atom(e)
  if take(e, "%(") then
    local value = sum(e)
    if not take(e, "%)") then fail(e, "')' is missing") end
    return value
  end
  local char = take(e, "'.'")
  if char then return char:byte(2) end
  local name = take(e, "%$[%w._]+")
  if name then return e.register(name:sub(2)) end
  local digits = take(e, "0[xX]%x+") or take(e, "%d+")
  if digits then return number(e, digits) end
  local rest = e.text:sub(e.at)
  fail(e, rest == "" and "a value is missing at the end"
    or ("'%s' is not a value (want a number, $register or '('"):format(rest) .. ")")
end

local function signed(e)
  local sign = take(e, "[-+~]")
  if sign == "-" then return -signed(e) end
  if sign == "~" then return ~signed(e) end
  return sign and signed(e) or atom(e)
end

local function divided(e, value, by, operator)
  if by == 0 then fail(e, "division by zero") end
  if operator == "%" then
    local quotient = divided(e, value, by, "/")
    return value - quotient * by
  elseif by < 0 then
    return math.ult(value, by) and 0 or 1
  elseif value >= 0 then
    return value // by
  end
  local quotient = ((value >> 1) // by) << 1
  return math.ult(value - quotient * by, by) and quotient or quotient + 1
end

local binary = {
  ["+"] = function(a, b) return a + b end,
  ["-"] = function(a, b) return a - b end,
  ["&"] = function(a, b) return a & b end,
  ["|"] = function(a, b) return a | b end,
  ["^"] = function(a, b) return a ~ b end,
  ["*"] = function(a, b) return a * b end,
  ["<<"] = function(a, b) return a << b end,
  [">>"] = function(a, b) return a >> b end,
}

-- Returns a function that takes operands, joined by the operators that one of the patterns finds.
local function rank(patterns, operand)
  return function(e)
    local value = operand(e)
    while true do
      local operator
      for _, pattern in ipairs(patterns) do operator = operator or take(e, pattern) end
      if not operator then return value end
      local right = operand(e)
      local apply = binary[operator]
      value = apply and apply(value, right) or divided(e, value, right, operator)
    end
  end
end

-- A slash that a path begins with is none of the expression's: "pmemsave 0 16 /tmp/x".
local DIVIDED = "/%f[%s%d(~$'+-]"

sum = rank({ "[-+]" }, rank({ "[&|^]" }, rank({ "[*%%]", DIVIDED, "<<", ">>" }, signed)))

--- Returns the value of the expression at position `at` of text, and where what follows it begins.
-- register(name) returns the value of a register, or raises an error.
function expression.take(text, at, register)
  local e = { text = text, at = at, register = register }
  skip(e)
  local value = sum(e)
  return value, e.at
end

--- Returns the value of the whole text.
function expression.value(text, register)
  local value, after = expression.take(text, 1, register)
  if after <= #text then
    options.fail("invalid", "'%s': '%s' is too much", text, text:sub(after))
  end
  return value
end

return expression
