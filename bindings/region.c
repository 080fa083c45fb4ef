/*
 * region.c: memory regions for Lua.
 *
 * A region box has four uservalues: the read, write and peek functions, and a table of other boxes
 * that it keeps alive: its children, its alias target. So a region is kept, with its functions, as
 * long as it is mapped: by its container's box, or, in a container that was not made by Lua, by the
 * machine's box.
 */
#include "bindings.h"

static const char region_class[] = "lunik.Region";

const char *const bind_region_kinds[] = {"container", "ram",   "rom",      "rom-device",
                                         "io",        "alias", "reserved", NULL};

/* ---- boxes ---------------------------------------------------------------------------------- */

static void drop(void *r)
{
    lunik_region_unref(r);
}

void bind_push_region(lua_State *L, lunik_region *r, lunik_machine *m)
{
    struct box *box;
    bool made;

    if (!r) {
        lua_pushnil(L);
        return;
    }
    luaL_checkstack(L, 2, NULL);
    lunik_region_ref(r); /* making the box may run a finalizer that removes r */
    box = bind_push_box(L, region_class, r, BIND_REGION_KEPT, &made, drop);
    if (!made) {
        lunik_region_unref(r);
        return;
    }
    lunik_machine_ref(m);
    box->m = m;
}

lunik_region *bind_region(lua_State *L, int index)
{
    lunik_region *r = bind_check_open(L, index, region_class)->ptr;

    if (!lunik_region_alive(r))
        bind_fail(L, LUNIK_E_GONE, "region '%s' is gone", lunik_region_name(r));
    return r;
}

lunik_region *bind_region_option(lua_State *L, int index, const char *what)
{
    if (!luaL_testudata(L, index, region_class))
        bind_fail(L, LUNIK_E_INVALID, "%s: '%.100s' is not a region", what,
                  luaL_tolstring(L, index, NULL));
    return bind_region(L, index);
}

/* Pushes the table of boxes that the region at index keeps. */
static void push_kept(lua_State *L, int index)
{
    if (lua_getiuservalue(L, index, BIND_REGION_KEPT) != LUA_TNIL)
        return;
    lua_pop(L, 1);
    bind_push_parts(L, bind_check_open(L, index, region_class)->m);
}

/* Makes the box at parent keep the box at child, or no longer. */
static void keep(lua_State *L, int parent, int child, bool on)
{
    push_kept(L, parent);
    lua_pushvalue(L, child);
    if (on)
        lua_pushboolean(L, 1);
    else
        lua_pushnil(L);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

static int region_gc(lua_State *L)
{
    struct box *box = lua_touserdata(L, 1);

    if (!box->m)
        return 0;
    if (box->data && lunik_machine_state(box->m) != LUNIK_STATE_CLOSED)
        bind_region_forget(box->data);
    lunik_region_unref(box->ptr);
    lunik_machine_unref(box->m);
    *box = (struct box){0};
    return 0;
}

/* ---- mapping -------------------------------------------------------------------------------- */

/* Key in the machine's table of parts: {parent, child, ...}, the regions that a transaction adds
 * and deletes. They are kept until the transaction ends. */
static const char moved_name[] = "moved";

static bool in_transaction(lua_State *L)
{
    return lunik_in_transaction(bind_check_open(L, 1, region_class)->m);
}

/* Returns the number of whole pairs; the last may be half, for lack of memory. */
static lua_Integer pairs(lua_State *L, int index)
{
    return (lua_Integer)lua_rawlen(L, index) / 2;
}

static void note_moved(lua_State *L, lunik_machine *m, int parent, int child)
{
    lua_Integer count;

    bind_push_parts(L, m);
    if (lua_getfield(L, -1, moved_name) == LUA_TNIL) {
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setfield(L, -4, moved_name);
    }
    count = pairs(L, -1) * 2;
    lua_pushvalue(L, parent);
    lua_rawseti(L, -2, count + 1);
    lua_pushvalue(L, child);
    lua_rawseti(L, -2, count + 2);
    lua_settop(L, child);
}

void bind_region_settle(lua_State *L, lunik_machine *m)
{
    int parts, moved;

    bind_push_parts(L, m);
    parts = lua_gettop(L);
    moved = parts + 1;
    if (lua_getfield(L, parts, moved_name) != LUA_TNIL) {
        /* If memory lacks for a pair, it stays in the list for the next transaction's end. */
        for (lua_Integer i = pairs(L, moved) * 2; i; i -= 2) {
            struct box *parent, *child;

            lua_rawgeti(L, moved, i - 1);
            lua_rawgeti(L, moved, i);
            parent = lua_touserdata(L, moved + 1);
            child = lua_touserdata(L, moved + 2);
            keep(L, moved + 1, moved + 2, lunik_region_parent(child->ptr) == parent->ptr);
            lua_settop(L, moved);
            lua_pushnil(L);
            lua_rawseti(L, moved, i);
            lua_pushnil(L);
            lua_rawseti(L, moved, i - 1);
        }
    }
    lua_settop(L, parts - 1);
}

/* parent:add(child, offset, {priority=, overlap=}) -> child */
static int region_add(lua_State *L)
{
    static const char *const options[] = {"priority", "overlap", NULL};
    lunik_region *parent = bind_region(L, 1), *child = bind_region(L, 2);
    uint64_t offset = bind_address(L, 3, "add: offset");
    int priority = 0;
    bool overlap = false;
    struct bind_script script;
    lunik_error err;
    int rc;

    if (!lua_isnoneornil(L, 4)) {
        bind_options(L, 4, "add", options);
        lua_getfield(L, 4, "priority");
        if (!lua_isnil(L, -1))
            priority = (int)bind_int(L, -1, "add: priority", INT32_MIN, INT32_MAX);
        lua_getfield(L, 4, "overlap");
        overlap = bind_bool(L, -1, "add: overlap");
    }
    keep(L, 1, 2, true);
    bind_script_begin(L, &script);
    rc = lunik_region_add(parent, offset, child, priority, overlap, &err);
    lunik_cause_pop(&script.cause);
    if (rc) {
        if (lunik_region_parent(child) != parent)
            keep(L, 1, 2, false);
        bind_raise(L, &err);
    }
    lua_settop(L, 2);
    if (in_transaction(L))
        note_moved(L, bind_check_open(L, 1, region_class)->m, 1, 2);
    return 1;
}

/* parent:del(child) */
static int region_del(lua_State *L)
{
    lunik_region *parent = bind_region(L, 1), *child = bind_region(L, 2);
    struct bind_script script;
    lunik_error err;

    if (lunik_region_parent(child) != parent)
        bind_fail(L, LUNIK_E_NOT_FOUND, "del: region '%s' is not in '%s'", lunik_region_name(child),
                  lunik_region_name(parent));
    bind_script_begin(L, &script);
    bind_script_end(L, &script, lunik_region_del(child, &err), &err);
    lua_settop(L, 2);
    if (in_transaction(L))
        note_moved(L, bind_check_open(L, 1, region_class)->m, 1, 2);
    else
        keep(L, 1, 2, false);
    return 0;
}

/* ---- fields --------------------------------------------------------------------------------- */

static int get_name(lua_State *L)
{
    lua_pushstring(L, lunik_region_name(bind_region(L, 1)));
    return 1;
}

static int get_kind(lua_State *L)
{
    lua_pushstring(L, bind_region_kinds[lunik_region_get_kind(bind_region(L, 1))]);
    return 1;
}

static int get_size(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)lunik_region_size(bind_region(L, 1)));
    return 1;
}

static int get_offset(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)lunik_region_offset(bind_region(L, 1)));
    return 1;
}

static int get_priority(lua_State *L)
{
    lua_pushinteger(L, lunik_region_priority(bind_region(L, 1)));
    return 1;
}

static int get_enabled(lua_State *L)
{
    lua_pushboolean(L, lunik_region_enabled(bind_region(L, 1)));
    return 1;
}

static int get_readonly(lua_State *L)
{
    lua_pushboolean(L, lunik_region_readonly(bind_region(L, 1)));
    return 1;
}

/* For a ROM device: whether reads come from its RAM. */
static int get_romd(lua_State *L)
{
    lua_pushboolean(L, lunik_region_romd(bind_region(L, 1)));
    return 1;
}

static int get_alias_offset(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)lunik_region_alias_offset(bind_region(L, 1)));
    return 1;
}

static int get_target(lua_State *L)
{
    bind_push_region(L, lunik_region_target(bind_region(L, 1)),
                     bind_check_open(L, 1, region_class)->m);
    return 1;
}

/* The address of its RAM in this process, nil without RAM. */
static int get_host(lua_State *L)
{
    const lunik_region *r = bind_region(L, 1);
    lunik_ram *ram = lunik_region_ram(r);

    if (!ram)
        return 0;
    lua_pushlightuserdata(L, (char *)lunik_ram_host(ram) + lunik_region_ram_offset(r));
    return 1;
}

static int get_parent(lua_State *L)
{
    bind_push_region(L, lunik_region_parent(bind_region(L, 1)),
                     bind_check_open(L, 1, region_class)->m);
    return 1;
}

static int get_owner(lua_State *L)
{
    bind_push_object(L, lunik_region_owner(bind_region(L, 1)));
    return 1;
}

static int get_children(lua_State *L)
{
    lunik_region *r = bind_region(L, 1);
    lua_Integer count = 0;

    lua_newtable(L);
    for (lunik_region *c = NULL; (c = lunik_region_next_child(r, c));) {
        bind_push_region(L, c, bind_check_open(L, 1, region_class)->m);
        lua_rawseti(L, -2, ++count);
    }
    return 1;
}

static int get_stats(lua_State *L)
{
    lunik_region_stats stats;

    lunik_coalesced_flush(bind_check_open(L, 1, region_class)->m);
    lunik_region_get_stats(bind_region(L, 1), &stats);
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, (lua_Integer)stats.reads);
    lua_setfield(L, -2, "reads");
    lua_pushinteger(L, (lua_Integer)stats.writes);
    lua_setfield(L, -2, "writes");
    lua_pushinteger(L, (lua_Integer)stats.rejected);
    lua_setfield(L, -2, "rejected");
    return 1;
}

static int set_enabled(lua_State *L)
{
    lunik_region *r = bind_region(L, 1);
    bool value = bind_bool(L, 3, "enabled");
    struct bind_script script;
    lunik_error err;

    bind_script_begin(L, &script);
    return bind_script_end(L, &script, lunik_region_set_enabled(r, value, &err), &err);
}

static int set_readonly(lua_State *L)
{
    lunik_region *r = bind_region(L, 1);
    bool value = bind_bool(L, 3, "readonly");
    struct bind_script script;
    lunik_error err;

    bind_script_begin(L, &script);
    return bind_script_end(L, &script, lunik_region_set_readonly(r, value, &err), &err);
}

static int set_romd(lua_State *L)
{
    lunik_region *r = bind_region(L, 1);
    bool value = bind_bool(L, 3, "romd");
    struct bind_script script;
    lunik_error err;

    bind_script_begin(L, &script);
    return bind_script_end(L, &script, lunik_region_set_romd(r, value, &err), &err);
}

static int set_offset(lua_State *L)
{
    lunik_region *r = bind_region(L, 1);
    uint64_t value = bind_address(L, 3, "offset");
    struct bind_script script;
    lunik_error err;

    bind_script_begin(L, &script);
    return bind_script_end(L, &script, lunik_region_set_offset(r, value, &err), &err);
}

static int set_size(lua_State *L)
{
    lunik_region *r = bind_region(L, 1);
    uint64_t value = bind_extent(L, 3, "size");
    struct bind_script script;
    lunik_error err;

    bind_script_begin(L, &script);
    return bind_script_end(L, &script, lunik_region_set_size(r, value, &err), &err);
}

static int set_alias_offset(lua_State *L)
{
    lunik_region *r = bind_region(L, 1);
    uint64_t value = bind_address(L, 3, "alias_offset");
    struct bind_script script;
    lunik_error err;

    bind_script_begin(L, &script);
    return bind_script_end(L, &script, lunik_region_set_alias_offset(r, value, &err), &err);
}

static int set_priority(lua_State *L)
{
    lunik_region *r = bind_region(L, 1);
    int priority = (int)bind_int(L, 3, "priority", INT32_MIN, INT32_MAX);
    struct bind_script script;
    lunik_error err;

    bind_script_begin(L, &script);
    return bind_script_end(L, &script, lunik_region_set_priority(r, priority, &err), &err);
}

static int region_tostring(lua_State *L)
{
    lunik_region *r = bind_check_box(L, 1, region_class)->ptr;

    lua_pushfstring(L, "region '%s' (%s)", lunik_region_name(r),
                    bind_region_kinds[lunik_region_get_kind(r)]);
    return 1;
}

void bind_region_open(lua_State *L, int classes)
{
    static const luaL_Reg methods[] = {
        {"add", region_add},
        {"del", region_del},
        {"ioeventfd", bind_lua_ioeventfd},
        {"coalesce", bind_lua_coalesce},
        {"uncoalesce", bind_lua_uncoalesce},
        {0},
    };
    static const luaL_Reg getters[] = {
        {"name", get_name},
        {"kind", get_kind},
        {"size", get_size},
        {"offset", get_offset},
        {"priority", get_priority},
        {"enabled", get_enabled},
        {"readonly", get_readonly},
        {"parent", get_parent},
        {"owner", get_owner},
        {"children", get_children},
        {"stats", get_stats},
        {"romd", get_romd},
        {"host", get_host},
        {"target", get_target},
        {"alias_offset", get_alias_offset},
        {0},
    };
    static const luaL_Reg setters[] = {
        {"enabled", set_enabled},   {"readonly", set_readonly},
        {"romd", set_romd},         {"offset", set_offset},
        {"size", set_size},         {"alias_offset", set_alias_offset},
        {"priority", set_priority}, {0},
    };
    static const luaL_Reg meta[] = {
        {"__gc", region_gc},
        {"__tostring", region_tostring},
        {0},
    };
    static const struct bind_class class = {
        .name = region_class,
        .methods = methods,
        .getters = getters,
        .setters = setters,
        .meta = meta,
    };

    bind_class_new(L, classes, &class);
}
