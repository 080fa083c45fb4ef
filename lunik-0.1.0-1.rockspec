rockspec_format = "3.0"
package = "lunik"
version = "0.1.0-1"

-- The file that `make dist` writes, next to this one. `luarocks make` builds the tree it stands in.
source = { url = "lunik-0.1.0.tar.gz" }

description = {
  summary = "Virtual machines on Linux/KVM, composed and driven from Lua",
  detailed = "A machine is built from parts that a script connects. Memory is added to and "
    .. "removed from a running guest, and the guest's answers are events that a test waits for.",
  license = "MIT",
  labels = { "virtualization", "kvm", "testing" },
}

supported_platforms = { "linux" }
dependencies = { "lua >= 5.4, < 5.5" }

-- The Makefile says what packages of the system it needs: make deps, make check-deps.
build = {
  type = "make",
  build_target = "all",
  build_variables = {},
  install_target = "rock-install",
  install_variables = {
    ROCK_PREFIX = "$(PREFIX)", ROCK_BIN = "$(BINDIR)", ROCK_LUA = "$(LUADIR)",
    ROCK_LIB = "$(LIBDIR)",
  },
}
