/* object.c: objects and devices for Lua. */
#include <stdio.h>
#include <string.h>

#include "bindings.h"

static const char object_class[] = "lunik.Object";

/* ---- boxes ---------------------------------------------------------------------------------- */

static void drop(void *o)
{
    lunik_object_unref(o);
}

void bind_push_object(lua_State *L, lunik_object *o)
{
    bool made;

    if (!o) {
        lua_pushnil(L);
        return;
    }
    luaL_checkstack(L, 2, NULL);
    lunik_object_ref(o); /* making the box may run a finalizer that deletes o */
    bind_push_box(L, object_class, o, 0, &made, drop);
    if (!made)
        lunik_object_unref(o);
}

static int object_gc(lua_State *L)
{
    struct box *box = lua_touserdata(L, 1);

    if (box->ptr)
        lunik_object_unref(box->ptr);
    box->ptr = NULL;
    return 0;
}

/* Returns the object at index, alive or not. */
static lunik_object *object_any(lua_State *L, int index)
{
    return bind_check_box(L, index, object_class)->ptr;
}

static const char *kind_word(const lunik_object *o)
{
    return lunik_object_is_device(o) ? "device" : "object";
}

static const char *shown_name(const lunik_object *o)
{
    return *lunik_object_id(o) ? lunik_object_id(o) : lunik_object_path(o);
}

lunik_object *bind_object(lua_State *L, int index)
{
    lunik_object *o = object_any(L, index);

    if (!lunik_object_alive(o))
        bind_fail(L, LUNIK_E_GONE, "%s '%s' is gone", kind_word(o), shown_name(o));
    return o;
}

lunik_object *bind_object_arg(lua_State *L, int index, lunik_machine *m, const char *what)
{
    lunik_object *o;

    if (luaL_testudata(L, index, object_class)) {
        o = bind_object(L, index);
        if (lunik_object_machine(o) != m)
            bind_fail(L, LUNIK_E_INVALID, "%s: '%s' belongs to machine '%s'", what, shown_name(o),
                      lunik_machine_name(lunik_object_machine(o)));
        return o;
    }
    o = lunik_object_find(m, bind_id(L, index, what));
    if (!o)
        bind_fail(L, LUNIK_E_NOT_FOUND, "%s: there is no object '%s'", what,
                  lua_tostring(L, index));
    return o;
}

/* ---- properties ----------------------------------------------------------------------------- */

/* obj:get(property) */
static int object_get(lua_State *L)
{
    lunik_object *o = bind_object(L, 1);
    lunik_value value;
    lunik_error err;

    bind_check(L, lunik_object_get(o, bind_string(L, 2, "get: property"), &value, &err), &err);
    bind_push_value(L, &value);
    return 1;
}

/* obj:set(property, value) */
static int object_set(lua_State *L)
{
    lunik_object *o = bind_object(L, 1);
    const char *name = bind_string(L, 2, "set: property");
    lunik_value value = {.kind = LUNIK_NIL};
    char what[128];
    lunik_error err;

    snprintf(what, sizeof(what), "%s: %s", lunik_object_type_name(o), name);
    if (!lua_isnoneornil(L, 3))
        bind_value(L, 3, what, &value);
    bind_check(L, lunik_object_set(o, name, &value, &err), &err);
    return 0;
}

/* obj:is(type or interface) */
static int object_is(lua_State *L)
{
    lua_pushboolean(L, lunik_object_is(object_any(L, 1), bind_string(L, 2, "is: type")));
    return 1;
}

/* ---- fields --------------------------------------------------------------------------------- */

static int get_id(lua_State *L)
{
    lua_pushstring(L, lunik_object_id(object_any(L, 1)));
    return 1;
}

static int get_type(lua_State *L)
{
    lua_pushstring(L, lunik_object_type_name(object_any(L, 1)));
    return 1;
}

static int get_path(lua_State *L)
{
    lua_pushstring(L, lunik_object_path(object_any(L, 1)));
    return 1;
}

static int get_alive(lua_State *L)
{
    lua_pushboolean(L, lunik_object_alive(object_any(L, 1)));
    return 1;
}

static int get_is_device(lua_State *L)
{
    lua_pushboolean(L, lunik_object_is_device(object_any(L, 1)));
    return 1;
}

static int get_machine(lua_State *L)
{
    bind_push_machine(L, lunik_object_machine(object_any(L, 1)));
    return 1;
}

/* The plug state of a device; nil for other objects. */
static int get_state(lua_State *L)
{
    lunik_object *o = object_any(L, 1);

    if (!lunik_object_is_device(o))
        return 0;
    lua_pushstring(L, lunik_plug_state_name(lunik_device_plug_state(o)));
    return 1;
}

static int object_tostring(lua_State *L)
{
    lunik_object *o = object_any(L, 1);

    lua_pushfstring(L, "%s '%s' (%s%s)", kind_word(o), shown_name(o), lunik_object_type_name(o),
                    lunik_object_alive(o) ? "" : ", gone");
    return 1;
}

void bind_object_open(lua_State *L, int classes)
{
    static const luaL_Reg methods[] = {
        {"get", object_get},
        {"set", object_set},
        {"is", object_is},
        {"save", bind_lua_object_save},
        {"load", bind_lua_object_load},
        {"send_break", bind_lua_send_break},
        {0},
    };
    static const luaL_Reg getters[] = {
        {"id", get_id},
        {"type", get_type},
        {"path", get_path},
        {"alive", get_alive},
        {"is_device", get_is_device},
        {"machine", get_machine},
        {"state", get_state},
        {0},
    };
    static const luaL_Reg meta[] = {
        {"__gc", object_gc},
        {"__tostring", object_tostring},
        {0},
    };
    static const struct bind_class class = {
        .name = object_class,
        .methods = methods,
        .getters = getters,
        .meta = meta,
        .get_other = object_get,
        .set_other = object_set,
    };

    bind_class_new(L, classes, &class);
}
