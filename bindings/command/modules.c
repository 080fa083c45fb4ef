/*
 * modules.c: finds modules for the lunik command, in a build folder or an installation.
 *
 * The Lua half is loaded compiled, which is several milliseconds faster than loading its text. A
 * compiled form is used as long as it matches the text: bindings/command/compile.lua puts the
 * text's size into it, and a text that has changed since is newer. Boards and C modules have one
 * form only.
 */
#define _GNU_SOURCE /* dladdr */
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"

/* A compiled form's first line: the size of the text, and its path as messages show it. */
struct header {
    long long size;
    char name[PATH_MAX];
};

/* ---- the Lua half --------------------------------------------------------------------------- */

/* Parses "# SIZE NAME". */
static bool parse_header(char *line, struct header *header)
{
    char *end;

    if (strncmp(line, "# ", 2) != 0)
        return false;
    header->size = strtoll(line + 2, &end, 10);
    if (end == line + 2 || *end != ' ')
        return false;
    end[strcspn(end, "\n")] = '\0';
    snprintf(header->name, sizeof(header->name), "%s", end + 1);
    return *header->name;
}

static bool read_header(const char *path, struct header *header)
{
    char line[PATH_MAX + 32];
    FILE *file = fopen(path, "re");
    bool ok = file && fgets(line, sizeof(line), file) && parse_header(line, header);

    if (file)
        fclose(file);
    return ok;
}

/* True if the module was compiled from this text, or the text can't be found. */
static bool is_of_text(const char *compiled, const struct header *header, const char *text)
{
    struct stat of_compiled, of_text;

    if (stat(text, &of_text) != 0 || stat(compiled, &of_compiled) != 0)
        return true;
    return of_text.st_size == header->size &&
           (of_text.st_mtim.tv_sec < of_compiled.st_mtim.tv_sec ||
            (of_text.st_mtim.tv_sec == of_compiled.st_mtim.tv_sec &&
             of_text.st_mtim.tv_nsec <= of_compiled.st_mtim.tv_nsec));
}

/* Like luaL_loadfile(), but with another name for messages. */
static int load_text(lua_State *L, const char *path, const char *name)
{
    FILE *file = fopen(path, "re");
    luaL_Buffer text;
    size_t n;
    int rc;

    if (!file) {
        lua_pushfstring(L, "cannot open %s", path);
        return LUA_ERRFILE;
    }
    luaL_buffinit(L, &text);
    do {
        n = fread(luaL_prepbuffer(&text), 1, LUAL_BUFFERSIZE, file);
        luaL_addsize(&text, n);
    } while (n > 0);
    fclose(file);
    luaL_pushresult(&text);
    lua_pushfstring(L, "@%s", name);
    rc = luaL_loadbufferx(L, lua_tostring(L, -2), lua_rawlen(L, -2), lua_tostring(L, -1), "t");
    lua_replace(L, -3);
    lua_pop(L, 1);
    return rc;
}

/* A searcher: loads a module of the Lua half from its compiled form, or from its text if that has
 * changed. Returns the loader and the text's path. */
static int search_lua_half(lua_State *L)
{
    const char *module = luaL_checkstring(L, 1);
    const char *file, *compiled, *text;
    struct header header;
    int rc;

    file = strcmp(module, "lunik") == 0 ? "lunik/init" : luaL_gsub(L, module, ".", "/");
    compiled = lua_pushfstring(L, "%s/%s.lua", lua_tostring(L, lua_upvalueindex(1)), file);
    text = lua_pushfstring(L, "%s/%s.lua", lua_tostring(L, lua_upvalueindex(2)), file);
    if (!read_header(compiled, &header)) {
        lua_pushfstring(L, "no compiled file '%s'", compiled);
        return 1;
    }
    rc = is_of_text(compiled, &header, text) ? luaL_loadfilex(L, compiled, "b")
                                             : load_text(L, text, header.name);
    if (rc != LUA_OK)
        return luaL_error(L, "error loading module '%s' from file '%s':\n\t%s", module, text,
                          lua_tostring(L, -1));
    lua_pushstring(L, text);
    return 2;
}

/* Inserts the searcher after that of package.preload. */
static void add_searcher(lua_State *L, const char *compiled, const char *text)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "searchers");
    for (lua_Integer i = (lua_Integer)lua_rawlen(L, -1); i >= 2; i--) {
        lua_rawgeti(L, -1, i);
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushstring(L, compiled);
    lua_pushstring(L, text);
    lua_pushcclosure(L, search_lua_half, 2);
    lua_rawseti(L, -2, 2);
    lua_pop(L, 2);
}

/* ---- folders -------------------------------------------------------------------------------- */

/* Puts the string on top of the stack in front of the templates in package[field]; pops it. */
static void put_first(lua_State *L, const char *field)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, field);
    lua_pushfstring(L, "%s;%s", lua_tostring(L, -3), lua_tostring(L, -1));
    lua_setfield(L, -3, field);
    lua_pop(L, 3);
}

/* Finds the folder of the executable, without symbolic links. */
static void find_command(lua_State *L, char folder[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", folder, PATH_MAX - 1);

    if (n < 0)
        luaL_error(L, "can't read /proc/self/exe");
    folder[n] = '\0';
    *strrchr(folder, '/') = '\0';
}

/* Finds the folder of liblunik.so, where the other modules are installed as well. */
static void find_library(lua_State *L, char folder[PATH_MAX])
{
    Dl_info info;

    if (!dladdr((const void *)lunik_error_name, &info) || !realpath(info.dli_fname, folder))
        luaL_error(L, "can't find the folder of liblunik.so");
    *strrchr(folder, '/') = '\0';
}

void modules_find(lua_State *L)
{
    char command[PATH_MAX], library[PATH_MAX];
    const char *compiled, *text, *binary;
    int top = lua_gettop(L);

    find_command(L, command);
    text = lua_pushfstring(L, "%s/scripts", command);
    if (access(text, F_OK) == 0) {
        compiled = lua_pushfstring(L, "%s/compiled", command);
        binary = lua_pushfstring(L, "%s/lua", command);
    } else {
        find_library(L, library);
        text = lua_pushfstring(L, "%s/../share/lua/5.4", command);
        compiled = lua_pushfstring(L, "%s/lunik", library);
        binary = lua_pushfstring(L, "%s/lua/5.4", library);
    }
    add_searcher(L, compiled, text);
    lua_pushfstring(L, "%s/?.lua;%s/?/init.lua", text, text);
    put_first(L, "path");
    lua_pushfstring(L, "%s/?.so", binary);
    put_first(L, "cpath");
    lua_settop(L, top);
}
