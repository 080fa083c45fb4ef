-- Makes an image of a Linux guest whose /init is the agent: image.lua initrd|root AGENT OUTPUT.
local kind, agent, output = table.unpack(arg)

local entries = {
  ["/init"] = { file = agent, mode = "755" },
  ["/dev/console"] = { char = { 5, 1 } },
  ["/proc"] = { dir = true }, ["/sys"] = { dir = true },
}
if kind == "initrd" then
  require("lunik.initramfs").write(output, entries)
else
  require("lunik.ext2").write(output, entries, { size = "16M" })
end
