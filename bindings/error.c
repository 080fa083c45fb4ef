/* error.c: error objects: tables {code=, message=, where=} with a __tostring. */
#include <stdio.h>
#include <string.h>

#include "bindings.h"

static const char error_class[] = "lunik.Error";

static int error_tostring(lua_State *L)
{
    lua_settop(L, 1);
    lua_getfield(L, 1, "where");
    lua_getfield(L, 1, "message");
    luaL_tolstring(L, 3, NULL);
    if (lua_type(L, 2) == LUA_TSTRING)
        lua_pushfstring(L, "%s: %s", lua_tostring(L, 2), lua_tostring(L, 4));
    return 1;
}

void bind_error_open(lua_State *L)
{
    luaL_newmetatable(L, error_class);
    lua_pushcfunction(L, error_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pop(L, 1);
}

/* Lua, protected: converts the value at 1 to a string. */
static int text_body(lua_State *L)
{
    luaL_tolstring(L, 1, NULL);
    return 1;
}

/* Replaces each zero byte of the string on top of the stack by "\\0". */
static void show_zero_bytes(lua_State *L)
{
    size_t size;
    const char *text = lua_tolstring(L, -1, &size);
    luaL_Buffer buffer;

    if (!memchr(text, 0, size))
        return;
    luaL_buffinit(L, &buffer);
    for (size_t i = 0; i < size; i++) {
        if (text[i])
            luaL_addchar(&buffer, text[i]);
        else
            luaL_addlstring(&buffer, "\\0", 2);
    }
    luaL_pushresult(&buffer);
    lua_remove(L, -2);
}

const char *bind_push_text(lua_State *L, int index)
{
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    index = lua_absindex(L, index);
    if (lua_type(L, index) == LUA_TSTRING) {
        lua_pushvalue(L, index); /* without a call, which could fail for lack of memory */
    } else {
        lua_pushcfunction(L, text_body);
        lua_pushvalue(L, index);
        if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
            lua_pop(L, 1);
            lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, index));
        }
    }
    show_zero_bytes(L);
    return lua_tostring(L, -1);
}

/* core.text(value): tostring(value), but without zero bytes and never raising an error */
int bind_lua_text(lua_State *L)
{
    luaL_checkany(L, 1);
    bind_push_text(L, 1);
    return 1;
}

bool bind_in_library(lua_State *L, const lua_Debug *ar)
{
    const struct bindings *b = bind_state(L);

    for (size_t i = 0; i < BIND_LIBRARY_DIRS; i++) {
        size_t length = strlen(b->library_dirs[i]);

        if (length && ar->source[0] == '@' && !strncmp(ar->source + 1, b->library_dirs[i], length))
            return true;
    }
    return false;
}

bool bind_where(lua_State *L, lua_Debug *ar)
{
    for (int level = 0; lua_getstack(L, level, ar); level++) {
        lua_getinfo(L, "l", ar);
        if (ar->currentline <= 0)
            continue; /* a C function */
        lua_getinfo(L, "S", ar);
        if (!bind_in_library(L, ar))
            return true;
    }
    return false;
}

static void push_where(lua_State *L)
{
    lua_Debug ar;

    if (bind_where(L, &ar))
        lua_pushfstring(L, "%s:%d", ar.short_src, ar.currentline);
    else
        lua_pushnil(L);
}

static void push_error(lua_State *L, const char *code, const char *message)
{
    luaL_checkstack(L, 6, NULL);
    lua_createtable(L, 0, 3);
    lua_pushstring(L, code);
    lua_setfield(L, -2, "code");
    lua_pushstring(L, message);
    lua_setfield(L, -2, "message");
    push_where(L);
    lua_setfield(L, -2, "where");
    luaL_setmetatable(L, error_class);
}

void bind_push_error(lua_State *L, int code, const char *message)
{
    push_error(L, lunik_error_name(code), message);
}

int bind_raise(lua_State *L, const lunik_error *err)
{
    bind_push_error(L, err->code, err->message);
    lua_error(L);
    __builtin_unreachable();
}

void bind_check(lua_State *L, int rc, const lunik_error *err)
{
    if (rc)
        bind_raise(L, err);
}

int bind_fail(lua_State *L, int code, const char *format, ...)
{
    char message[sizeof(((lunik_error *)NULL)->message)];
    lunik_error err = {0};
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    lunik_fail(&err, code, "%s", message);
    bind_raise(L, &err);
}

static int code_of_name(const char *name)
{
    static const struct {
        const char *name;
        int code;
    } codes[] = {
#define ERROR_NAME(symbol, value, lua, text) {lua, LUNIK_E_##symbol},
        LUNIK_ERROR_MAP(ERROR_NAME)
#undef ERROR_NAME
    };

    for (size_t i = 0; name && i < sizeof(codes) / sizeof(codes[0]); i++)
        if (!strcmp(codes[i].name, name))
            return codes[i].code;
    return LUNIK_E_SCRIPT;
}

int bind_error_from(lua_State *L, int index, lunik_error *err)
{
    int code = LUNIK_E_SCRIPT;

    index = lua_absindex(L, index);
    luaL_getmetatable(L, error_class);
    if (lua_getmetatable(L, index) && lua_rawequal(L, -1, -2)) {
        lua_getfield(L, index, "code");
        code = code_of_name(lua_tostring(L, -1));
        lua_getfield(L, index, "message");
        return lunik_fail(err, code, "%s", bind_push_text(L, -1));
    }
    return lunik_fail(err, code, "%s", bind_push_text(L, index));
}

/* Lua, protected: fills the lunik_error at 2 from the value at 1. */
static int take_body(lua_State *L)
{
    bind_error_from(L, 1, lua_touserdata(L, 2));
    return 0;
}

int bind_take_error(lua_State *L, lunik_error *err)
{
    lunik_error own = {0};
    int top = lua_gettop(L) - 1;

    lua_pushcfunction(L, take_body);
    lua_insert(L, -2);
    lua_pushlightuserdata(L, &own);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK || !own.message[0])
        lunik_fail(&own, LUNIK_E_SCRIPT, "a script function failed");
    lua_settop(L, top);
    if (err)
        *err = own;
    return own.code;
}

/* core.sys_error(errno, message) -> error object with the errno's code; its text is appended */
int bind_lua_sys_error_new(lua_State *L)
{
    lunik_error err = {0};

    lunik_fail_errno(&err, (int)luaL_checkinteger(L, 1), "%s", luaL_checkstring(L, 2));
    bind_push_error(L, err.code, err.message);
    return 1;
}

/* core.error(code, message) -> error object */
int bind_lua_error_new(lua_State *L)
{
    const char *code = bind_string(L, 1, "error: code");

    luaL_checkany(L, 2);
    push_error(L, code, bind_push_text(L, 2));
    return 1;
}
