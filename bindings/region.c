/*
 * region.c: memory regions as seen from Lua, and regions whose accesses Lua handles.
 *
 * A region box has three uservalues: the read and the write function, and a table of other boxes it
 * keeps alive: its children, its alias target. A region is thus kept, with its functions, as long
 * as it is mapped: by its container's box, or, below a region that was not made by Lua, by the
 * machine's box. What the runtime calls, struct region_io, stays until the machine closes: a vCPU
 * may be on its way into a region that is just being taken away. It also holds a reference of its
 * own to a region that is in a container when its box goes (as it does when the state is closed).
 */
#include <stdlib.h>
#include <string.h>

#include "bindings.h"

static const char region_class[] = "lunik.Region";

enum { READ_FN = 1, WRITE_FN, KEPT, USERVALUES = KEPT };

struct region_io {
    struct glue *glue;
    lunik_region *region; /* finds the box; NULL once that is gone. A reference. */
    lunik_io_ops ops;
    struct region_io *next;
};

/* ---- boxes ---------------------------------------------------------------------------------- */

void bind_push_region(lua_State *L, lunik_region *r, lunik_machine *m)
{
    struct box *box;
    bool made;

    if (!r) {
        lua_pushnil(L);
        return;
    }
    box = bind_push_box(L, region_class, r, USERVALUES, &made);
    if (!made)
        return;
    lunik_region_ref(r);
    lunik_machine_ref(m);
    box->m = m;
}

static lunik_region *region_at(lua_State *L, int index)
{
    return bind_check_open(L, index, region_class)->ptr;
}

/* Pushes the table of boxes kept for what is in the region at index. */
static void push_kept(lua_State *L, int index)
{
    if (lua_getiuservalue(L, index, KEPT) != LUA_TNIL)
        return;
    lua_pop(L, 1);
    bind_push_machine(L, bind_check_open(L, index, region_class)->m);
    if (lua_getiuservalue(L, -1, 1) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setiuservalue(L, -3, 1);
    }
    lua_remove(L, -2);
}

/* Keeps the box at child (or no longer) as long as that at parent. */
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
    struct region_io *io = box->data;

    if (!box->m)
        return 0;
    if (io && lunik_machine_state(box->m) != LUNIK_STATE_CLOSED &&
        !lunik_region_parent(io->region)) {
        lunik_region_unref(io->region);
        io->region = NULL;
    }
    lunik_region_unref(box->ptr);
    lunik_machine_unref(box->m);
    *box = (struct box){0};
    return 0;
}

/* ---- accesses ------------------------------------------------------------------------------- */

struct access_call {
    struct region_io *io;
    uint64_t offset, value;
    unsigned size;
    lunik_access result;
};

/* Pushes the function of the region's box, or nil. */
static void push_handler(lua_State *L, const struct region_io *io, int which)
{
    if (!io->region)
        lua_pushnil(L);
    else if (bind_find_box(L, io->region))
        lua_getiuservalue(L, -1, which);
}

/* Lua, protected: fn(offset, size) -> value */
static int read_body(lua_State *L)
{
    struct access_call *call = lua_touserdata(L, 1);

    push_handler(L, call->io, READ_FN);
    if (lua_isnil(L, -1))
        return 0;
    lua_pushinteger(L, (lua_Integer)call->offset);
    lua_pushinteger(L, (lua_Integer)call->size);
    lua_call(L, 2, 1);
    if (lua_isnil(L, -1))
        return 0; /* refused */
    call->value = bind_bits(L, -1, "what a read handler returned", 8);
    call->result = LUNIK_ACCESS_OK;
    return 0;
}

/* Lua, protected: fn(offset, size, value); false refuses. */
static int write_body(lua_State *L)
{
    struct access_call *call = lua_touserdata(L, 1);

    push_handler(L, call->io, WRITE_FN);
    if (lua_isnil(L, -1))
        return 0;
    lua_pushinteger(L, (lua_Integer)call->offset);
    lua_pushinteger(L, (lua_Integer)call->size);
    lua_pushinteger(L, (lua_Integer)call->value);
    lua_call(L, 3, 1);
    if (!lua_isboolean(L, -1) || lua_toboolean(L, -1))
        call->result = LUNIK_ACCESS_OK;
    return 0;
}

static lunik_access on_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct region_io *io = opaque;
    struct access_call call = {io, offset, UINT64_MAX, size, LUNIK_ACCESS_DEVICE};

    if (!bind_call(io->glue->b, io->glue, "a read handler", read_body, &call))
        call.value = UINT64_MAX;
    *value = size < 8 ? call.value & ((UINT64_C(1) << (size * 8)) - 1) : call.value;
    return call.result;
}

static lunik_access on_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct region_io *io = opaque;
    struct access_call call = {io, offset, value, size, LUNIK_ACCESS_DEVICE};

    bind_call(io->glue->b, io->glue, "a write handler", write_body, &call);
    return call.result;
}

/* ---- creation ------------------------------------------------------------------------------- */

static const char *const kinds[] = {"container", "ram",   "rom",      "rom-device",
                                    "io",        "alias", "reserved", NULL};

static const char *const region_options[] = {
    "kind",        "name",  "size", "memdev", "offset", "target", "ram_offset", "readonly",
    "nonvolatile", "owner", "read", "write",  "valid",  "impl",   "endian",     NULL};

/* What the options of one region come to. */
struct request {
    lunik_region_config config;
    lunik_io_ops ops;
    int target, read, write; /* stack indexes */
};

static int field(lua_State *L, int table, const char *name)
{
    lua_getfield(L, table, name);
    return lua_gettop(L);
}

/* The field as a size; def if it is not given. */
static uint64_t size_field(lua_State *L, const char *name, const char *what, uint64_t def)
{
    int index = field(L, 2, name);

    if (lua_isnil(L, index))
        return def;
    if (lua_isinteger(L, index) && (uint64_t)lua_tointeger(L, index) == LUNIK_SIZE_MAX)
        return LUNIK_SIZE_MAX;
    return bind_size(L, index, what);
}

static uint8_t access_width(lua_State *L, int table, const char *name, const char *what)
{
    int index = field(L, table, name);
    lua_Integer width;

    if (lua_isnil(L, index))
        return 0;
    width = bind_int(L, index, what, 1, 8);
    if (width & (width - 1))
        bind_fail(L, LUNIK_E_INVALID, "%s: '%d' is not an access size (want 1, 2, 4 or 8)", what,
                  (int)width);
    return (uint8_t)width;
}

static void access_rules(lua_State *L, const char *name, uint8_t *min, uint8_t *max,
                         bool *unaligned)
{
    static const char *const options[] = {"min", "max", "unaligned", NULL};
    int table = field(L, 2, name);

    if (lua_isnil(L, table))
        return;
    bind_options(L, table, "region: access sizes", options);
    *min = access_width(L, table, "min", "region: min");
    *max = access_width(L, table, "max", "region: max");
    *unaligned = bind_bool(L, field(L, table, "unaligned"), "region: unaligned");
    if (*min && *max && *min > *max)
        bind_fail(L, LUNIK_E_INVALID, "region: %s: min %d is larger than max %d", name, *min, *max);
}

static void ops_from(lua_State *L, struct request *q)
{
    static const char *const endians[] = {"little", "big", NULL};
    int endian;

    q->read = field(L, 2, "read");
    q->write = field(L, 2, "write");
    if (!lua_isnil(L, q->read))
        bind_function(L, q->read, "region: read");
    if (!lua_isnil(L, q->write))
        bind_function(L, q->write, "region: write");
    access_rules(L, "valid", &q->ops.valid.min, &q->ops.valid.max, &q->ops.valid.unaligned);
    access_rules(L, "impl", &q->ops.impl.min, &q->ops.impl.max, &q->ops.impl.unaligned);
    endian = field(L, 2, "endian");
    if (!lua_isnil(L, endian) && bind_choice(L, endian, "region: endian", endians))
        q->ops.endian = LUNIK_BIG_ENDIAN;
    q->ops.read = on_read;
    q->ops.write = on_write;
}

/* The RAM block of a backend. */
static void ram_from(lua_State *L, lunik_machine *m, struct request *q)
{
    int index = field(L, 2, "memdev");
    const lunik_memory_backend_ops *backend;
    lunik_object *o;

    if (lua_isnil(L, index))
        return;
    o = bind_object_arg(L, index, m, "region: memdev");
    backend = lunik_object_iface(o, "memory-backend");
    q->config.ram = backend ? backend->ram(o) : NULL;
    if (!q->config.ram)
        bind_fail(L, LUNIK_E_INVALID, "region: memdev: '%s' is a %s (want a memory backend)",
                  lunik_object_id(o), lunik_object_type_name(o));
    q->config.owner = o;
}

static void request_from(lua_State *L, lunik_machine *m, struct request *q)
{
    int index;

    *q = (struct request){0};
    bind_options(L, 2, "region", region_options);
    q->config.kind = (lunik_region_kind)bind_choice(L, field(L, 2, "kind"), "region: kind", kinds);
    q->config.name = bind_opt_string(L, field(L, 2, "name"), "region: name", "region");
    q->config.size = size_field(L, "size", "region: size", 0);
    q->config.offset = size_field(L, "offset", "region: offset", 0);
    q->config.ram_offset = size_field(L, "ram_offset", "region: ram_offset", 0);
    q->config.readonly = bind_bool(L, field(L, 2, "readonly"), "region: readonly");
    q->config.nonvolatile = bind_bool(L, field(L, 2, "nonvolatile"), "region: nonvolatile");
    ram_from(L, m, q);
    index = field(L, 2, "owner");
    if (!lua_isnil(L, index))
        q->config.owner = bind_object_arg(L, index, m, "region: owner");
    q->target = field(L, 2, "target");
    if (!lua_isnil(L, q->target))
        q->config.target = region_at(L, q->target);
    ops_from(L, q);
}

/* Pushes the box of a new region. */
static void region_make(lua_State *L, struct glue *g, struct request *q)
{
    struct region_io *io = calloc(1, sizeof(*io));
    lunik_region *r;
    lunik_error err;

    if (!io)
        bind_fail(L, LUNIK_E_NO_MEMORY, "region: out of memory");
    io->glue = g;
    io->ops = q->ops;
    if (!lua_isnil(L, q->read) || !lua_isnil(L, q->write) || q->config.kind == LUNIK_REGION_IO ||
        q->config.kind == LUNIK_REGION_ROM_DEVICE) {
        q->config.ops = &io->ops;
        q->config.opaque = io;
    }
    if (lunik_region_new(&r, g->m, &q->config, &err)) {
        free(io);
        bind_raise(L, &err);
    }
    io->region = r;
    io->next = g->regions;
    g->regions = io;
    bind_push_region(L, r, g->m);
    bind_check_box(L, -1, region_class)->data = io;
}

/* m:region{kind=, name=, size=, ...} -> region */
int bind_lua_region_new(lua_State *L)
{
    struct glue *g = bind_machine_glue(L, 1);
    struct request q;
    int box;

    luaL_checkstack(L, 40, NULL);
    request_from(L, g->m, &q);
    region_make(L, g, &q);
    box = lua_gettop(L);
    lua_pushvalue(L, q.read);
    lua_setiuservalue(L, box, READ_FN);
    lua_pushvalue(L, q.write);
    lua_setiuservalue(L, box, WRITE_FN);
    lua_newtable(L);
    if (!lua_isnil(L, q.target)) {
        lua_pushvalue(L, q.target);
        lua_pushboolean(L, 1);
        lua_rawset(L, -3);
    }
    lua_setiuservalue(L, box, KEPT);
    return 1;
}

/* The machine is closing; nothing can be in a callback any more. */
void bind_region_release(struct glue *g)
{
    lunik_transaction_begin(g->m);
    for (struct region_io *io = g->regions; io; io = io->next)
        if (io->region)
            lunik_region_del(io->region, NULL);
    lunik_transaction_commit(g->m, NULL);
    while (g->regions) {
        struct region_io *io = g->regions;

        g->regions = io->next;
        if (io->region)
            lunik_region_unref(io->region);
        free(io);
    }
}

/* ---- mapping -------------------------------------------------------------------------------- */

/* parent:add(child, offset, {priority=, overlap=}) -> child */
static int region_add(lua_State *L)
{
    static const char *const options[] = {"priority", "overlap", NULL};
    lunik_region *parent = region_at(L, 1), *child = region_at(L, 2);
    uint64_t offset = bind_size(L, 3, "add: offset");
    int priority = 0;
    bool overlap = false;
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
    rc = lunik_region_add(parent, offset, child, priority, overlap, &err);
    if (rc) {
        if (lunik_region_parent(child) != parent)
            keep(L, 1, 2, false);
        bind_raise(L, &err);
    }
    lua_settop(L, 2);
    return 1;
}

/* parent:del(child) */
static int region_del(lua_State *L)
{
    lunik_region *parent = region_at(L, 1), *child = region_at(L, 2);
    lunik_error err;

    if (lunik_region_parent(child) != parent)
        bind_fail(L, LUNIK_E_NOT_FOUND, "del: region '%s' is not in '%s'", lunik_region_name(child),
                  lunik_region_name(parent));
    bind_check(L, lunik_region_del(child, &err), &err);
    keep(L, 1, 2, false);
    return 0;
}

/* ---- fields --------------------------------------------------------------------------------- */

static int get_name(lua_State *L)
{
    lua_pushstring(L, lunik_region_name(region_at(L, 1)));
    return 1;
}

static int get_kind(lua_State *L)
{
    lua_pushstring(L, kinds[lunik_region_get_kind(region_at(L, 1))]);
    return 1;
}

static int get_size(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)lunik_region_size(region_at(L, 1)));
    return 1;
}

static int get_offset(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)lunik_region_offset(region_at(L, 1)));
    return 1;
}

static int get_priority(lua_State *L)
{
    lua_pushinteger(L, lunik_region_priority(region_at(L, 1)));
    return 1;
}

static int get_enabled(lua_State *L)
{
    lua_pushboolean(L, lunik_region_enabled(region_at(L, 1)));
    return 1;
}

static int get_readonly(lua_State *L)
{
    lua_pushboolean(L, lunik_region_readonly(region_at(L, 1)));
    return 1;
}

static int get_parent(lua_State *L)
{
    bind_push_region(L, lunik_region_parent(region_at(L, 1)),
                     bind_check_open(L, 1, region_class)->m);
    return 1;
}

static int get_owner(lua_State *L)
{
    bind_push_object(L, lunik_region_owner(region_at(L, 1)));
    return 1;
}

static int get_children(lua_State *L)
{
    lunik_region *r = region_at(L, 1);
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

    lunik_region_get_stats(region_at(L, 1), &stats);
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
    lunik_region *r = region_at(L, 1);
    lunik_error err;

    bind_check(L, lunik_region_set_enabled(r, bind_bool(L, 3, "enabled"), &err), &err);
    return 0;
}

static int set_readonly(lua_State *L)
{
    lunik_region *r = region_at(L, 1);
    lunik_error err;

    bind_check(L, lunik_region_set_readonly(r, bind_bool(L, 3, "readonly"), &err), &err);
    return 0;
}

static int set_romd(lua_State *L)
{
    lunik_region *r = region_at(L, 1);
    lunik_error err;

    bind_check(L, lunik_region_set_romd(r, bind_bool(L, 3, "romd"), &err), &err);
    return 0;
}

static int set_offset(lua_State *L)
{
    lunik_region *r = region_at(L, 1);
    lunik_error err;

    bind_check(L, lunik_region_set_offset(r, bind_size(L, 3, "offset"), &err), &err);
    return 0;
}

static int set_size(lua_State *L)
{
    lunik_region *r = region_at(L, 1);
    lunik_error err;

    bind_check(L, lunik_region_set_size(r, bind_size(L, 3, "size"), &err), &err);
    return 0;
}

static int set_alias_offset(lua_State *L)
{
    lunik_region *r = region_at(L, 1);
    lunik_error err;

    bind_check(L, lunik_region_set_alias_offset(r, bind_size(L, 3, "alias_offset"), &err), &err);
    return 0;
}

static int set_priority(lua_State *L)
{
    lunik_region *r = region_at(L, 1);
    int priority = (int)bind_int(L, 3, "priority", INT32_MIN, INT32_MAX);
    lunik_error err;

    bind_check(L, lunik_region_set_priority(r, priority, &err), &err);
    return 0;
}

static int region_tostring(lua_State *L)
{
    lunik_region *r = bind_check_box(L, 1, region_class)->ptr;

    lua_pushfstring(L, "region '%s' (%s)", lunik_region_name(r), kinds[lunik_region_get_kind(r)]);
    return 1;
}

void bind_region_open(lua_State *L, int classes)
{
    static const luaL_Reg methods[] = {{"add", region_add}, {"del", region_del}, {NULL, NULL}};
    static const luaL_Reg getters[] = {
        {"name", get_name},         {"kind", get_kind},         {"size", get_size},
        {"offset", get_offset},     {"priority", get_priority}, {"enabled", get_enabled},
        {"readonly", get_readonly}, {"parent", get_parent},     {"owner", get_owner},
        {"children", get_children}, {"stats", get_stats},       {NULL, NULL},
    };
    static const luaL_Reg setters[] = {
        {"enabled", set_enabled},   {"readonly", set_readonly},
        {"romd", set_romd},         {"offset", set_offset},
        {"size", set_size},         {"alias_offset", set_alias_offset},
        {"priority", set_priority}, {NULL, NULL},
    };
    static const luaL_Reg meta[] = {
        {"__gc", region_gc},
        {"__tostring", region_tostring},
        {NULL, NULL},
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
