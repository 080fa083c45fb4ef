/* space.c: address spaces for Lua. */
#include <inttypes.h>

#include "bindings.h"

static const char space_class[] = "lunik.Space";

void bind_push_space(lua_State *L, lunik_space *s, lunik_machine *m)
{
    bind_push_part(L, space_class, s, m);
}

static lunik_space *space(lua_State *L)
{
    return bind_check_open(L, 1, space_class)->ptr;
}

void bind_check_access(lua_State *L, lunik_space *s, int rc, const char *verb, uint64_t address,
                       uint64_t size)
{
    const char *why = rc == LUNIK_E_ACCESS   ? "nothing there accepts it"
                      : rc == LUNIK_E_DEVICE ? "a device there refuses it"
                                             : "out of memory";

    if (rc)
        bind_fail(L, rc, "%s: %s of %" PRIu64 " bytes at 0x%" PRIx64 ": %s", lunik_space_name(s),
                  verb, size, address, why);
}

/* Returns the host address of a range that lies in one piece of RAM. NULL if it does not, or if a
 * file holds the RAM, whose pages may be lost. */
static const void *ram_at(lunik_machine *m, lunik_space *s, uint64_t address, size_t size)
{
    lunik_section found;
    uint64_t skip;
    lunik_ram *ram;

    lunik_coalesced_flush(m);
    if (!size || !lunik_space_find(s, address, &found) || !found.romd)
        return NULL;
    skip = address - found.address;
    if (size > found.size - skip)
        return NULL;
    ram = lunik_region_ram(found.region);
    if (lunik_ram_fd(ram) >= 0)
        return NULL;
    return (const char *)lunik_ram_host(ram) + lunik_region_ram_offset(found.region) +
           found.offset + skip;
}

/* space:read(address, length) -> string */
static int space_read(lua_State *L)
{
    lunik_space *s = space(L);
    uint64_t address = bind_address(L, 2, "read: address");
    size_t size = (size_t)bind_limited(L, 3, "read: length", INT32_MAX);
    const void *ram = ram_at(bind_check_open(L, 1, space_class)->m, s, address, size);
    luaL_Buffer buffer;
    int rc;

    if (ram) {
        lua_pushlstring(L, ram, size);
        return 1;
    }
    rc = lunik_space_read(s, address, luaL_buffinitsize(L, &buffer, size), size);
    luaL_pushresultsize(&buffer, size);
    bind_check_access(L, s, rc, "read", address, size);
    return 1;
}

/* space:write(address, string) */
static int space_write(lua_State *L)
{
    lunik_space *s = space(L);
    uint64_t address = bind_address(L, 2, "write: address");
    size_t size;
    const char *data = bind_data(L, 3, "write: data", &size);

    bind_check_access(L, s, lunik_space_write(s, address, data, size), "write", address, size);
    return 0;
}

/* space:load(address, size) -> integer */
static int space_load(lua_State *L)
{
    lunik_space *s = space(L);
    uint64_t address = bind_address(L, 2, "load: address"), value = 0;
    unsigned size = bind_access_size(L, 3, "load: size");

    bind_check_access(L, s, lunik_space_load(s, address, size, &value), "load", address, size);
    lua_pushinteger(L, (lua_Integer)value);
    return 1;
}

/* space:store(address, size, value) */
static int space_store(lua_State *L)
{
    lunik_space *s = space(L);
    uint64_t address = bind_address(L, 2, "store: address");
    unsigned size = bind_access_size(L, 3, "store: size");
    uint64_t value = bind_bits(L, 4, "store: value", size);

    bind_check_access(L, s, lunik_space_store(s, address, size, value), "store", address, size);
    return 0;
}

/* space:find(address) -> section or nil */
static int space_find(lua_State *L)
{
    lunik_space *s = space(L);
    lunik_section section;

    if (!lunik_space_find(s, bind_address(L, 2, "find: address"), &section))
        return 0;
    bind_push_section(L, &section, bind_check_open(L, 1, space_class)->m);
    return 1;
}

static int space_get_root(lua_State *L)
{
    bind_push_region(L, lunik_space_root(space(L)), bind_check_open(L, 1, space_class)->m);
    return 1;
}

static int space_get_name(lua_State *L)
{
    lua_pushstring(L, lunik_space_name(space(L)));
    return 1;
}

static int space_get_stats(lua_State *L)
{
    lunik_space *s = space(L);
    lunik_space_stats stats;

    lunik_coalesced_flush(bind_check_open(L, 1, space_class)->m);
    lunik_space_get_stats(s, &stats);
    lua_createtable(L, 0, 2);
    lua_pushinteger(L, (lua_Integer)stats.rejected);
    lua_setfield(L, -2, "rejected");
    lua_pushinteger(L, (lua_Integer)stats.unassigned);
    lua_setfield(L, -2, "unassigned");
    return 1;
}

static int space_tostring(lua_State *L)
{
    lunik_machine *m = bind_check_box(L, 1, space_class)->m;

    if (lunik_machine_state(m) == LUNIK_STATE_CLOSED)
        lua_pushfstring(L, "address space of closed machine '%s'", lunik_machine_name(m));
    else
        lua_pushfstring(L, "address space '%s' of machine '%s'", lunik_space_name(space(L)),
                        lunik_machine_name(m));
    return 1;
}

void bind_space_open(lua_State *L, int classes)
{
    static const luaL_Reg methods[] = {
        {"read", space_read},   {"write", space_write}, {"load", space_load},
        {"store", space_store}, {"find", space_find},   {0},
    };
    static const luaL_Reg getters[] = {
        {"root", space_get_root},
        {"name", space_get_name},
        {"stats", space_get_stats},
        {0},
    };
    static const luaL_Reg meta[] = {
        {"__gc", bind_part_gc},
        {"__tostring", space_tostring},
        {0},
    };
    static const struct bind_class class = {
        .name = space_class,
        .methods = methods,
        .getters = getters,
        .meta = meta,
    };

    bind_class_new(L, classes, &class);
    lua_getfield(L, classes, "Space");
    lua_getfield(L, -1, "methods");
    luaL_setfuncs(L, bind_space_bulk_methods, 0);
    lua_pop(L, 2);
}
