#!/bin/sh
# Packs the sources: the same files give the same bytes, whoever packs them, where and when.
# usage: dist.sh FILE.tar.gz NAME    in the top folder; NAME: the folder in the archive
# In a checkout these are the files that git knows, elsewhere all but what was built. Their time is
# $SOURCE_DATE_EPOCH, or that of the last commit or of the newest file.
set -eu

if [ -e .git ]; then
    list() { git ls-files -z; }
    epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
else
    list() { find . -path ./build -prune -o -path ./debian -prune -o \( -type f -o -type l \) \
        ! -name compile_commands.json -printf '%P\0'; }
    epoch=${SOURCE_DATE_EPOCH:-$(list | xargs -0 stat -c %Y | sort -n | tail -n 1)}
fi
list | LC_ALL=C sort -z | tar --create --null --no-recursion --files-from=- --format=ustar \
    --owner=0 --group=0 --numeric-owner --mode=u+rw,go+r,go-w,a+X --mtime="@$epoch" \
    --transform="s,^,$2/,S" | gzip -9 -n >"$1"
