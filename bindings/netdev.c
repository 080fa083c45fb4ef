/* netdev.c: the program's end of a netdev-lua, for the Lua half. */
#include "bindings.h"

static lunik_object *peer(lua_State *L, const lunik_netdev_peer_ops **ops)
{
    lunik_object *o = bind_object(L, 1);

    *ops = lunik_netdev_peer_iface(o);
    if (!*ops)
        bind_fail(L, LUNIK_E_UNSUPPORTED, "object '%s' is a %s (want a netdev-lua)",
                  lunik_object_id(o), lunik_object_type_name(o));
    return o;
}

/* core.netdev_send(object, frame, queue) -> whether it was taken */
int bind_lua_netdev_send(lua_State *L)
{
    const lunik_netdev_peer_ops *ops;
    lunik_object *o = peer(L, &ops);
    unsigned queue = (unsigned)bind_int(L, 3, "send: queue", 0, 30);
    size_t size;
    const char *frame = bind_data(L, 2, "send: frame", &size);

    lua_pushboolean(L, ops->send(o, queue, (const uint8_t *)frame, size));
    return 1;
}

struct frame_call {
    lunik_object *o;
    unsigned queue;
    const uint8_t *frame;
    size_t size;
};

/* Lua, protected: hooks.netdev(object, frame, queue). */
static int frame_body(lua_State *L)
{
    const struct frame_call *call = lua_touserdata(L, 1);

    bind_push_hook(L, "netdev");
    bind_push_object(L, call->o);
    lua_pushlstring(L, (const char *)call->frame, call->size);
    lua_pushinteger(L, call->queue);
    lua_call(L, 3, 0);
    return 0;
}

static void on_frame(void *opaque, unsigned queue, const uint8_t *frame, size_t size)
{
    struct frame_call call = {opaque, queue, frame, size};
    struct glue *g = bind_glue(lunik_object_machine(call.o));

    if (g)
        bind_call(g->b, g, "a function of on_frame", frame_body, &call);
}

/* core.netdev_watch(object): calls hooks.netdev(object, frame, queue) with each frame */
int bind_lua_netdev_watch(lua_State *L)
{
    const lunik_netdev_peer_ops *ops;
    lunik_object *o = peer(L, &ops);

    ops->watch(o, on_frame, o);
    return 0;
}
