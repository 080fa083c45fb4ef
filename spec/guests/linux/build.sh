#!/bin/sh
# Builds the Linux guest's kernel: build.sh OUTPUT. The sources are Debian's linux-source-6.1, the
# configuration is tinyconfig with linux.config merged in.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
output=$1
archive=/usr/src/linux-source-6.1.tar.xz

mkdir -p "$(dirname "$output")"
work=$(mktemp -d "$(dirname "$output")/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
log=$(dirname "$output")/build.log

echo "Building the Linux guest's kernel (about five minutes); log: $log"
tar -C "$work" --strip-components=1 -xf "$archive"
{
    patch -d "$work" -p1 <"$here/linux.patch"
    patch -d "$work" -p1 <"$here/linux-user.patch"
    make -C "$work" tinyconfig
    (cd "$work" && scripts/kconfig/merge_config.sh -m .config "$here/linux.config")
    make -C "$work" olddefconfig
    make -C "$work" -j"$(nproc)" vmlinux
} >"$log" 2>&1 || { tail -n 20 "$log" >&2; exit 1; }
strip -o "$output" "$work/vmlinux"
echo "$output"
