-- Turns compiled ASL parts into C: lua5.4 acpi/embed.lua AML_DIR part.asl... > parts.c
--
-- A part is the term list of one compiled source, without table header and without the block of
-- External declarations that iasl puts first. Values that a board decides are patched in when the
-- tables are assembled; this script finds their places:
--
--   Name (ABCD, 0x12345678)          a value ABCD that a device must give, 32 bits wide
--   Name (ABCD, 0x1234567812345678)  the same with 64 bits
--   Name (ABCD, 0x0009)              another number of 2, 4, 8 or 16 digits: ABCD may be given;
--                                    otherwise the number stays
--   // @digits UNIT MP00             the value UNIT replaces, in hexadecimal, the zeros that the
--                                    name MP00 ends in
--   // @offset UNIT _STA             the field _STA, at Offset (255) in the source, gets UNIT as its
--                                    offset
--   // @bytes UNIT 7E 7F             the value UNIT replaces the numbers 0x7E and 0x7F
--
-- A line "// @isa" says that the part's devices have no path: they go below the ISA bridge, if the
-- machine has one.
--
-- Each place must be found exactly once, or the build fails. A part with a value UNIT can be used many
-- times; the table builder numbers the copies and gives each its UNIT and _UID.

local HEADER = 36
local REQUIRED = { [0x12345678] = true, [0x1234567812345678] = true }
-- Digits in the source -> bytes in the code and the AML prefix they have there.
local WIDTHS = {
    [2] = { 1, "\x0A" }, [4] = { 2, "\x0B" }, [8] = { 4, "\x0C" }, [16] = { 8, "\x0E" },
}

local function fail(part, ...)
    io.stderr:write("acpi/", part, ".asl: ", string.format(...), "\n")
    os.exit(1)
end

local function read(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read("a")
    file:close()
    return text
end

-- The number of bytes that a PkgLength at position i says, itself included.
local function package_length(aml, i)
    local lead = aml:byte(i)
    local more = lead >> 6
    if more == 0 then
        return lead
    end
    return string.unpack("<I" .. more, aml, i + 1) << 4 | lead & 0x0F
end

-- iasl writes External declarations as If (Zero) { External ... }, first in the table.
local function strip_externals(aml)
    if aml:byte(1) ~= 0xA0 then
        return aml
    end
    local length = package_length(aml, 2)
    local more = aml:byte(2) >> 6
    if aml:sub(3 + more, 4 + more) ~= "\x00\x15" then
        return aml
    end
    return aml:sub(2 + length)
end

-- The position of the only occurrence of a string.
local function find_once(part, aml, what, bytes)
    local at = aml:find(bytes, 1, true)
    if not at then
        fail(part, "%s is not in the compiled code", what)
    end
    if aml:find(bytes, at + 1, true) then
        fail(part, "%s is in the compiled code more than once", what)
    end
    return at
end

local function segment(name)
    return name .. ("_"):rep(4 - #name)
end

local function integers(part, asl, aml, patches)
    for name, digits in asl:gmatch("Name%s*%(%s*([%w_]+)%s*,%s*0x(%x+)%s*%)") do
        if WIDTHS[#digits] then
            local width, prefix = table.unpack(WIDTHS[#digits])
            local value = tonumber(digits, 16)
            local bytes = "\x08" .. segment(name) .. prefix .. string.pack("<I" .. width, value)
            local at = find_once(part, aml, "Name (" .. name .. ", 0x" .. digits .. ")", bytes)
            patches[#patches + 1] = {
                name = segment(name), kind = "ACPI_PATCH_INTEGER", offset = at - 1 + 6,
                width = width, required = REQUIRED[value] or false,
            }
        end
    end
end

local function digits(part, asl, aml, patches)
    for value, name in asl:gmatch("// @digits (%S+) (%S+)") do
        local zeros = name:match("0+$")
        if #name ~= 4 or not zeros then
            fail(part, "@digits %s: '%s' is not four characters that end in zeros", value, name)
        end
        patches[#patches + 1] = {
            name = segment(value), kind = "ACPI_PATCH_DIGITS", width = #zeros, required = true,
            offset = find_once(part, aml, "the name " .. name, name) - 1 + 4 - #zeros,
        }
    end
end

local function offsets(part, asl, aml, patches)
    for value, name in asl:gmatch("// @offset (%S+) (%S+)") do
        -- A reserved field of 255 * 8 bits in front.
        local at = find_once(part, aml, "Offset (255), " .. name, "\x00\x48\x7F" .. segment(name))
        patches[#patches + 1] = {
            name = segment(value), kind = "ACPI_PATCH_OFFSET", offset = at, width = 1, required = true,
        }
    end
end

local function bytes(part, asl, aml, patches)
    for value, places in asl:gmatch("// @bytes (%S+) ([%x ]+)\n") do
        for hex in places:gmatch("%x%x") do
            local number = "\x0A" .. string.char(tonumber(hex, 16))
            patches[#patches + 1] = {
                name = segment(value), kind = "ACPI_PATCH_INTEGER", width = 1, required = true,
                offset = find_once(part, aml, "0x" .. hex, number) - 1 + 1,
            }
        end
    end
end

local function bytes_of(aml)
    local lines = {}
    for i = 1, #aml, 16 do
        lines[#lines + 1] = "    " .. aml:sub(i, i + 15):gsub(".", function(c)
            return string.format("0x%02x,", c:byte())
        end)
    end
    return table.concat(lines, "\n")
end

local dir = table.remove(arg, 1)
local entries = {}

io.write('#include "acpi.h"\n')
for _, path in ipairs(arg) do
    local part = path:match("([^/]+)%.asl$")
    local asl = read(path)
    local aml = strip_externals(read(dir .. "/" .. part .. ".aml"):sub(HEADER + 1))
    local patches = {}
    integers(part, asl, aml, patches)
    digits(part, asl, aml, patches)
    offsets(part, asl, aml, patches)
    bytes(part, asl, aml, patches)

    io.write("\nstatic const uint8_t ", part, "_aml[] = {\n", bytes_of(aml), "\n};\n")
    io.write("static const struct acpi_patch ", part, "_patches[] = {\n")
    for _, p in ipairs(patches) do
        io.write(string.format('    {"%s", %s, %d, %d, %s},\n', p.name, p.kind, p.offset, p.width,
            p.required))
    end
    io.write("    {.name = \"\"},\n};\n")
    entries[#entries + 1] = string.format('    {"%s", %s_aml, sizeof(%s_aml), %s_patches, %s},\n',
        part, part, part, part, asl:find("\n// @isa\n", 1, true) ~= nil)
end
io.write("\nconst struct acpi_part acpi_parts[] = {\n", table.concat(entries),
    "    {.name = NULL},\n};\n",
    '_Static_assert(sizeof(acpi_parts) / sizeof(*acpi_parts) <= ACPI_MAX_PARTS, "many parts");\n')
