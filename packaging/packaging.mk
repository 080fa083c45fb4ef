# packaging.mk: the release tarball, Debian packages, the rock, the record of the binary interface.
# docs/packaging.md describes them.

DIST     = lunik-$(VERSION)
TARBALL  = $(BUILD)/dist/$(DIST).tar.gz
DEB      = $(BUILD)/deb
DEB_TREE = $(DEB)/$(DIST)

dist: ## write build/dist/lunik-VERSION.tar.gz, which can be built without git
	@mkdir -p $(dir $(TARBALL))
	sh packaging/dist.sh $(TARBALL) $(DIST)

# The variables of this make are not for the build of the packages.
DEB_ENV = env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u CFLAGS -u CPPFLAGS -u LDFLAGS \
    DEB_BUILD_OPTIONS="$(DEB_BUILD_OPTIONS)" DEB_BUILD_PROFILES="$(DEB_BUILD_PROFILES)"
DEB_BUILD_OPTIONS  ?= nocheck parallel=$(shell nproc)
DEB_BUILD_PROFILES ?= nocheck

deb: dist ## build the Debian packages in build/deb, which lintian checks
	$(call run-deps,build docs package,install)
	rm -rf $(DEB)
	mkdir -p $(DEB)
	cp $(TARBALL) $(DEB)/lunik_$(VERSION).orig.tar.gz
	tar -C $(DEB) -xf $(TARBALL)
	cp -r $(DEB_TREE)/packaging/debian $(DEB_TREE)/debian
	cd $(DEB_TREE) && $(DEB_ENV) dpkg-buildpackage -us -uc -F
	lintian --fail-on error,warning --tag-display-limit 0 $(DEB)/lunik_*.changes

package-check: ## install the packages into a new Debian system and try them (root, network, minutes)
	$(call run-deps,package,install)
	@[ -e $(DEB)/lunik_$(VERSION)*.changes ] || $(MAKE) --no-print-directory deb
	sh packaging/check.sh $(DEB) $(BUILD)/package-check

# ---- completions --------------------------------------------------------------------------------

COMPLETIONS = $(BUILD)/completions/lunik $(BUILD)/completions/_lunik
products: $(COMPLETIONS)

$(BUILD)/completions/lunik: SHELL_NAME = bash
$(BUILD)/completions/_lunik: SHELL_NAME = zsh
$(COMPLETIONS): packaging/completions.lua scripts/lunik/command/options_table.lua
	@mkdir -p $(@D)
	@echo '  GEN  $@'
	$(Q)lua5.4 $^ $(SHELL_NAME) > $@

# ---- LuaRocks -----------------------------------------------------------------------------------

# LuaRocks moves what is in ROCK_LUA, ROCK_LIB and ROCK_BIN to share/lua/5.4, lib/lua/5.4 and bin of
# its tree. The installation is laid out like that tree, so that the parts find each other there.
rock-install: ROCK = $(abspath $(BUILD))/rock
rock-install: all
	@rm -rf "$(ROCK)"
	@+$(MAKE) --no-print-directory install PREFIX=/rock LIBDIR=/rock/lib/lua/5.4/lunik \
	    DESTDIR="$(ROCK)"
	sh packaging/rock.sh "$(ROCK)/rock" "$(ROCK_PREFIX)" "$(ROCK_BIN)" "$(ROCK_LUA)" "$(ROCK_LIB)"

# ---- the binary interface -----------------------------------------------------------------------

PUBLIC = $(sort $(wildcard runtime/lunik*.h)) bindings/lunik_lua.h

# Records or checks the interface of both libraries.
abi-of = $(foreach library,liblunik liblunik-lua,sh packaging/abi.sh $(1) \
    $(BUILD)/$(library).so packaging/abi/$(library).abi $(PUBLIC) &&) true

abi: all ## record the libraries' binary interface in packaging/abi, for a release
	$(call abi-of,record)
	lua5.4 packaging/symbols.lua $(VERSION) $(BUILD)

# Of what is built.
abi-check: ## compare the libraries' binary interface with the recorded one
	@$(call abi-of,check)

.PHONY: dist deb package-check rock-install abi abi-check
