package = "memory-ladder"
version = "1.0-1"
source = { url = "git+https://example.org/memory-ladder.git" }
description = {
  summary = "Gives a virtual machine memory in steps, and takes it back",
  license = "MIT",
}
dependencies = { "lua >= 5.4" }
build = {
  type = "builtin",
  modules = { memory_ladder = "src/memory_ladder.lua" },
}
