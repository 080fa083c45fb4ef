#!/bin/sh
# Builds a disk with GRUB: build.sh OUTPUT. It comes from Debian's packages, which are unpacked, not
# installed: that would change how this host boots.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
output=$1

mkdir -p "$(dirname "$output")"
work=$(mktemp -d "$(dirname "$output")/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

(
    cd "$work"
    apt-get -qq download grub-common grub-pc-bin
    for package in *.deb; do dpkg -x "$package" .; done
)
modules=$work/usr/lib/grub/i386-pc
# The command line of grub.cfg runs before any file system is looked for, so the disk has none: the
# first sector loads what follows it.
"$work/usr/bin/grub-mkimage" -d "$modules" -O i386-pc -p '(hd0)/boot' -c "$here/grub.cfg" \
    -o "$work/core.img" biosdisk serial terminal terminfo echo lsacpi lspci smbios
cat "$modules/boot.img" "$work/core.img" >"$work/disk.img"
truncate -s 1M "$work/disk.img"
mv "$work/disk.img" "$output"
echo "$output"
