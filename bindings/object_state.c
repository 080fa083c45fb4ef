/* object_state.c: the state of devices as strings, for Lua. */
#include "bindings.h"

/* Lua, protected: the bytes of the buffer at 1 as a string. */
static int bytes_body(lua_State *L)
{
    const lunik_state_buffer *b = lua_touserdata(L, 1);

    lua_pushlstring(L, (const char *)b->data, b->size);
    return 1;
}

/* object:save() -> its state */
int bind_lua_object_save(lua_State *L)
{
    lunik_object *o = bind_object(L, 1);
    lunik_state_buffer b = {0};
    lunik_error err;
    int rc;

    bind_check(L, lunik_object_save(o, &b, &err), &err);
    lua_pushcfunction(L, bytes_body);
    lua_pushlightuserdata(L, &b);
    rc = lua_pcall(L, 1, 1, 0);
    lunik_state_buffer_free(&b);
    return rc == LUA_OK ? 1 : lua_error(L);
}

/* object:load(state) */
int bind_lua_object_load(lua_State *L)
{
    lunik_object *o = bind_object(L, 1);
    lunik_error err;
    size_t size;
    const char *data = bind_data(L, 2, "load: state", &size);

    bind_check(L, lunik_object_load(o, data, size, &err), &err);
    return 0;
}
