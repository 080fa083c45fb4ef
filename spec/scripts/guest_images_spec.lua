-- scripts/lunik/guest_images.lua in a build folder; spec/install_spec.lua and
-- spec/packaging/rock_spec.lua look for the images in installations.
local command = require "spec.support.command"
local images = require "lunik.guest_images"

describe("an image of a small guest", function()
  it("is found by a script, in the command and in Lua", function()
    for _, name in ipairs { "small.elf", "agent" } do
      assert.equal("\127ELF", command.read(images.path(name)):sub(1, 4))
      local out = command.run(([[env -u LUNIK_BUILD '%s' -e 'io.write(
        require("lunik.guest_images").path "%s")' /dev/null]]):format(command.lunik, name))
      assert.equal(command.read(images.path(name)), command.read(out))
    end
  end)

  it("that is unknown is refused", function()
    local ok, err = pcall(images.path, "large.elf")
    assert.is_false(ok)
    assert.equal("not-found", err.code)
    assert.matches("guest_images: large.elf is in none of ", err.message, 1, true)
  end)
end)
