/* value.c: converts Lua values to C and back; errors name the argument, the value and what was
 * expected. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bindings.h"

/* ---- checking ------------------------------------------------------------------------------- */

#define SHOWN 80 /* bytes of a wrong value that a message shows */

/* Writes words for the value at index. */
static const char *describe(lua_State *L, int index, char *text, size_t size)
{
    const char *string;

    switch (lua_type(L, index)) {
    case LUA_TNONE:
    case LUA_TNIL:
        snprintf(text, size, "is missing");
        break;
    case LUA_TSTRING:
        snprintf(text, size, "'%.*s'", SHOWN, lua_tostring(L, index));
        break;
    case LUA_TNUMBER:
    case LUA_TBOOLEAN:
        string = luaL_tolstring(L, index, NULL);
        snprintf(text, size, "'%s'", string);
        lua_pop(L, 1);
        break;
    default:
        snprintf(text, size, "a %s", luaL_typename(L, index));
    }
    return text;
}

static int wrong(lua_State *L, int index, const char *what, const char *is, const char *want)
{
    char text[SHOWN + 16];

    describe(L, index, text, sizeof(text));
    if (lua_isnoneornil(L, index))
        return bind_fail(L, LUNIK_E_INVALID, "%s: %s (want %s)", what, text, want);
    return bind_fail(L, LUNIK_E_INVALID, "%s: %s %s (want %s)", what, text, is, want);
}

/* Returns the integer at index; accepts a float without fraction. */
static lua_Integer integer(lua_State *L, int index, const char *what, const char *want)
{
    lua_Integer n;

    if (lua_type(L, index) != LUA_TNUMBER)
        wrong(L, index, what, "is not a number", want);
    if (!lua_isinteger(L, index) && isnan(lua_tonumber(L, index)))
        wrong(L, index, what, "is not a number", want);
    n = 0;
    if (!lua_isinteger(L, index)) {
        if (!lua_numbertointeger(lua_tonumber(L, index), &n))
            wrong(L, index, what, "does not fit in 64 bits", want);
        if ((lua_Number)n != lua_tonumber(L, index))
            wrong(L, index, what, "has a fraction", want);
        return n;
    }
    return lua_tointeger(L, index);
}

lua_Integer bind_int(lua_State *L, int index, const char *what, lua_Integer min, lua_Integer max)
{
    char want[80];
    lua_Integer n;

    if (max == LUA_MAXINTEGER)
        snprintf(want, sizeof(want), "an integer of at least " LUA_INTEGER_FMT, min);
    else
        snprintf(want, sizeof(want), "an integer from " LUA_INTEGER_FMT " to " LUA_INTEGER_FMT, min,
                 max);
    n = integer(L, index, what, want);
    if (n < min || n > max)
        wrong(L, index, what, "is out of range", want);
    return n;
}

uint64_t bind_u64(lua_State *L, int index, const char *what)
{
    lua_Integer n = integer(L, index, what, "an integer of at least 0");

    if (n < 0)
        wrong(L, index, what, "is negative", "an integer of at least 0");
    return (uint64_t)n;
}

uint64_t bind_bits(lua_State *L, int index, const char *what, unsigned size)
{
    char want[80];
    uint64_t max = size >= 8 ? UINT64_MAX : (UINT64_C(1) << (size * 8)) - 1, n;

    snprintf(want, sizeof(want), "an integer of %u bits", size * 8);
    n = (uint64_t)integer(L, index, what, want);
    if (n > max)
        wrong(L, index, what, "is out of range", want);
    return n;
}

uint64_t bind_size(lua_State *L, int index, const char *what)
{
    lunik_error err;
    uint64_t size;
    lua_Integer n;

    if (lua_type(L, index) == LUA_TSTRING) {
        bind_check(L, lunik_parse_size(bind_string(L, index, what), what, &size, &err), &err);
        return size;
    }
    n = integer(L, index, what, "a size such as 4096 or \"512M\"");
    if (n < 0)
        wrong(L, index, what, "is negative", "a size such as 4096 or \"512M\"");
    return (uint64_t)n;
}

uint64_t bind_limited(lua_State *L, int index, const char *what, uint64_t max)
{
    char want[80];
    uint64_t n;

    if (lua_type(L, index) != LUA_TSTRING)
        return (uint64_t)bind_int(L, index, what, 0, (lua_Integer)max);
    n = bind_size(L, index, what);
    snprintf(want, sizeof(want), "0 to %" PRIu64, max);
    if (n > max)
        wrong(L, index, what, "is out of range", want);
    return n;
}

uint64_t bind_address(lua_State *L, int index, const char *what)
{
    if (lua_type(L, index) == LUA_TSTRING)
        return bind_size(L, index, what);
    return (uint64_t)integer(L, index, what, "an address such as 0x100000 or \"4G\"");
}

uint64_t bind_extent(lua_State *L, int index, const char *what)
{
    if (lua_isinteger(L, index) && (uint64_t)lua_tointeger(L, index) == LUNIK_SIZE_MAX)
        return LUNIK_SIZE_MAX;
    return bind_size(L, index, what);
}

bool bind_bool(lua_State *L, int index, const char *what)
{
    if (!lua_isnoneornil(L, index) && !lua_isboolean(L, index))
        wrong(L, index, what, "is not a boolean", "true or false");
    return lua_toboolean(L, index);
}

bool bind_level(lua_State *L, int index, const char *what)
{
    if (lua_isnoneornil(L, index))
        wrong(L, index, what, "", "true or false");
    return bind_bool(L, index, what);
}

const char *bind_string(lua_State *L, int index, const char *what)
{
    const char *string;
    size_t length;

    if (lua_type(L, index) != LUA_TSTRING)
        wrong(L, index, what, "is not a string", "a string");
    string = lua_tolstring(L, index, &length);
    if (strlen(string) != length)
        wrong(L, index, what, "contains a zero byte", "a string without one");
    return string;
}

const char *bind_id(lua_State *L, int index, const char *what)
{
    if (lua_type(L, index) != LUA_TSTRING)
        wrong(L, index, what, "is not an object", "an id or an object");
    return bind_string(L, index, what);
}

const char *bind_opt_string(lua_State *L, int index, const char *what, const char *def)
{
    return lua_isnoneornil(L, index) ? def : bind_string(L, index, what);
}

void bind_function(lua_State *L, int index, const char *what)
{
    if (lua_type(L, index) != LUA_TFUNCTION)
        wrong(L, index, what, "is not a function", "a function");
}

void bind_table(lua_State *L, int index, const char *what)
{
    if (lua_type(L, index) != LUA_TTABLE)
        wrong(L, index, what, "is not a table", "a table");
}

int bind_choice(lua_State *L, int index, const char *what, const char *const *choices)
{
    char want[256] = "";
    const char *string = lua_type(L, index) == LUA_TSTRING ? bind_string(L, index, what) : "";

    for (int i = 0; choices[i]; i++) {
        size_t used = strlen(want);

        if (!strcmp(choices[i], string))
            return i;
        snprintf(want + used, sizeof(want) - used, "%s%s", i ? ", " : "", choices[i]);
    }
    return wrong(L, index, what, "is not a valid choice", want);
}

int bind_field(lua_State *L, int table, const char *name)
{
    luaL_checkstack(L, 4, NULL);
    lua_getfield(L, table, name);
    return lua_gettop(L);
}

unsigned bind_access_size(lua_State *L, int index, const char *what)
{
    lua_Integer size = bind_int(L, index, what, 1, 8);

    if (size & (size - 1))
        wrong(L, index, what, "is not an access size", "1, 2, 4 or 8");
    return (unsigned)size;
}

const char *bind_data(lua_State *L, int index, const char *what, size_t *size)
{
    if (lua_type(L, index) != LUA_TSTRING)
        wrong(L, index, what, "is not a string", "a string");
    return lua_tolstring(L, index, size);
}

/* Reads lists without metamethods: a list keeps its own elements alive, not what __index returns.
 */
const char *const *bind_strings(lua_State *L, int index, const char *what)
{
    lua_Integer count;
    const char **strings;

    bind_table(L, index, what);
    count = (lua_Integer)lua_rawlen(L, index);
    strings = lua_newuserdatauv(L, sizeof(*strings) * ((size_t)count + 1), 0);
    for (lua_Integer i = 0; i < count; i++) {
        lua_rawgeti(L, index, i + 1);
        strings[i] = bind_string(L, -1, what);
        lua_pop(L, 1); /* the list keeps it */
    }
    strings[count] = NULL;
    return strings;
}

/* ---- suggestions ---------------------------------------------------------------------------- */

int bind_lua_suggest(lua_State *L)
{
    const char *name = bind_string(L, 1, "suggest: name");

    lua_pushstring(L, lunik_suggest(name, bind_strings(L, 2, "suggest: names")));
    return 1;
}

void bind_options(lua_State *L, int index, const char *what, const char *const *names)
{
    bind_table(L, index, what);
    lua_pushnil(L);
    while (lua_next(L, index)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
        const char *const *known = names, *found;

        while (name && *known && strcmp(*known, name))
            known++;
        if (!name)
            bind_fail(L, LUNIK_E_INVALID, "%s: [%s] is not an option (want name = value)", what,
                      luaL_tolstring(L, -2, NULL));
        if (!*known) {
            found = lunik_suggest(name, names);
            bind_fail(L, LUNIK_E_INVALID, "%s: '%s' is not an option%s%s%s", what, name,
                      found ? " (did you mean '" : "", found ? found : "", found ? "'?)" : "");
        }
        lua_pop(L, 1);
    }
}

/* ---- property values ------------------------------------------------------------------------ */

/* The most values that one value leaves on the stack to keep it alive. */
enum { KEPT_BY_VALUE = 2 };

static void set_integer(lunik_value *out, lua_Integer value)
{
    out->sint = value;
    out->kind = value < 0 ? LUNIK_INT : LUNIK_UINT;
}

/* Converts a value that needs no checks; returns false if scalar() has to. */
static bool plain(lua_State *L, int index, lunik_value *out)
{
    size_t length;

    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
        *out = (lunik_value){.kind = LUNIK_BOOL, .boolean = lua_toboolean(L, index)};
        return true;
    case LUA_TNUMBER:
        if (!lua_isinteger(L, index))
            return false;
        set_integer(out, lua_tointeger(L, index));
        return true;
    case LUA_TSTRING:
        out->kind = LUNIK_STRING;
        out->string = lua_tolstring(L, index, &length);
        return strlen(out->string) == length;
    default:
        return false;
    }
}

static void scalar(lua_State *L, int index, const char *what, lunik_value *out)
{
    if (plain(L, index, out))
        return;
    switch (lua_type(L, index)) {
    case LUA_TNUMBER:
        set_integer(out, integer(L, index, what, "an integer"));
        return;
    case LUA_TSTRING:
        bind_string(L, index, what); /* raises: it contains a zero byte */
        return;
    case LUA_TUSERDATA:
        if (luaL_testudata(L, index, "lunik.Object")) {
            lunik_object *o = bind_object(L, index);

            out->kind = LUNIK_STRING;
            out->string = *lunik_object_id(o) ? lunik_object_id(o) : lunik_object_path(o);
            return;
        }
        break;
    }
    wrong(L, index, what, "is not a value", "a boolean, number, string, list or object");
}

/* Pushes an array of the items and a copy of the list, which keeps alive what they point to. */
static void read_list(lua_State *L, int index, const char *what, lunik_value *out)
{
    lua_Integer count = (lua_Integer)lua_rawlen(L, index);
    lunik_value *items;

    lua_pushnil(L);
    while (lua_next(L, index)) {
        if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) < 1 || lua_tointeger(L, -2) > count)
            bind_fail(L, LUNIK_E_INVALID, "%s: has the key '%s' (want a plain list)", what,
                      luaL_tolstring(L, -2, NULL));
        lua_pop(L, 1);
    }
    items = lua_newuserdatauv(L, sizeof(*items) * ((size_t)count + 1), 0);
    lua_newtable(L);
    for (lua_Integer i = 0; i < count; i++) {
        lua_rawgeti(L, index, i + 1);
        scalar(L, lua_gettop(L), what, &items[i]);
        lua_rawseti(L, -2, i + 1);
    }
    out->kind = LUNIK_LIST;
    out->list.items = items;
    out->list.count = (size_t)count;
}

/* Converts any value; pushes values that keep it alive. */
static void value(lua_State *L, int index, const char *what, lunik_value *out)
{
    if (lua_type(L, index) == LUA_TTABLE) {
        read_list(L, index, what, out);
    } else {
        scalar(L, index, what, out);
        lua_pushvalue(L, index);
    }
}

void bind_value(lua_State *L, int index, const char *what, lunik_value *out)
{
    value(L, lua_absindex(L, index), what, out);
}

void bind_push_name(lua_State *L, const char *name, char from, char to)
{
    luaL_Buffer buffer;

    luaL_buffinit(L, &buffer);
    for (; *name; name++)
        luaL_addchar(&buffer, *name == from ? to : *name);
    luaL_pushresult(&buffer);
}

static size_t count_keys(lua_State *L, int index)
{
    size_t count = 0;

    lua_pushnil(L);
    for (; lua_next(L, index); count++)
        lua_pop(L, 1);
    return count;
}

static void check_twice(lua_State *L, const struct bind_fields *f, const char *what)
{
    for (size_t i = 0; i + 1 < f->count; i++)
        if (!strcmp(f->items[i].name, f->items[f->count - 1].name))
            bind_fail(L, LUNIK_E_INVALID, "%s: '%s' is given twice", what, f->items[i].name);
}

/* Reads the key and value on top of the stack. Pops the value; leaves the key on top, and below it
 * values that keep the field alive. */
static void read_field(lua_State *L, const char *what, lunik_field *out)
{
    int key = lua_gettop(L) - 1;
    char name[128];

    if (lua_type(L, key) != LUA_TSTRING)
        bind_fail(L, LUNIK_E_INVALID, "%s: [%s] is not a property (want name = value)", what,
                  luaL_tolstring(L, key, NULL));
    out->name = bind_string(L, key, what);
    lua_pushvalue(L, key);
    if (strchr(out->name, '_')) {
        bind_push_name(L, out->name, '_', '-');
        out->name = lua_tostring(L, -1);
        lua_replace(L, key + 2);
    }
    if (plain(L, key + 1, &out->value)) {
        lua_pushvalue(L, key + 1);
    } else {
        snprintf(name, sizeof(name), "%s: %s", what, out->name);
        value(L, key + 1, name, &out->value);
    }
    lua_remove(L, key + 1);
    lua_rotate(L, key, -1);
}

void bind_fields(lua_State *L, int index, const char *what, struct bind_fields *out)
{
    size_t count;

    *out = (struct bind_fields){0};
    if (lua_isnoneornil(L, index))
        return;
    bind_table(L, index, what);
    index = lua_absindex(L, index);
    count = count_keys(L, index);
    luaL_checkstack(L, (int)count * (1 + KEPT_BY_VALUE) + LUA_MINSTACK, NULL);
    out->items = lua_newuserdatauv(L, sizeof(*out->items) * (count + 1), 0);
    lua_pushnil(L);
    while (lua_next(L, index)) {
        read_field(L, what, &out->items[out->count++]);
        check_twice(L, out, what);
    }
}

void bind_push_value(lua_State *L, const lunik_value *v)
{
    switch (v->kind) {
    case LUNIK_BOOL:
        lua_pushboolean(L, v->boolean);
        break;
    case LUNIK_INT:
        lua_pushinteger(L, v->sint);
        break;
    case LUNIK_UINT:
        lua_pushinteger(L, (lua_Integer)v->uint);
        break;
    case LUNIK_STRING:
        lua_pushstring(L, v->string);
        break;
    case LUNIK_LIST:
        luaL_checkstack(L, 4, NULL);
        lua_createtable(L, (int)v->list.count, 0);
        for (size_t i = 0; i < v->list.count; i++) {
            bind_push_value(L, &v->list.items[i]);
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        break;
    default:
        lua_pushnil(L);
    }
}
