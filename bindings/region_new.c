/*
 * region_new.c: makes regions from Lua, and calls Lua for accesses.
 *
 * The runtime calls struct region_io, which stays until its region is freed: a vCPU may still enter
 * a region that is being removed. It holds a reference of its own to the region, which is dropped
 * when the box is collected, but not while the region is in a container (as it may be when the
 * state is closed): then when the machine closes.
 */
#include <stdlib.h>

#include "bindings.h"

/* Freed with the region. */
struct region_io {
    struct glue *glue;    /* NULL once its machine is closed */
    lunik_region *region; /* counted reference; key of the region's box; NULL once the box is
                             collected */
    lunik_io_ops ops;
    struct region_io *next, **link;
};

/* ---- accesses ------------------------------------------------------------------------------- */

struct access_call {
    struct region_io *io;
    uint64_t offset, value;
    unsigned size;
    int handler; /* BIND_REGION_READ, WRITE or PEEK */
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

/* Returns the result of an access that a handler refuses with the value at index as the reason. */
static lunik_access refusal(lua_State *L, int index, const char *what)
{
    static const char *const codes[] = {"device", "access", NULL};

    if (lua_isnil(L, index) || !bind_choice(L, index, what, codes))
        return LUNIK_ACCESS_DEVICE;
    return LUNIK_ACCESS_DECODE;
}

/* Lua, protected: read or peek(offset, size) -> value, or nil and why */
static int read_body(lua_State *L)
{
    struct access_call *call = lua_touserdata(L, 1);
    bool peek = call->handler == BIND_REGION_PEEK;

    push_handler(L, call->io, call->handler);
    if (lua_isnil(L, -1))
        return 0;
    lua_pushinteger(L, (lua_Integer)call->offset);
    lua_pushinteger(L, (lua_Integer)call->size);
    lua_call(L, 2, 2);
    if (lua_isnil(L, -2)) {
        call->result =
            refusal(L, -1, peek ? "why a peek handler refuses" : "why a read handler refuses");
        return 0;
    }
    call->value =
        bind_bits(L, -2, peek ? "what a peek handler returned" : "what a read handler returned", 8);
    call->result = LUNIK_ACCESS_OK;
    return 0;
}

/* Lua, protected: write(offset, size, value) -> false and why, or any other value */
static int write_body(lua_State *L)
{
    struct access_call *call = lua_touserdata(L, 1);

    push_handler(L, call->io, call->handler);
    if (lua_isnil(L, -1))
        return 0;
    lua_pushinteger(L, (lua_Integer)call->offset);
    lua_pushinteger(L, (lua_Integer)call->size);
    lua_pushinteger(L, (lua_Integer)call->value);
    lua_call(L, 3, 2);
    if (lua_isboolean(L, -2) && !lua_toboolean(L, -2))
        call->result = refusal(L, -1, "why a write handler refuses");
    else
        call->result = LUNIK_ACCESS_OK;
    return 0;
}

static lunik_access call_reader(struct region_io *io, int handler, uint64_t offset, unsigned size,
                                uint64_t *value)
{
    struct access_call call = {io, offset, UINT64_MAX, size, handler, LUNIK_ACCESS_DEVICE};
    const char *what = handler == BIND_REGION_PEEK ? "a peek handler" : "a read handler";

    if (!io->glue || !bind_call(io->glue->b, io->glue, what, read_body, &call))
        call.value = UINT64_MAX;
    *value = call.value;
    return call.result;
}

static lunik_access on_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    return call_reader(opaque, BIND_REGION_READ, offset, size, value);
}

static lunik_access on_peek(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    return call_reader(opaque, BIND_REGION_PEEK, offset, size, value);
}

static lunik_access on_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct region_io *io = opaque;
    struct access_call call = {io, offset, value, size, BIND_REGION_WRITE, LUNIK_ACCESS_DEVICE};

    if (io->glue)
        bind_call(io->glue->b, io->glue, "a write handler", write_body, &call);
    return call.result;
}

/* ---- creation ------------------------------------------------------------------------------- */

static const char *const region_options[] = {
    "kind",     "name",        "size",  "memdev",    "offset", "target", "ram_offset",
    "readonly", "nonvolatile", "owner", "read",      "write",  "peek",   "valid",
    "impl",     "endian",      "fd",    "fd_offset", "share",  "host",   NULL};

/* The options of one region. */
struct request {
    lunik_region_config config;
    lunik_io_ops ops;
    lunik_ram *made;               /* a reference, or NULL */
    int target, read, write, peek; /* stack indexes */
};

enum {
    MEMORY_KINDS = 1 << LUNIK_REGION_RAM | 1 << LUNIK_REGION_ROM | 1 << LUNIK_REGION_ROM_DEVICE
};

/* Fails if an option is given that has no effect on regions of this kind. */
static void check_kind(lua_State *L, lunik_region_kind kind)
{
    enum {
        ALIAS = 1 << LUNIK_REGION_ALIAS,
        MEMORY = MEMORY_KINDS,
        CALLED = 1 << LUNIK_REGION_IO | MEMORY,
    };
    static const struct {
        const char *name;
        unsigned kinds;
    } options[] = {{"target", ALIAS},      {"offset", ALIAS}, {"memdev", MEMORY},
                   {"ram_offset", MEMORY}, {"fd", MEMORY},    {"fd_offset", MEMORY},
                   {"share", MEMORY},      {"host", MEMORY},  {"read", CALLED},
                   {"write", CALLED},      {"peek", CALLED},  {"valid", CALLED},
                   {"impl", CALLED},       {"endian", CALLED}};

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        bool given = !lua_isnil(L, bind_field(L, 2, options[i].name));

        lua_pop(L, 1);
        if (given && !(options[i].kinds & 1u << kind))
            bind_fail(L, LUNIK_E_INVALID, "region: '%s' is not an option of kind '%s'",
                      options[i].name, bind_region_kinds[kind]);
    }
}

static uint64_t size_field(lua_State *L, const char *name, const char *what)
{
    int index = bind_field(L, 2, name);

    return lua_isnil(L, index) ? 0 : bind_extent(L, index, what);
}

static uint64_t offset_field(lua_State *L, const char *name, const char *what)
{
    int index = bind_field(L, 2, name);

    return lua_isnil(L, index) ? 0 : bind_address(L, index, what);
}

static uint8_t access_width(lua_State *L, int table, const char *name, const char *what)
{
    int index = bind_field(L, table, name);

    return lua_isnil(L, index) ? 0 : (uint8_t)bind_access_size(L, index, what);
}

static void access_rules(lua_State *L, const char *name, uint8_t *min, uint8_t *max,
                         bool *unaligned)
{
    static const char *const options[] = {"min", "max", "unaligned", NULL};
    int table = bind_field(L, 2, name);

    if (lua_isnil(L, table))
        return;
    bind_options(L, table, "region: access sizes", options);
    *min = access_width(L, table, "min", "region: min");
    *max = access_width(L, table, "max", "region: max");
    *unaligned = bind_bool(L, bind_field(L, table, "unaligned"), "region: unaligned");
    if (*min && *max && *min > *max)
        bind_fail(L, LUNIK_E_INVALID, "region: %s: min %d is larger than max %d", name, *min, *max);
}

static void ops_from(lua_State *L, struct request *q)
{
    static const char *const endians[] = {"little", "big", NULL};
    int endian;

    q->read = bind_field(L, 2, "read");
    q->write = bind_field(L, 2, "write");
    q->peek = bind_field(L, 2, "peek");
    if (!lua_isnil(L, q->read))
        bind_function(L, q->read, "region: read");
    if (!lua_isnil(L, q->write))
        bind_function(L, q->write, "region: write");
    if (!lua_isnil(L, q->peek))
        bind_function(L, q->peek, "region: peek");
    access_rules(L, "valid", &q->ops.valid.min, &q->ops.valid.max, &q->ops.valid.unaligned);
    access_rules(L, "impl", &q->ops.impl.min, &q->ops.impl.max, &q->ops.impl.unaligned);
    endian = bind_field(L, 2, "endian");
    if (!lua_isnil(L, endian) && bind_choice(L, endian, "region: endian", endians))
        q->ops.endian = LUNIK_BIG_ENDIAN;
    q->ops.read = lua_isnil(L, q->read) ? NULL : on_read;
    q->ops.write = lua_isnil(L, q->write) ? NULL : on_write;
    q->ops.peek = lua_isnil(L, q->peek) ? NULL : on_peek;
}

/* Takes the RAM block of a backend, if "memdev" is given. */
static void ram_from(lua_State *L, lunik_machine *m, struct request *q)
{
    int index = bind_field(L, 2, "memdev");
    const lunik_memory_backend_ops *backend;
    lunik_object *o;

    if (lua_isnil(L, index))
        return;
    o = bind_object_arg(L, index, m, "region: memdev");
    backend = lunik_memory_backend_iface(o);
    q->config.ram = backend ? backend->ram(o) : NULL;
    if (!q->config.ram)
        bind_fail(L, LUNIK_E_INVALID, "region: memdev: '%s' is a %s (want a memory backend)",
                  lunik_object_id(o), lunik_object_type_name(o));
    q->config.owner = o;
}

/* Makes a block for this region from a file descriptor or a mapping; NULL if neither is given. */
static lunik_ram *ram_new(lua_State *L, const struct request *q)
{
    int fd = bind_field(L, 2, "fd"), host = bind_field(L, 2, "host");
    lunik_ram_config config = {
        .name = q->config.name,
        .size = q->config.size,
        .fd = -1,
        .fd_offset = size_field(L, "fd_offset", "region: fd_offset"),
        .readonly = q->config.readonly,
        .share = lua_isnil(L, bind_field(L, 2, "share")) || bind_bool(L, -1, "region: share"),
    };
    lunik_error err;
    lunik_ram *ram;

    if (lua_isnil(L, fd) && lua_isnil(L, host))
        return NULL;
    if (q->config.ram || !(lua_isnil(L, fd) || lua_isnil(L, host)))
        bind_fail(L, LUNIK_E_INVALID, "region: '%s' has more than one of memdev, fd and host",
                  q->config.name);
    if (!lua_isnil(L, fd))
        config.fd = (int)bind_int(L, fd, "region: fd", 0, INT32_MAX);
    else if (lua_islightuserdata(L, host) && lua_touserdata(L, host))
        config.host = lua_touserdata(L, host);
    else
        bind_fail(L, LUNIK_E_INVALID, "region: host: a %s is not a pointer (want a light userdata)",
                  luaL_typename(L, host));
    bind_check(L, lunik_ram_new(&config, &ram, &err), &err);
    return ram;
}

static void request_from(lua_State *L, lunik_machine *m, struct request *q)
{
    int index;

    *q = (struct request){0};
    bind_options(L, 2, "region", region_options);
    q->config.kind = (lunik_region_kind)bind_choice(L, bind_field(L, 2, "kind"), "region: kind",
                                                    bind_region_kinds);
    check_kind(L, q->config.kind);
    q->config.name = bind_opt_string(L, bind_field(L, 2, "name"), "region: name", "region");
    q->config.size = size_field(L, "size", "region: size");
    q->config.offset = offset_field(L, "offset", "region: offset");
    q->config.ram_offset = offset_field(L, "ram_offset", "region: ram_offset");
    q->config.readonly = bind_bool(L, bind_field(L, 2, "readonly"), "region: readonly");
    q->config.nonvolatile = bind_bool(L, bind_field(L, 2, "nonvolatile"), "region: nonvolatile");
    ram_from(L, m, q);
    index = bind_field(L, 2, "owner");
    if (!lua_isnil(L, index))
        q->config.owner = bind_object_arg(L, index, m, "region: owner");
    q->target = bind_field(L, 2, "target");
    if (!lua_isnil(L, q->target))
        q->config.target = bind_region_option(L, q->target, "region: target");
    else if (q->config.kind == LUNIK_REGION_ALIAS)
        bind_fail(L, LUNIK_E_INVALID, "region: target: is missing (want the region to show)");
    ops_from(L, q);
    q->made = ram_new(L, q); /* last: the call below raises only if it has made no block */
    if (q->made)
        q->config.ram = q->made;
    else if (!q->config.ram && 1u << q->config.kind & MEMORY_KINDS)
        bind_fail(
            L, LUNIK_E_INVALID,
            "region: memdev: is missing (want a memory backend, or fd or host, for kind '%s')",
            bind_region_kinds[q->config.kind]);
}

struct push_request {
    struct glue *glue;
    struct region_io *io;
};

/* Lua, protected: pushes the box of the region of the request at 1. */
static int push_body(lua_State *L)
{
    struct push_request *r = lua_touserdata(L, 1);

    bind_push_region(L, r->io->region, r->glue->m);
    ((struct box *)lua_touserdata(L, -1))->data = r->io;
    return 1;
}

/* Pushes the box of a new region. */
static void region_make(lua_State *L, struct glue *g, struct request *q)
{
    struct push_request request = {.glue = g};
    struct region_io *io = calloc(1, sizeof(*io));
    lunik_region *r;
    lunik_error err;
    int rc;

    if (!io) {
        if (q->made)
            lunik_ram_unref(q->made);
        bind_fail(L, LUNIK_E_NO_MEMORY, "region: out of memory");
    }
    io->glue = g;
    io->ops = q->ops;
    if (!lua_isnil(L, q->read) || !lua_isnil(L, q->write) || q->config.kind == LUNIK_REGION_IO ||
        q->config.kind == LUNIK_REGION_ROM_DEVICE)
        q->config.ops = &io->ops;
    q->config.opaque = io;
    q->config.release = free;
    rc = lunik_region_new(g->m, &q->config, &r, &err);
    if (q->made)
        lunik_ram_unref(q->made); /* the region has a reference of its own */
    if (rc) {
        free(io);
        bind_raise(L, &err);
    }
    io->region = r;
    request.io = io;
    lua_pushcfunction(L, push_body);
    lua_pushlightuserdata(L, &request);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
        io->glue = NULL;
        lunik_region_unref(r);
        lua_error(L);
    }
    io->next = g->regions;
    io->link = &g->regions;
    if (io->next)
        io->next->link = &io->next;
    g->regions = io;
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
    lua_setiuservalue(L, box, BIND_REGION_READ);
    lua_pushvalue(L, q.write);
    lua_setiuservalue(L, box, BIND_REGION_WRITE);
    lua_pushvalue(L, q.peek);
    lua_setiuservalue(L, box, BIND_REGION_PEEK);
    lua_newtable(L);
    if (!lua_isnil(L, q.target)) {
        lua_pushvalue(L, q.target);
        lua_pushboolean(L, 1);
        lua_rawset(L, -3);
    }
    lua_setiuservalue(L, box, BIND_REGION_KEPT);
    return 1;
}

static void unlink_io(struct region_io *io)
{
    *io->link = io->next;
    if (io->next)
        io->next->link = io->link;
}

/* To be called when the machine closes, when no callback can be running any more. */
void bind_region_release(struct glue *g)
{
    lunik_transaction_begin(g->m);
    for (struct region_io *io = g->regions; io; io = io->next)
        lunik_region_del(io->region, NULL);
    lunik_transaction_commit(g->m, NULL);
    while (g->regions) {
        struct region_io *io = g->regions;

        unlink_io(io);
        io->glue = NULL;
        lunik_region_unref(io->region);
    }
}

void bind_region_forget(struct region_io *io)
{
    lunik_region *region = io->region;

    if (lunik_region_parent(region))
        return;
    unlink_io(io);
    io->region = NULL;
    lunik_region_unref(region);
}
