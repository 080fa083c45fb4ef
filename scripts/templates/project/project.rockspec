package = "@NAME@"
version = "0.1-1"
source = { url = "git+https://example.org/@NAME@.git" }
description = {
  summary = "A board and a device for Lunik",
  license = "MIT",
}
dependencies = { "lua >= 5.4" }
build = {
  type = "builtin",
  modules = { @MODULE@ = "src/@MODULE@.lua" },
}
