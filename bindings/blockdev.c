/* blockdev.c: disks whose contents a script's functions provide. */
#include <errno.h>
#include <string.h>

#include "bindings.h"

struct block_call {
    lunik_object *o;
    lunik_block_call what;
    uint64_t offset, size;
    void *data;
    bool done;
};

/* Lua, protected: hooks.blockdev(object, what, offset, bytes or size) -> bytes that were read. */
static int call_body(lua_State *L)
{
    static const char *const names[] = {"read", "write", "flush", "discard"};
    struct block_call *call = lua_touserdata(L, 1);
    const char *data;
    size_t size;

    bind_push_hook(L, "blockdev");
    bind_push_object(L, call->o);
    lua_pushstring(L, names[call->what]);
    lua_pushinteger(L, (lua_Integer)call->offset);
    if (call->what == LUNIK_BLOCK_WRITE)
        lua_pushlstring(L, call->data, (size_t)call->size);
    else
        lua_pushinteger(L, (lua_Integer)call->size);
    lua_call(L, 4, 1);
    if (call->what == LUNIK_BLOCK_READ) {
        data = bind_data(L, -1, "blockdev-lua: what read returned", &size);
        if (size != call->size)
            return bind_fail(L, LUNIK_E_INVALID, "blockdev-lua: read returned %zu bytes (want %zu)",
                             size, (size_t)call->size);
        memcpy(call->data, data, size);
    }
    call->done = true;
    return 0;
}

/* A failure of a script is reported as an error of the machine, and to the guest as one of
 * the disk. */
static int call_functions(void *opaque, lunik_object *o, lunik_block_call what, uint64_t offset,
                          void *data, uint64_t size)
{
    struct block_call call = {o, what, offset, size, data, false};

    bind_call(opaque, bind_glue(lunik_object_machine(o)), "blockdev-lua", call_body, &call);
    return call.done ? 0 : -EIO;
}

/* core.blockdev_functions(object): has hooks.blockdev called for the requests to a blockdev-lua. */
int bind_lua_blockdev_functions(lua_State *L)
{
    lunik_object *o = bind_object(L, 1);
    const lunik_block_functions_ops *ops = lunik_block_functions_iface(o);
    const lunik_block_functions functions = {call_functions, bind_state(L)};

    if (!ops)
        return bind_fail(L, LUNIK_E_INVALID, "blockdev_functions: %s has no functions",
                         lunik_object_type_name(o));
    ops->set(o, &functions);
    return 0;
}
