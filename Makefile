# Lunik: build, test, install. `make help` lists the targets and variables.

ifeq ($(origin CC),default)
CC        = gcc
endif
CFLAGS   ?= -O2 -g
PREFIX   ?= /usr/local
LIBDIR   ?= $(PREFIX)/lib
SANITIZE ?=
Q         = $(if $(V),,@)
# The linters' names, so that a newer one can be chosen.
CLANG_FORMAT ?= clang-format
CLANG_TIDY   ?= clang-tidy

empty :=
space := $(empty) $(empty)
comma := ,

# Each combination of sanitizers has a build folder of its own: build/asan for
# address,undefined, build/tsan for thread.
SANITIZE_DIR_address,undefined = build/asan
SANITIZE_DIR_thread            = build/tsan
SANITIZE_DIR_ = build
BUILD ?= $(or $(SANITIZE_DIR_$(SANITIZE)),build/$(subst $(comma),-,$(SANITIZE)))

VERSION := $(subst $(space),.,$(foreach part,MAJOR MINOR PATCH,$(shell sed -n \
    's/^\#define LUNIK_VERSION_$(part) //p' runtime/lunik.h)))
SONAME   = liblunik.so.0
LUA_SONAME = liblunik-lua.so.0

# ---- packages -----------------------------------------------------------------------------------
# Debian package, how to find out whether it is installed, group, where it is used.

define PACKAGES
pkg-config    command:pkg-config     build  the Makefile: compiler and linker flags
lua5.4        command:lua5.4         build  the build of boards and tables, every script
liblua5.4-dev pkg:lua5.4             build  bindings/: the Lua module and the lunik command
libuv1-dev    pkg:libuv              build  runtime/core/loop.c: the event loop
liburcu-dev   pkg:liburcu-memb       build  runtime/core/rcu.c: flat views read without a lock
libxxhash-dev header:xxhash.h        build  runtime/memory/bulk.c: hashes of guest memory
libmd-dev     header:sha2.h          build  runtime/memory/sha256.c
libseccomp-dev pkg:libseccomp        build  runtime/sandbox/sandbox_generate.c: the sandbox
libedit-dev   pkg:libedit            build  bindings/command/lineedit.c: the prompt's line editing
libslirp-dev  header:slirp/libslirp.h test devices/net/netdev_user.c: the user-mode network
acpica-tools  command:iasl           build  acpi/: compiles the ASL sources
libcapstone-dev header:capstone/capstone.h test bindings/disassemble.c: x/i of HMP (optional)
liburing-dev  pkg:liburing           test   devices/block/: io_uring (optional)
lua-busted    command:busted         test   spec/: the Lua specs
lua-luv       lua:luv                test   spec/: specs that share a loop with luv
gdb           command:gdb            test   spec/: debugs guests and programs
libvirt-clients command:virsh        test   spec/: drives a machine of lunik-qemu
libvirt-daemon file:/usr/sbin/libvirtd test spec/: drives a machine of lunik-qemu
libvirt-daemon-driver-qemu file:/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so test spec/: drives a machine of lunik-qemu
seabios       file:/usr/share/seabios/bios.bin  test  spec/: boots a firmware image
chromium      command:chromium       browser spec/: opens a report in a browser
xz-utils      command:xz             test   .ci/run: unpacks a Linux guest built before
qemu-system-x86 command:qemu-system-x86_64 bench  make bench: to compare with
lua-luv       lua:luv                bench  make bench: runs other programs
clang         command:clang          fuzz   CC=clang, make fuzz
libclang-rt-14-dev file:/usr/lib/clang/14/lib/linux/libclang_rt.fuzzer-x86_64.a fuzz make fuzz
valgrind      command:valgrind       valgrind  make valgrind
clang-format  command:clang-format   lint   make format, make lint
clang-tidy    command:clang-tidy     lint   make lint
cppcheck      command:cppcheck       lint   make lint
lua-check     command:luacheck       lint   make lint
shellcheck    command:shellcheck     lint   make lint
linux-source-6.1 file:/usr/src/linux-source-6.1.tar.xz  kernel  make guest-linux: the sources
flex          command:flex           kernel make guest-linux: Kconfig
bison         command:bison          kernel make guest-linux: Kconfig
bc            command:bc             kernel make guest-linux: timeconst.h
libelf-dev    header:libelf.h        kernel make guest-linux: objtool
libssl-dev    header:openssl/ssl.h   kernel make guest-linux: certificates
xz-utils      command:xz             kernel make guest-linux: unpacks the sources
pandoc        command:pandoc         docs   make docs
debhelper     command:dh             package  make deb
dpkg-dev      command:dpkg-buildpackage  package  make deb
chrpath       command:chrpath        package  make deb
lintian       command:lintian        package  make deb: checks the packages
abigail-tools command:abidiff        package  make abi, spec/packaging/abi_spec.lua
debootstrap   command:debootstrap    package  make package-check
luarocks      command:luarocks       package  spec/packaging/rock_spec.lua
zsh           command:zsh            package  spec/packaging/completions_spec.lua
endef
export PACKAGES

# Looks for each package of the groups $$WANTED, then installs what is missing ($$ACTION install) or
# lists it.
define DEPS
have() { case $$1 in
    command:*) command -v "$${1#*:}" ;;
    pkg:*) pkg-config --exists "$${1#*:}" ;;
    header:*) echo "#include <$${1#*:}>" | $${CC:-cc} -E - ;;
    lua:*) lua5.4 -e "require '$${1#*:}'" ;;
    file:*) test -e "$${1#*:}" ;;
    esac; } >/dev/null 2>&1
missing='' list=''
while read -r package probe group use; do
    case " $$WANTED " in *" $$group "*) have "$$probe" </dev/null && continue ;; *) continue ;; esac
    missing="$$missing $$package" list="$$list$$(printf '\n  %-18s %s' "$$package" "$$use")"
done <<END
$$PACKAGES
END
[ "$$missing" ] || exit 0
sudo='' ; [ "$$(id -u)" = 0 ] || sudo=$$(command -v sudo || echo none)
if [ "$$ACTION" != install ] || [ "$$sudo" = none ] || ! command -v apt-get >/dev/null; then
    echo "Missing packages (Debian names) and where they are used:$$list" >&2
    echo "'make deps' installs them where there is apt and root or sudo." >&2
    exit 1
fi
apt() { $$sudo env DEBIAN_FRONTEND=noninteractive apt-get -y -q "$$@"; }
echo "Installing with apt-get:$$missing"
# shellcheck disable=SC2086 # packages are words
apt install --no-install-recommends $$missing >/dev/null 2>&1 ||
    { apt update >/dev/null && apt install --no-install-recommends $$missing >/dev/null; }
endef
export DEPS

# ---- sources and flags --------------------------------------------------------------------------

# Files that match a suffix, in a folder and in all folders below it.
below    = $(foreach f,$(wildcard $(1)/*),$(if $(filter %$(2),$(f)),$(f),$(call below,$(f),$(2))))

LIB_SRC  = $(filter-out $(GEN_SRC),$(call below,runtime,.c) $(call below,devices,.c) $(wildcard acpi/*.c))
# The program that generates the code of the sandbox's filters.
GEN_SRC  = runtime/sandbox/sandbox_generate.c runtime/sandbox/sandbox_calls.c
# Only the lunik command handles terminals; for a prompt it loads the module that links libedit.
MAIN_SRC = bindings/command/main.c bindings/command/modules.c bindings/command/daemon.c
EDIT_SRC = $(addprefix bindings/command/,lineedit.c history.c keys.c)
BIND_SRC = $(filter-out $(MAIN_SRC) $(EDIT_SRC),$(wildcard bindings/*.c))
TEST_SRC := $(sort $(shell find spec -name 'test_*.c'))

LIB_OBJ  = $(LIB_SRC:%.c=$(BUILD)/obj/%.o) $(BUILD)/obj/sandbox/filters.o
GEN_OBJ  = $(GEN_SRC:%.c=$(BUILD)/obj/%.o)
BIND_OBJ = $(BIND_SRC:%.c=$(BUILD)/obj/%.o)
MAIN_OBJ = $(MAIN_SRC:%.c=$(BUILD)/obj/%.o)
EDIT_OBJ = $(EDIT_SRC:%.c=$(BUILD)/obj/%.o)
TEST_OBJ = $(TEST_SRC:%.c=$(BUILD)/obj/%.o)
TESTS    = $(patsubst %.c,$(BUILD)/spec/%,$(notdir $(TEST_SRC)))
EXAMPLES = $(patsubst scripts/examples/%.c,$(BUILD)/examples/%,$(wildcard scripts/examples/*.c))
# The Lua module that makes calls fail, for specs. nodelete: the library still calls its wrappers after
# Lua has closed.
FAULTS     = $(BUILD)/lua/faults.so
FAULTS_OBJ = $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard spec/faults/*.c))

# pkg-config may be missing itself, so it is called only when the first recipe needs it, and only once.
once = $(eval $(1) := $(2))$($(1))
PKG_CFLAGS = $(call once,PKG_CFLAGS,$(shell pkg-config --cflags lua5.4 libuv liburcu-memb))
# Disks use io_uring where liburing is there.
URING      = $(call once,URING,$(shell pkg-config --silence-errors --libs liburing))
LIB_LIBS   = $(call once,LIB_LIBS,$(shell pkg-config --libs libuv liburcu-memb; \
             pkg-config --silence-errors --libs liburing) -lxxhash -lmd -pthread)
LUA_LIBS   = $(call once,LUA_LIBS,$(shell pkg-config --libs lua5.4) -lm)

# Loaded when a program first needs it: only its header has to be there.
SLIRP = $(call once,SLIRP,$(shell echo '\#include <slirp/libslirp.h>' | $(CC) -E - >/dev/null 2>&1 && \
        echo -DLUNIK_SLIRP))

# The same with the disassembler.
CAPSTONE = $(call once,CAPSTONE,$(shell echo '\#include <capstone/capstone.h>' | $(CC) -E - >/dev/null 2>&1 && \
        echo -DLUNIK_CAPSTONE))

WARN  = -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
        -Wno-unused-parameter -Wno-gnu-variable-sized-type-not-at-end
CSTD  = -std=gnu11 -fvisibility=hidden -fPIC -pthread -MMD -MP
INC   = -Iruntime -I$(BUILD) $(PKG_CFLAGS) $(SLIRP) $(CAPSTONE)
# Of what is below spec/.
SPEC_INC = -I. -Ispec/support
ifneq ($(SANITIZE),)
SAN   = -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer
ifneq ($(findstring thread,$(SANITIZE)),)
SAN  += $(if $(findstring clang,$(CC)),,-Wno-tsan)
endif
endif
FLAGS   = $(CC) $(CSTD) $(WARN) $(CPPFLAGS) $(CFLAGS) $(SAN) $(INC)
# The products are the same wherever the tree lies.
COMPILE = $(FLAGS) -ffile-prefix-map="$(CURDIR)"=.
LINK    = $(CC) $(CFLAGS) $(SAN) $(LDFLAGS)

# ---- the build ----------------------------------------------------------------------------------

# The Lua half, compiled for the lunik command.
MODULES  = $(call below,scripts/lunik,.lua)
COMPILED = $(MODULES:scripts/lunik/%.lua=$(BUILD)/compiled/lunik/%.lua)

PRODUCTS = $(BUILD)/liblunik.so $(BUILD)/liblunik-lua.so $(BUILD)/lua/lunik/core.so $(BUILD)/lua/lunik/lineedit.so \
           $(BUILD)/lunik $(BUILD)/lunik-qemu $(BUILD)/scripts $(COMPILED)

.DEFAULT_GOAL = all
.DELETE_ON_ERROR:

all: check-deps ## build the library, the Lua module, the command and the small guest
	@+$(MAKE) --no-print-directory products

products: $(PRODUCTS) guests

# AML from acpi/*.asl; the guests of spec/guests/.
guests:
-include acpi/acpi.mk
-include spec/guests/guests.mk
-include spec/fuzz/fuzz.mk
-include bench/bench.mk
include packaging/packaging.mk

# A change of compiler or flags rebuilds all objects; a move of the tree does not.
BUILT_WITH = $(CC) -ffile-prefix-map $(CPPFLAGS) $(CFLAGS) $(SAN) $(LDFLAGS)
$(BUILD)/.flags: FORCE
	@mkdir -p $(@D)
	@echo '$(BUILT_WITH)' | cmp -s - $@ || echo '$(BUILT_WITH)' > $@

$(BUILD)/obj/spec/% $(BUILD)/analyzer/spec/%: INC += $(SPEC_INC)
$(BUILD)/obj/devices/block/% $(BUILD)/analyzer/devices/block/% $(BUILD)/obj/bench/block.o: \
    INC += $(if $(URING),-DHAVE_LIBURING)

$(BUILD)/obj/%.o: %.c $(BUILD)/.flags
	@mkdir -p $(@D)
	@echo '  CC   $<'
	$(Q)$(COMPILE) -c -o $@ $<

$(BUILD)/sandbox/generate: $(GEN_OBJ)
	@mkdir -p $(@D)
	@echo '  LINK $@'
	$(Q)$(LINK) -o $@ $^ -lseccomp

$(BUILD)/sandbox/filters.c: $(BUILD)/sandbox/generate
	@echo '  GEN  $@'
	$(Q)$< > $@

$(BUILD)/obj/sandbox/filters.o: $(BUILD)/sandbox/filters.c $(BUILD)/.flags
	@mkdir -p $(@D)
	@echo '  CC   $<'
	$(Q)$(COMPILE) -c -o $@ $<

# nodelete: the RCU reclaimer thread outlives every runtime, so the code must stay when Lua unloads
# its modules.
$(BUILD)/$(SONAME): $(LIB_OBJ) runtime/lunik.map
	@echo '  LINK $@'
	$(Q)$(LINK) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=runtime/lunik.map -Wl,-z,nodelete \
	    $(if $(SAN),,-Wl,-z,defs) -o $@ $(LIB_OBJ) $(LIB_LIBS)

$(BUILD)/liblunik.so: $(BUILD)/$(SONAME)
	@ln -sf $(SONAME) $@

# C programs link with this library (lunik_lua.h); Lua finds it as lunik/core.so. The run paths fit
# both names, in the build folder and in an installation.
$(BUILD)/$(LUA_SONAME): $(BIND_OBJ) $(BUILD)/liblunik.so bindings/lunik-lua.map
	@mkdir -p $(@D)
	@echo '  LINK $@'
	$(Q)$(LINK) -shared -Wl,-soname,$(LUA_SONAME) -Wl,--version-script=bindings/lunik-lua.map \
	    -Wl,-rpath,'$$ORIGIN:$$ORIGIN/../..:$$ORIGIN/../../..' -o $@ $(BIND_OBJ) \
	    -L$(BUILD) -llunik $(LIB_LIBS) -lm

$(BUILD)/liblunik-lua.so: $(BUILD)/$(LUA_SONAME)
	@ln -sf $(LUA_SONAME) $@

$(BUILD)/lua/lunik/core.so: $(BUILD)/$(LUA_SONAME)
	@mkdir -p $(@D)
	@ln -sf ../../$(LUA_SONAME) $@

# The command exports the symbols that this module uses. nodelete: libedit's exit handlers and state
# last until the process ends.
$(BUILD)/lua/lunik/lineedit.so: $(EDIT_OBJ) $(BUILD)/.flags
	@mkdir -p $(@D)
	@echo '  LINK $@'
	$(Q)$(LINK) -shared -Wl,-z,nodelete -o $@ $(EDIT_OBJ) -ledit

$(BUILD)/lunik: $(MAIN_OBJ) $(BIND_OBJ) $(BUILD)/liblunik.so
	@echo '  LINK $@'
	$(Q)$(LINK) -rdynamic -Wl,-rpath,'$$ORIGIN' -o $@ $(MAIN_OBJ) $(BIND_OBJ) \
	    -L$(BUILD) -llunik $(LIB_LIBS) $(LUA_LIBS)

# The same program, which understands QEMU's command line under this name.
$(BUILD)/lunik-qemu: $(BUILD)/lunik
	@ln -sf lunik $@

$(BUILD)/scripts:
	@mkdir -p $(@D)
	@ln -sfn "$(CURDIR)/scripts" $@

$(BUILD)/compiled/lunik/%.lua: scripts/lunik/%.lua bindings/command/compile.lua
	@mkdir -p $(@D)
	$(Q)lua5.4 bindings/command/compile.lua $< $@ "$(CURDIR)/$<"

# A C unit test is linked with the library's objects, so that it can call internal functions.
$(foreach source,$(TEST_SRC),$(eval $(BUILD)/spec/$(basename $(notdir $(source))): \
    $(source:%.c=$(BUILD)/obj/%.o)))
$(TESTS): $(LIB_OBJ)
	@mkdir -p $(@D)
	@echo '  LINK $@'
	$(Q)$(LINK) $(TEST_LDFLAGS) -o $@ $^ $(LIB_LIBS) $(TEST_LIBS)

# These are C programs with a Lua state.
WITH_LUA = $(patsubst %,$(BUILD)/spec/test_%,lua lua_state misuse)
$(WITH_LUA): TEST_LIBS = $(LUA_LIBS)
$(WITH_LUA): $(BIND_OBJ)

# These tests check the requests to KVM.
$(patsubst %,$(BUILD)/spec/test_kvm_%,slots order ioeventfd dirty): TEST_LDFLAGS = -Wl,--wrap=ioctl
# KVM is played in these.
$(patsubst %,$(BUILD)/spec/test_%,msi_route irqchip_split extint_threads): TEST_LDFLAGS = -Wl,--wrap=ioctl
$(BUILD)/spec/test_kvm_repair: TEST_LDFLAGS = -Wl,--wrap=ioctl -Wl,--wrap=realloc
$(BUILD)/spec/test_vcpu_plug: TEST_LDFLAGS = $(patsubst %,-Wl$(comma)--wrap=%,ioctl kept_open \
    pthread_create)
# This test makes calls fail.
$(BUILD)/spec/test_pci_faults: TEST_LDFLAGS = $(patsubst %,-Wl$(comma)--wrap=%,malloc calloc \
    realloc ioctl)

.SECONDARY: $(TEST_OBJ)

$(FAULTS): $(FAULTS_OBJ)
	@mkdir -p $(@D)
	@echo '  LINK $@'
	$(Q)$(LINK) -shared -Wl,-z,nodelete -o $@ $^ -luv

# C programs that use the library, built as their users would.
$(EXAMPLES): $(BUILD)/examples/%: scripts/examples/%.c $(BUILD)/liblunik.so $(BUILD)/.flags
	@mkdir -p $(@D)
	@echo '  LINK $@'
	$(Q)$(CC) -std=gnu11 $(WARN) $(CFLAGS) $(SAN) $(INC) -Ibindings -o $@ $< -L$(BUILD) \
	    $(EXAMPLE_LIBS) -llunik -Wl,-rpath,"$(abspath $(BUILD))" -luv

$(BUILD)/examples/embed_lua: EXAMPLE_LIBS = -llunik-lua $(LUA_LIBS)
$(BUILD)/examples/embed_lua: $(BUILD)/liblunik-lua.so

-include $(LIB_OBJ:.o=.d) $(GEN_OBJ:.o=.d) $(BIND_OBJ:.o=.d) $(MAIN_OBJ:.o=.d) $(EDIT_OBJ:.o=.d) \
    $(TEST_OBJ:.o=.d) $(FAULTS_OBJ:.o=.d)

# ---- packages to install ------------------------------------------------------------------------

run-deps = @WANTED="$(1)" ACTION=$(2) CC="$(CC)" sh -c "$$DEPS"

deps: ## install the Debian packages that are missing (GROUPS="build test bench browser fuzz lint kernel docs package")
	$(call run-deps,$(or $(GROUPS),build test),install)

check-deps: ## list the packages that are missing, and where they are used
	$(call run-deps,$(or $(GROUPS),build),check)

# ---- run ----------------------------------------------------------------------------------------

# Absolute, so that tests may run from anywhere.
RUN_ENV = LUNIK_BUILD="$(abspath $(BUILD))" \
    LUA_PATH="$(CURDIR)/scripts/?.lua;$(CURDIR)/scripts/?/init.lua;$(CURDIR)/?.lua;;" \
    LUA_CPATH="$(abspath $(BUILD))/lua/?.so;;"
# Only the lunik command is linked with the sanitizers, so it is the interpreter with them.
INTERPRETER = $(if $(SAN),$(abspath $(BUILD))/lunik,lua5.4)
SAN_ENV = ASAN_OPTIONS="detect_leaks=1:abort_on_error=0" UBSAN_OPTIONS="print_stacktrace=1" \
    TSAN_OPTIONS="second_deadlock_stack=1 suppressions=$(CURDIR)/spec/support/tsan.supp"

demo: deps ## run a guest that takes a DIMM and gives it back (half a minute)
	@+$(MAKE) --no-print-directory -s products
	@$(RUN_ENV) $(BUILD)/lunik run --transcript scripts/examples/demo.lua

run-tests = $(RUN_ENV) $(SAN_ENV) LUNIK_INTERPRETER="$(INTERPRETER)" lua5.4 spec/support/run.lua \
    --interpreter="$(INTERPRETER)" --jobs=$(or $(JOBS),1) $(if $(TEST),--filter="$(TEST)") \
    $(if $(REPORT),--report="$(REPORT)")

test: deps ## run all tests (SPEC="NAMES" of files or TEST=NAME for some, JOBS=N files at once, REPORT=tap or FILE.xml)
	@+$(MAKE) --no-print-directory test-products
	@$(run-tests) $(SPEC)

# Words in the paths of specs that take long by nature: load on all CPUs, each call that can fail,
# each filter of the sandbox, real guests, a real browser, all pages through pandoc, packages.
NOT_CHECKED = stress endurance faults sandbox linux browser built_docs install project packaging/

check: JOBS ?= $(shell nproc)
check: check-deps ## run the tests that take a short time (SPEC and TEST as for test, JOBS=all CPUs)
	@+$(MAKE) --no-print-directory test-products
	@LUNIK_QUICK=1 $(run-tests) --except="$(NOT_CHECKED)" $(SPEC)

test-products: products $(TESTS) $(FAULTS) $(EXAMPLES)

bench: check-deps ## run the benchmarks (ROWS="exits hotplug" for some, QUICK=1 only to try them)
	@+$(MAKE) --no-print-directory bench-products
	@$(RUN_ENV) QUICK="$(QUICK)" $(BUILD)/lunik bench/run.lua $(ROWS)

# The cycles are those of the tests, only more of them. glibc's caches per thread are off: freed memory
# that they keep would count as held.
endurance: deps ## run 10,000 plugs, 1,000 machines, 100 machines at once (twenty minutes)
	@+$(MAKE) --no-print-directory test-products
	@$(RUN_ENV) $(SAN_ENV) GLIBC_TUNABLES=glibc.malloc.tcache_count=0 \
	    PLUGS=10000 MACHINES=1000 AT_ONCE=100 CYCLES=1000 FIGURES=1 LUNIK_INTERPRETER="$(INTERPRETER)" \
	    lua5.4 spec/support/run.lua --interpreter="$(INTERPRETER)" --limit=7200 --output \
	    endurance_spec stress_spec

# Only tests that run under valgrind: it does not track KVM's memory or guests, it refuses mappings that
# are too big with another error (test_memory_backend), and test_chardev's children end differently.
VALGRIND_SPEC = $(addprefix test_,acpi boot chipset clock config dimm dirty i8042 \
    ioeventfd kvm_coalesced kvm_ioeventfd kvm_order mc146818 memory_access memory_commit \
    memory_hotplug memory_map object pci piix4_pm property ram uart16550) \
    $(addsuffix _spec,acpi boards cause handles listener lua_device memory \
    memory_map objects transaction)
VALGRIND = valgrind -q --error-exitcode=99 --leak-check=full --num-callers=16 \
    --show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite,indirect

valgrind: ## run the tests that need no KVM under valgrind (SPEC="FILES" for others)
	$(call run-deps,build test valgrind,install)
	@+$(MAKE) --no-print-directory test-products
	@$(RUN_ENV) LUNIK_QUICK=1 LUNIK_INTERPRETER=lua5.4 lua5.4 spec/support/run.lua \
	    --wrapper="$(VALGRIND)" $(or $(SPEC),$(VALGRIND_SPEC))

# ---- install ------------------------------------------------------------------------------------

# Names of folders may have spaces.
INSTALLER = PREFIX="$(PREFIX)" LIBDIR="$(LIBDIR)" DESTDIR="$(DESTDIR)" BUILD="$(BUILD)" \
    SONAME="$(SONAME)" LUA_SONAME="$(LUA_SONAME)" VERSION="$(VERSION)" sh install.sh

install: all $(BUILD)/installed/lunik ## install below PREFIX, libraries into LIBDIR (DESTDIR is prefixed to both)
	$(INSTALLER) install

# The command for the installation: it finds the library relative to its own folder.
$(BUILD)/installed/lunik: $(MAIN_OBJ) $(BIND_OBJ) $(BUILD)/liblunik.so FORCE
	@mkdir -p $(@D)
	@echo '  LINK $@'
	$(Q)$(LINK) -rdynamic -Xlinker -rpath -Xlinker \
	    '$$ORIGIN'"/$$(realpath -sm --relative-to="$(PREFIX)/bin" "$(LIBDIR)")" \
	    -o $@ $(MAIN_OBJ) $(BIND_OBJ) -L$(BUILD) -llunik $(LIB_LIBS) $(LUA_LIBS)

uninstall: ## remove the files that install copied and the folders that it made
	$(INSTALLER) uninstall

# ---- documentation ------------------------------------------------------------------------------

docs: check-deps ## build the documentation into build/docs: HTML, manual pages (needs pandoc)
	$(call run-deps,docs,check)
	@+$(MAKE) --no-print-directory products
	@echo '  DOCS $(BUILD)/docs'
	@rm -rf $(BUILD)/docs
	$(Q)$(RUN_ENV) $(INTERPRETER) docs/generate/build.lua "$(abspath $(BUILD))/docs"

# ---- the Linux guest ----------------------------------------------------------------------------

# Its /init is the agent: build/guests/agent.
guest-linux: $(addprefix build/guest-linux/,vmlinux initrd.img root.img) ## build the Linux guest: kernel (five minutes), initramfs, root disk

build/guest-linux/vmlinux: $(addprefix spec/guests/linux/,build.sh linux.config linux.patch \
    linux-user.patch)
	$(call run-deps,kernel,install)
	sh spec/guests/linux/build.sh $@

# With an initramfs and a root disk whose /init is the agent, for other VMMs. The specs make their own.
build/guest-linux/initrd.img build/guest-linux/root.img: build/guest-linux/%.img: \
    $(BUILD)/guests/agent scripts/lunik/image_entries.lua scripts/lunik/initramfs.lua \
    scripts/lunik/ext2.lua $(BUILD)/lua/lunik/core.so
	@mkdir -p $(@D)
	@echo '  IMG  $@'
	$(Q)$(RUN_ENV) lua5.4 spec/guests/linux/image.lua $* $< $@

# A boot loader that reads the machine's tables and buses: a spec boots it if it is there.
guest-grub: build/guest-grub/disk.img ## build a disk with GRUB from Debian's packages

build/guest-grub/disk.img: spec/guests/grub/build.sh spec/guests/grub/grub.cfg
	sh spec/guests/grub/build.sh $@

# ---- housekeeping -------------------------------------------------------------------------------

# Headers of the benchmarks' guests are assembly.
C_FILES  = $(filter-out $(wildcard bench/guests/*.h),$(foreach folder,runtime devices acpi bindings bench \
           spec scripts/examples,$(call below,$(folder),.c) $(call below,$(folder),.h)))
SH_FILES = .ci/run install.sh $(wildcard packaging/*.sh) $(wildcard spec/*/*.sh spec/guests/*/*.sh)

clean: ## remove everything that was built, except the Linux guest
	$(if $(filter-out build build/%,$(BUILD)),rm -rf $(BUILD),\
	    @if [ -d build ]; then find build -mindepth 1 -maxdepth 1 ! -name guest-linux \
	    -exec rm -rf {} +; fi)

format: ## format the C sources
	$(CLANG_FORMAT) -i $(C_FILES)

# For editors and clangd: how each source is compiled.
COMPILED_C = $(LIB_SRC) $(GEN_SRC) $(BIND_SRC) $(MAIN_SRC) $(EDIT_SRC) $(TEST_SRC)

compile_commands: ## write compile_commands.json for editors and clangd
	@{ echo '['; separator=; for source in $(COMPILED_C); do \
	    printf '%s{"directory": "%s", "file": "%s", "command": "%s -c %s"}' \
	        "$$separator" "$(CURDIR)" "$$source" '$(FLAGS) $(SPEC_INC)' "$$source"; \
	    separator=$$(printf ',\n '); done; echo; echo ']'; } > compile_commands.json

# Runs $(2) if the command $(1) is there.
lint-with = @if command -v $(1) >/dev/null; then echo '  LINT $(1)'; $(2); \
    else echo '  LINT $(1): not installed'; fi
LINTS = lint-format lint-lua lint-sh lint-cppcheck lint-analyzer lint-tidy

lint: check-deps ## run all static checks whose tools are installed
	@+$(MAKE) --no-print-directory -k $(LINTS)

lint-format:
	$(call lint-with,$(CLANG_FORMAT),$(CLANG_FORMAT) --dry-run -Werror $(C_FILES))

lint-lua:
	$(call lint-with,luacheck,luacheck -q scripts spec bench bindings library docs packaging)

lint-sh:
	$(call lint-with,shellcheck,shellcheck $(SH_FILES) && printf '%s\n' "$$DEPS" | shellcheck -s sh -)

lint-cppcheck:
	$(call lint-with,cppcheck,cppcheck -q -j2 \
	    --enable=warning$(comma)portability$(comma)performance \
	    --inline-suppr --error-exitcode=1 -Iruntime -I$(BUILD) \
	    $(addprefix --include=,$(firstword $(wildcard /usr/include/*/sys/queue.h))) \
	    runtime devices acpi bindings bench spec/faults $(TEST_SRC) \
	    $(SPEC_INC))

# gcc's analyzer. It does not follow ownership into a structure, such as a list of embedded links,
# and reports a leak there: LeakSanitizer, valgrind and spec/faults_spec.lua look for leaks instead.
# With optimisation it reports less, as inlining hides some paths.
ANALYZER = gcc -std=gnu11 $(INC) -Iacpi -pthread -O0 -fanalyzer -Wno-analyzer-malloc-leak -Werror

lint-analyzer: $(if $(shell command -v gcc),$(patsubst %.c,$(BUILD)/analyzer/%.ok,\
    $(LIB_SRC) $(GEN_SRC) $(BIND_SRC) $(MAIN_SRC) $(EDIT_SRC) $(TEST_SRC)))

$(BUILD)/analyzer/%.ok: %.c $(BUILD)/obj/%.o
	@mkdir -p $(@D)
	@echo '  ANALYZE $<'
	$(Q)$(ANALYZER) -c -o /dev/null $<
	@touch $@

# clang-tidy is slow: it checks a file again only when its object was rebuilt.
lint-tidy: $(if $(shell command -v $(CLANG_TIDY)),$(patsubst %.c,$(BUILD)/tidy/%.ok,\
    $(LIB_SRC) $(GEN_SRC) $(BIND_SRC) $(MAIN_SRC) $(EDIT_SRC)))

$(BUILD)/tidy/%.ok: %.c $(BUILD)/obj/%.o .clang-tidy
	@mkdir -p $(@D)
	@echo '  TIDY $<'
	$(Q)$(CLANG_TIDY) --quiet $< -- -std=gnu11 $(INC) -Iacpi 2>$@.log || { cat $@.log; exit 1; }
	@touch $@

help: ## print this text
	@echo 'Targets:'
	@awk -F ':.*## ' '/^[a-z_-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' \
	    $(filter Makefile %.mk,$(MAKEFILE_LIST))
	@echo 'Variables:'
	@echo '  V=1: show the commands'
	@echo '  CC=clang  CFLAGS=...  BUILD=folder  PREFIX=/usr/local  LIBDIR=folder'
	@echo '  DESTDIR=folder'
	@echo '  SANITIZE=address,undefined or thread: built in build/asan, build/tsan'

FORCE:
.PHONY: all products guests deps check-deps demo test check test-products bench endurance valgrind \
        install uninstall docs guest-linux guest-grub clean format compile_commands lint $(LINTS) help FORCE
