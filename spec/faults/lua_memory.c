/* lua_memory.c: an allocator for Lua that refuses one request. */
#include <lauxlib.h>

#include "faults.h"

static struct {
    lua_Alloc allocate;
    void *opaque;
    unsigned long count, at;
    bool armed, again; /* again: the same request after the collection that Lua tries */
    size_t size;
} memory;

static bool refused(size_t old, size_t size)
{
    if (memory.again) {
        memory.again = false;
        if (size == memory.size)
            return true;
    }
    if (++memory.count != memory.at)
        return false;
    memory.again = true;
    memory.size = size;
    return true;
}

static void *allocate(void *opaque, void *block, size_t old, size_t size)
{
    if (memory.armed && size && (!block || size > old) && refused(old, size))
        return NULL;
    return memory.allocate(memory.opaque, block, old, size);
}

/* faults.lua_arm(at): the at-th request for memory is refused */
int faults_lua_arm(lua_State *L)
{
    if (!memory.allocate) {
        memory.allocate = lua_getallocf(L, &memory.opaque);
        lua_setallocf(L, allocate, NULL);
    }
    memory.at = (unsigned long)luaL_checkinteger(L, 1);
    memory.count = 0;
    memory.again = false;
    memory.armed = true;
    return 0;
}

/* faults.lua_disarm() -> how many requests there were */
int faults_lua_disarm(lua_State *L)
{
    memory.armed = false;
    lua_pushinteger(L, (lua_Integer)memory.count);
    return 1;
}
