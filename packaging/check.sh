#!/bin/sh
# Installs the Debian packages into a new Debian system and tries them there, as a user would.
# usage: check.sh PACKAGES FOLDER    PACKAGES: the folder with the .deb files
# As root. The system is a tree in FOLDER/root, made of FOLDER/base.tar, which is kept; packages come
# from $MIRROR.
set -eu

suite=bookworm
mirror=${MIRROR:-http://deb.debian.org/debian}

# Makes the tree, without anything of the time before.
make_tree() {
    rm -rf "$root"
    mkdir -p "$root"
    if [ ! -e "$work/base.tar" ]; then
        debootstrap --variant=minbase "$suite" "$root" "$mirror" >"$work/debootstrap.log"
        tar -C "$root" -cf "$work/base.tar.new" .
        mv "$work/base.tar.new" "$work/base.tar"
    else
        tar -C "$root" -xf "$work/base.tar"
    fi
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    mkdir "$root/packages"
    cp "$packages"/*.deb "$root/packages"
    cp "$0" "$root/packages/check.sh"
    if [ -c /dev/kvm ]; then
        mknod -m 666 "$root/dev/kvm" c "$(stat -c %Hr /dev/kvm)" "$(stat -c %Lr /dev/kvm)"
    fi
}

# ---- in the tree --------------------------------------------------------------------------------

install_debs() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" \
        >/packages/apt.log 2>&1 || { cat /packages/apt.log; return 1; }
}

# Runs a command as a user without rights; fails if its output lacks $1 (a regular expression, or
# nothing).
user() {
    want=$1
    shift
    echo "   $*"
    if ! (cd /tmp && setpriv --reuid=1000 --regid=1000 --clear-groups env HOME=/tmp "$@") \
        >/packages/out 2>&1 || ! { [ -z "$want" ] || grep -qE -- "$want" /packages/out; }; then
        cat /packages/out
        echo "check.sh: '$*' failed, or its output lacks '$want'" >&2
        exit 1
    fi
}

try_command() {
    examples=/usr/share/lunik/examples
    user '^Lunik [0-9.]+ ' lunik --version
    user 'is shut down .*exit code 0' lunik run --transcript "$examples/demo.lua"
    user '^micro pc$' lunik -e 'print(table.concat(lunik.boards(), " "))' /dev/null
    user '^function$' lunik -e 'print(type(require "lunik.lineedit".read))' /dev/null
    user 'small\.elf$' lunik -e 'print(require("lunik.guest_images").path "small.elf")' /dev/null
    user 'shutdown: exit-device' lua5.4 "$examples/embed.lua"
    user '^[0-9.]+ 2$' lua5.4 -e 'local l = require "lunik" print(l.version .. " " .. #l.boards())'
    # shellcheck disable=SC2016 # the shell that is tried expands them
    user '^--version' bash -c '. /usr/share/bash-completion/completions/lunik
        compopt() { :; }; COMP_WORDS=(lunik --ver) COMP_CWORD=1; _lunik; echo "${COMPREPLY[@]}"'
    user . ls /usr/share/zsh/vendor-completions/_lunik /usr/share/doc/lunik/README.md.gz
}

try_tests() {
    cat >/tmp/dimm_spec.lua <<'END'
local testing = require "lunik.testing"

describe("a machine", function()
  it("takes a DIMM and gives it back", function()
    local t = testing.machine { guest = "scripted" }
    t:plug { id = "dimm1", size = "128M" }
    t:unplug "dimm1"
    t:check()
  end)
end)
END
    user '^1 passed, 0 failed' lunik test dimm_spec.lua
    user '1 success' busted --lua=lua5.4 dimm_spec.lua
}

try_headers() {
    examples=/usr/share/lunik/examples
    for library in lunik lunik-lua; do
        user '^[0-9]+\.[0-9]+\.[0-9]+$' pkg-config --modversion "$library"
    done
    user '' sh -c "cc -o device $examples/pci_device.c \$(pkg-config --cflags --libs lunik)"
    user '111 squared is 12321' ./device
    user '' sh -c "cc -o embed_lua $examples/embed_lua.c \$(pkg-config --cflags --libs lunik-lua)"
    user 'the guest answers for dimm1: status 0' ./embed_lua
}

inside() {
    cd /packages
    apt-get update -q >/packages/apt.log 2>&1
    echo "== lunik, lua-lunik, liblunik0, lunik-doc"
    install_debs ./lunik_*.deb ./lua-lunik_*.deb ./liblunik0_*.deb ./lunik-doc_*.deb
    try_command
    echo "== lua-busted, lua-luv"
    install_debs lua-busted lua-luv
    try_tests
    echo "== liblunik-dev"
    install_debs ./liblunik-dev_*.deb gcc libc6-dev pkg-config
    try_headers
    echo "== removal"
    apt-get purge -y -q lunik lua-lunik liblunik0 lunik-doc liblunik-dev >/packages/apt.log 2>&1
    left=$(find /usr /etc /var/lib -path /var/lib/apt -prune -o -name '*lunik*' -print)
    [ -z "$left" ] || { echo "check.sh: left behind: $left" >&2; exit 1; }
    echo "the packages are all right"
}

if [ "$1" = inside ]; then
    inside
    exit
fi
[ "$(id -u)" = 0 ] || { echo "check.sh: only root can make a new system" >&2; exit 1; }
packages=$1 work=$2 root=$2/root
mkdir -p "$work"
make_tree
unshare --mount --pid --fork --mount-proc="$root/proc" chroot "$root" sh /packages/check.sh inside
rm -rf "$root"
