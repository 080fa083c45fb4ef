/* console.c: access to the output of character devices and to a chardev-buffer, for the serial
 * consoles of the Lua half. */
#include "bindings.h"

enum { TAP_SIZE = 256 * 1024 }; /* bytes kept for observers of a device that keeps none itself */

/* An object that has a tap. */
static lunik_object *tapped(lua_State *L, const lunik_chardev_tap_ops **ops)
{
    lunik_object *o = bind_object(L, 1);

    *ops = lunik_chardev_tap_iface(o);
    if (!*ops)
        bind_fail(L, LUNIK_E_UNSUPPORTED, "object '%s' is a %s (want a character device)",
                  lunik_object_id(o), lunik_object_type_name(o));
    return o;
}

static lunik_object *buffer(lua_State *L, const lunik_chardev_buffer_ops **ops)
{
    lunik_object *o = bind_object(L, 1);

    *ops = lunik_chardev_buffer_iface(o);
    if (!*ops)
        bind_fail(L, LUNIK_E_UNSUPPORTED, "object '%s' is a %s (want a chardev-buffer)",
                  lunik_object_id(o), lunik_object_type_name(o));
    return o;
}

/* core.buffer_peek(object, position) -> text from position on, position of the text; skips bytes
 * that have been overwritten */
static int buffer_peek(lua_State *L)
{
    const lunik_chardev_tap_ops *ops;
    lunik_object *o = tapped(L, &ops);
    uint64_t position = bind_u64(L, 2, "peek: position"), first = ops->first(o);
    uint64_t total = ops->total(o);
    luaL_Buffer out;
    size_t size;

    if (position < first)
        position = first;
    size = position < total ? (size_t)(total - position) : 0;
    size = ops->peek(o, position, (uint8_t *)luaL_buffinitsize(L, &out, size), size);
    luaL_pushresultsize(&out, size);
    lua_pushinteger(L, (lua_Integer)position);
    return 2;
}

/* core.buffer_write(object, text) -> bytes taken */
static int buffer_write(lua_State *L)
{
    const lunik_chardev_buffer_ops *ops;
    lunik_object *o = buffer(L, &ops);
    size_t size;
    const char *text = bind_data(L, 2, "write: text", &size);

    lua_pushinteger(L, (lua_Integer)ops->write_input(o, (const uint8_t *)text, size));
    return 1;
}

/* Lua, protected: hooks.console(object). */
static int notify_body(lua_State *L)
{
    bind_push_hook(L, "console");
    bind_push_object(L, lua_touserdata(L, 1));
    lua_call(L, 1, 0);
    return 0;
}

static void on_notify(void *opaque)
{
    lunik_object *o = opaque;
    struct glue *g = bind_glue(lunik_object_machine(o));

    if (g)
        bind_call(g->b, NULL, "a console", notify_body, o);
}

/* core.buffer_watch(object): keeps output from now on, if the device does not, and calls
 * hooks.console(object) soon after there is some */
static int buffer_watch(lua_State *L)
{
    const lunik_chardev_tap_ops *ops;
    lunik_object *o = tapped(L, &ops);
    lunik_error err;

    if (ops->keep(o, TAP_SIZE, &err))
        bind_raise(L, &err);
    ops->set_notify(o, on_notify, o);
    return 0;
}

/* object:send_break() */
int bind_lua_send_break(lua_State *L)
{
    lunik_object *o = bind_object(L, 1);
    const lunik_chardev_ops *ops = lunik_chardev_iface(o);
    lunik_error err;

    if (!ops || !ops->send_break)
        bind_fail(L, LUNIK_E_UNSUPPORTED,
                  "send_break: object '%s' is a %s (want a character device)", lunik_object_id(o),
                  lunik_object_type_name(o));
    if (ops->send_break(o, &err))
        bind_raise(L, &err);
    return 0;
}

/* core.flush(machine): writes the output that its character devices hold, as far as that does not
 * wait */
static int flush(lua_State *L)
{
    lunik_machine_flush(bind_machine(L, 1));
    return 0;
}

const luaL_Reg bind_console_functions[] = {
    {"buffer_peek", buffer_peek},
    {"buffer_write", buffer_write},
    {"buffer_watch", buffer_watch},
    {"flush", flush},
    {"search", bind_lua_search_new},
    {"buffer_search", bind_lua_buffer_search},
    {0},
};
