#!/bin/sh
# Installs the built files, or removes them: make install, make uninstall. Below $DESTDIR, if set:
#   $PREFIX/bin, $PREFIX/include, $PREFIX/share        lunik and lunik-qemu, headers, texts
#   $LIBDIR                                            liblunik.so, what the command loads
# usage: PREFIX= LIBDIR= DESTDIR= BUILD= SONAME= LUA_SONAME= VERSION= install.sh install|uninstall
set -eu

bin=$DESTDIR$PREFIX/bin
include=$DESTDIR$PREFIX/include
share=$DESTDIR$PREFIX/share/lunik
doc=$DESTDIR$PREFIX/share/doc/lunik
man=$DESTDIR$PREFIX/share/man
bash=$DESTDIR$PREFIX/share/bash-completion/completions
zsh=$DESTDIR$PREFIX/share/zsh/site-functions
lua_share=$DESTDIR$PREFIX/share/lua/5.4
lib=$DESTDIR$LIBDIR
lua_lib=$lib/lua/5.4
folders=$lib/lunik/folders # lists the folders that the installation made
files=$lib/lunik/files     # lists the files in folders that it shares with others

# Makes a folder and those above it, and adds the new ones to $made.
make_folder() {
    [ -d "$1" ] && return
    make_folder "$(dirname "$1")"
    mkdir "$1"
    made="$made${1#"$DESTDIR"}
"
}

make_folders() {
    made=''
    for folder in "$bin" "$include" "$lib/pkgconfig" "$lib/lunik" "$lua_lib/lunik" \
        "$lua_share/lunik" "$share" "$doc" "$bash" "$zsh"; do
        make_folder "$folder"
    done
    for section in "$BUILD"/docs/man/*; do
        [ ! -d "$section" ] || make_folder "$man/$(basename "$section")"
    done
    printf %s "$made" >>"$folders"
}

# Succeeds if the loader looks for libraries in $LIBDIR.
is_known() {
    PATH=$PATH:/sbin:/usr/sbin ldconfig -N -X -v 2>/dev/null | sed -n 's|^\(/[^:]*\):.*|\1|p' |
        xargs -d '\n' realpath -m -- | grep -qxF "$(realpath -m -- "$LIBDIR")"
}

# Writes a file for pkg-config from the template $1: with a run path if the loader does not look for
# libraries in $LIBDIR.
write_pc() {
    pc=$lib/pkgconfig/$(basename "$1" .in)
    rpath=''
    # shellcheck disable=SC2016 # a variable of pkg-config's
    is_known || rpath=' -Wl,-rpath,"${libdir}"'
    # & and \ have a meaning in a replacement of sed; | is the separator
    escaped() { printf %s "$1" | sed 's/[\\&|]/\\&/g'; }
    sed -e "s|@PREFIX@|$(escaped "$PREFIX")|" -e "s|@LIBDIR@|$(escaped "$LIBDIR")|" \
        -e "s|@RPATH@|$rpath|" -e "s|@VERSION@|$VERSION|" "$1" >"$pc"
    chmod 644 "$pc"
}

# Copies the files of folder $1, and of those below it, to folder $2, which is Lunik's own.
install_tree() {
    (cd "$1" && find . -type f) | sort | while IFS= read -r name; do
        install -D -m 644 "$1/$name" "$2/$name"
    done
}

# Copies files to folder $1, which others use as well.
install_shared() {
    into=$1
    shift
    for file in "$@"; do
        [ -f "$file" ] || continue
        install -m 644 "$file" "$into"
        printf '%s\n' "${into#"$DESTDIR"}/$(basename "$file")" >>"$files"
    done
}

# Installs the sources first: Lunik ignores a compiled module that is older than its source.
install_lua_half() {
    install_tree scripts/lunik "$lua_share/lunik"
    install_tree scripts/boards "$lua_share/lunik/boards"
    install_tree scripts/templates "$lua_share/lunik/templates"
    (cd scripts/lunik && find . -name '*.lua') | sort | while IFS= read -r name; do
        name=${name#./}
        mkdir -p "$(dirname "$lib/lunik/lunik/$name")"
        lua5.4 bindings/command/compile.lua "scripts/lunik/$name" "$lib/lunik/lunik/$name" \
            "$PREFIX/share/lua/5.4/lunik/$name"
        chmod 644 "$lib/lunik/lunik/$name"
    done
}

# What `make docs` has written, if it has run.
install_docs() {
    install -m 644 README.md SECURITY.md LICENSE "$doc"
    [ ! -d "$BUILD/docs/html" ] || install_tree "$BUILD/docs/html" "$doc/html"
    for section in "$BUILD"/docs/man/*; do
        install_shared "$man/$(basename "$section")" "$section"/*
    done
}

install_all() {
    make_folders
    : >"$files"
    install -m 755 "$BUILD/installed/lunik" "$bin/lunik"
    ln -sf lunik "$bin/lunik-qemu"
    install -m 755 "$BUILD/$SONAME" "$lib/$SONAME"
    ln -sf "$SONAME" "$lib/liblunik.so"
    install -m 755 "$BUILD/$LUA_SONAME" "$lib/$LUA_SONAME"
    ln -sf "$LUA_SONAME" "$lib/liblunik-lua.so"
    ln -sf "../../../$LUA_SONAME" "$lua_lib/lunik/core.so"
    install -m 755 "$BUILD/lua/lunik/lineedit.so" "$lua_lib/lunik"
    install_lua_half
    write_pc runtime/lunik.pc.in
    write_pc bindings/lunik-lua.pc.in
    install_shared "$include" runtime/lunik.h runtime/lunik_*.h bindings/lunik_lua.h
    install_tree library "$share/library"
    install_tree scripts/examples "$share/examples"
    ln -sfn ../lua/5.4/lunik/boards "$share/boards"
    install -D -m 644 "$BUILD/guests/small.elf" "$lib/lunik/guests/small.elf"
    install -m 755 "$BUILD/guests/agent" "$lib/lunik/guests/agent"
    install_shared "$bash" "$BUILD/completions/lunik"
    install_shared "$zsh" "$BUILD/completions/_lunik"
    install_docs
}

# Makes the loader find the library, or prints what the user has to do for it.
finish() {
    if ! is_known; then
        echo "The loader does not look for libraries in $LIBDIR: build programs with the run path of 'pkg-config --libs lunik' (PKG_CONFIG_PATH=$LIBDIR/pkgconfig)."
    elif [ "$(id -u)" = 0 ]; then
        PATH=$PATH:/sbin:/usr/sbin ldconfig
    else
        echo "Run ldconfig as root to make the loader find $LIBDIR/$SONAME."
    fi
    lua5.4 -e 'print(package.path, package.cpath)' | grep -F "$PREFIX/share/lua/5.4/?.lua" |
        grep -qF "$LIBDIR/lua/5.4/?.so" ||
        echo "lua5.4 finds the module with LUA_PATH='$PREFIX/share/lua/5.4/?.lua;$PREFIX/share/lua/5.4/?/init.lua;;' LUA_CPATH='$LIBDIR/lua/5.4/?.so;;'."
}

uninstall_all() {
    made=''
    [ ! -f "$folders" ] || made=$(sort -r "$folders")
    [ ! -f "$files" ] || while IFS= read -r file; do
        rm -f "$DESTDIR$file"
    done <"$files"
    rm -f "$bin/lunik" "$bin/lunik-qemu" "$lib/liblunik.so" "$lib/$SONAME" "$lib/pkgconfig/lunik.pc" \
        "$lib/liblunik-lua.so" "$lib/$LUA_SONAME" "$lib/pkgconfig/lunik-lua.pc"
    rm -rf "$lua_lib/lunik" "$lua_share/lunik" "$lib/lunik" "$share" "$doc"
    printf '%s\n' "$made" | while IFS= read -r folder; do
        [ ! -d "$DESTDIR$folder" ] || [ -z "$folder" ] ||
            rmdir --ignore-fail-on-non-empty "$DESTDIR$folder"
    done
}

for folder in "$PREFIX" "$LIBDIR" "${DESTDIR:-/}"; do
    case $folder in
    /*) ;;
    *) echo "install.sh: '$folder' is not an absolute path: PREFIX, LIBDIR and DESTDIR must start with '/'" >&2
        exit 2 ;;
    esac
done
case $1 in
install)
    umask 022
    install_all
    [ "$DESTDIR" ] || finish
    ;;
uninstall) uninstall_all ;;
esac
