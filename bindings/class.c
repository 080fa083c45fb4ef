/* class.c: classes, which are metatables with methods, fields and setters; boxes. */
#include <string.h>

#include "bindings.h"

static const char boxes_key; /* registry: address -> box, weak */

/* __index. Upvalues: methods, getters, get_other or nil. */
static int class_index(lua_State *L)
{
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
        return 1;
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL) {
        lua_pushvalue(L, 1);
        lua_call(L, 1, 1);
        return 1;
    }
    if (lua_isnil(L, lua_upvalueindex(3)))
        return 1;
    lua_pushvalue(L, lua_upvalueindex(3));
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    lua_call(L, 2, 1);
    return 1;
}

/* __newindex. Upvalues: setters, set_other or nil, the class's name. */
static int class_newindex(lua_State *L)
{
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) == LUA_TNIL)
        lua_pushvalue(L, lua_upvalueindex(2));
    if (lua_isnil(L, -1))
        return bind_fail(L, LUNIK_E_INVALID, "%s: '%s' is not a field that can be set",
                         lua_tostring(L, lua_upvalueindex(3)), luaL_tolstring(L, 2, NULL));
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 3);
    lua_call(L, 3, 0);
    return 0;
}

/* Pushes a table of the functions (may be NULL). */
static void push_functions(lua_State *L, const luaL_Reg *functions)
{
    lua_newtable(L);
    if (functions)
        luaL_setfuncs(L, functions, 0);
}

static void push_function(lua_State *L, lua_CFunction function)
{
    if (function)
        lua_pushcfunction(L, function);
    else
        lua_pushnil(L);
}

void bind_class_new(lua_State *L, int classes, const struct bind_class *c)
{
    const char *shown = strchr(c->name, '.') + 1;
    int top = lua_gettop(L), methods = top + 2, getters = top + 3, setters = top + 4;

    luaL_newmetatable(L, c->name);
    push_functions(L, c->methods);
    push_functions(L, c->getters);
    push_functions(L, c->setters);

    lua_pushvalue(L, methods);
    lua_pushvalue(L, getters);
    push_function(L, c->get_other);
    lua_pushcclosure(L, class_index, 3);
    lua_setfield(L, top + 1, "__index");
    lua_pushvalue(L, setters);
    push_function(L, c->set_other);
    lua_pushstring(L, shown);
    lua_pushcclosure(L, class_newindex, 3);
    lua_setfield(L, top + 1, "__newindex");
    lua_pushstring(L, c->name);
    lua_setfield(L, top + 1, "__metatable"); /* hidden, so that scripts cannot call __gc */
    lua_pushvalue(L, top + 1);
    luaL_setfuncs(L, c->meta, 0);
    lua_pop(L, 1);

    lua_createtable(L, 0, 3);
    lua_pushvalue(L, methods);
    lua_setfield(L, -2, "methods");
    lua_pushvalue(L, getters);
    lua_setfield(L, -2, "getters");
    lua_pushvalue(L, setters);
    lua_setfield(L, -2, "setters");
    lua_setfield(L, classes, shown);
    lua_settop(L, top);
}

/* ---- boxes ---------------------------------------------------------------------------------- */

static void push_boxes(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &boxes_key) != LUA_TNIL)
        return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "v");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &boxes_key);
}

/* Finds ptr in the table on top of the stack and replaces that by its box. */
static struct box *box_from(lua_State *L, const char *class, void *ptr, int uservalues, bool *made)
{
    struct box *box;

    *made = lua_rawgetp(L, -1, ptr) == LUA_TNIL;
    if (*made) {
        lua_pop(L, 1);
        box = lua_newuserdatauv(L, sizeof(*box), uservalues);
        *box = (struct box){0};
        luaL_setmetatable(L, class);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, -3, ptr);
        box->ptr = ptr;
    }
    lua_remove(L, -2);
    return lua_touserdata(L, -1);
}

struct box_request {
    const char *class;
    void *ptr;
    int uservalues;
    bool made;
};

/* Lua, protected: pushes the box that the request at 1 describes. */
static int box_body(lua_State *L)
{
    struct box_request *r = lua_touserdata(L, 1);

    push_boxes(L);
    box_from(L, r->class, r->ptr, r->uservalues, &r->made);
    return 1;
}

struct box *bind_push_box(lua_State *L, const char *class, void *ptr, int uservalues, bool *made,
                          void (*drop)(void *ptr))
{
    struct box_request r = {class, ptr, uservalues, false};

    lua_pushcfunction(L, box_body);
    lua_pushlightuserdata(L, &r);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
        if (drop)
            drop(ptr);
        lua_error(L);
    }
    *made = r.made;
    return lua_touserdata(L, -1);
}

bool bind_find_box(lua_State *L, const void *ptr)
{
    bool found;

    push_boxes(L);
    found = lua_rawgetp(L, -1, ptr) != LUA_TNIL;
    lua_remove(L, -2);
    return found;
}

/* Lua, protected: (table, address, value) */
static int keep_body(lua_State *L)
{
    lua_rawsetp(L, 1, lua_touserdata(L, 2));
    return 0;
}

bool bind_try_keep(lua_State *L, int table, const void *address)
{
    table = lua_absindex(L, table);
    luaL_checkstack(L, 4, NULL);
    lua_pushcfunction(L, keep_body);
    lua_pushvalue(L, table);
    lua_pushlightuserdata(L, (void *)address);
    lua_pushvalue(L, -4);
    return lua_pcall(L, 3, 0, 0) == LUA_OK;
}

void bind_push_parts(lua_State *L, lunik_machine *m)
{
    luaL_checkstack(L, 8, NULL);
    bind_push_machine(L, m);
    if (lua_getiuservalue(L, -1, 1) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setiuservalue(L, -3, 1);
    }
    lua_remove(L, -2);
}

void bind_push_part(lua_State *L, const char *class, void *ptr, lunik_machine *m)
{
    struct box *box;
    bool made;

    bind_push_parts(L, m);
    box = box_from(L, class, ptr, 0, &made);
    if (made) {
        lunik_machine_ref(m);
        box->m = m;
    }
}

int bind_part_gc(lua_State *L)
{
    struct box *box = lua_touserdata(L, 1);

    if (box->m)
        lunik_machine_unref(box->m);
    *box = (struct box){0};
    return 0;
}

void bind_wrong_class(lua_State *L, int index, const char *class)
{
    const char *value = lua_isnoneornil(L, index) ? "nil" : luaL_tolstring(L, index, NULL);

    if (index == 1)
        bind_fail(L, LUNIK_E_INVALID, "'%.100s' is not a %s (call it with ':')", value, class);
    bind_fail(L, LUNIK_E_INVALID, "argument %d: '%.100s' is not a %s", index - 1, value, class);
}

struct box *bind_check_box(lua_State *L, int index, const char *class)
{
    struct box *box = luaL_testudata(L, index, class);

    if (!box)
        bind_wrong_class(L, index, class);
    if (!box->ptr)
        bind_fail(L, LUNIK_E_GONE, "this %s is gone", class);
    return box;
}

struct box *bind_check_open(lua_State *L, int index, const char *class)
{
    struct box *box = bind_check_box(L, index, class);

    if (lunik_machine_state(box->m) == LUNIK_STATE_CLOSED)
        bind_fail(L, LUNIK_E_GONE, "machine '%s' is closed", lunik_machine_name(box->m));
    return box;
}
