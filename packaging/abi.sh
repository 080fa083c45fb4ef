#!/bin/sh
# Records the binary interface of a library, or compares it with the record.
# usage: abi.sh record|check LIBRARY RECORD HEADER...    HEADERs: those that its users include
# Symbols that are new are no difference; what vanishes or changes is one, as are the layouts of
# structs that the headers define.
set -eu

action=$1 library=$2 record=$3
shift 3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/headers"
cp "$@" "$folder/headers"

if ! readelf -S "$library" | grep -q '\.debug_info'; then
    echo "abi.sh: $library has no debug information, which describes the types (build it with -g)" >&2
    exit 2
fi
abidw --headers-dir "$folder/headers" --drop-private-types --exported-interfaces-only \
    --no-show-locs --no-corpus-path --no-comp-dir-path --no-elf-needed --no-parameter-names \
    --type-id-style hash --out-file "$folder/new.abi" "$library"
case $action in
record) cp "$folder/new.abi" "$record" ;;
check)
    abidiff --no-added-syms "$record" "$folder/new.abi" && exit 0
    echo "abi.sh: the binary interface of $library differs from $record (see docs/packaging.md)" >&2
    exit 1
    ;;
esac
